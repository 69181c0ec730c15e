//! Passwords: which ones are taken, and how they are kept and compared.
//!
//! Guarantees: a password is never shown and is wiped from memory; it is hashed as it was given, by argon2id with the
//! parameters of OWASP; comparing takes the same time for a user who does not exist. Hashing is slow on purpose, so it
//! runs on few threads that step aside for everything else, with a short queue in front of them: a flood of log-ins is
//! refused instead of starving orders.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rustix::time::ClockId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{error, warn};
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use super::yielding::step_aside;

/// The shortest password, in characters.
pub const SHORTEST: usize = 8;
/// The longest password, in bytes: 64 characters of any script fit.
pub const LONGEST: usize = 256;
/// Passwords that wait for a thread at the most.
const WAITING: usize = 32;
/// How many times as long as it has worked a thread rests if others wait: a flood has at most a quarter of each thread's
/// core, and who comes alone is not kept waiting.
const REST: u32 = 3;
/// KiB that one hash takes, and how often it goes over them: OWASP's second set.
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of a salt.
const SALT: usize = 16;
/// Words that a password may not lean on here.
const CONTEXT: [&str; 4] = ["blotter", "trading", "paper", "ledger"];

/// A password as it was given.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether `other` is the same. Not for what is kept: that is a hash.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too few characters.
    #[error("a password has at least {SHORTEST} characters, and this one has {0}")]
    Short(usize),
    /// Too many bytes.
    #[error("a password has at most {LONGEST} bytes, and this one has {0}")]
    Long(usize),
    /// It would be found by guessing. Says why, as far as that is known.
    #[error("this password would soon be guessed{}: several unrelated words make a good one", because(.0))]
    Guessable(String),
}

/// A warning behind a sentence, if there is one.
fn because(warning: &str) -> String {
    if warning.is_empty() { String::new() } else { format!(" ({warning})") }
}

/// Why a password was not worked on.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait already.
    #[error("too many log-ins at once: try again in a second")]
    Busy,
    /// Hashing failed: a stored hash that is none, or no random bytes.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

/// How a password compares to the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is another one.
    Different,
    /// It is the same, kept as we keep them today.
    Same,
    /// It is the same, kept by parameters that are too low by now: hash it anew.
    Outdated,
}

/// Sees whether a password is long enough and no longer than is worked on. Costs nothing.
///
/// # Errors
/// It is too short or too long.
pub fn measure(password: &Password) -> Result<(), Unfit> {
    let text = password.0.as_str();
    if text.len() > LONGEST {
        return Err(Unfit::Long(text.len()));
    }
    let characters = text.chars().count();
    if characters < SHORTEST { Err(Unfit::Short(characters)) } else { Ok(()) }
}

/// What a thread hashes in. It is kept while others wait: to have the system make megabytes of zeros for each password
/// costs kernel time, and its page tables are what all threads of the process share.
#[derive(Default)]
struct Memory(Vec<Block>);

/// Something to do on a thread of ours.
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads that hash. They end with its last clone.
#[derive(Clone)]
pub struct Hasher {
    jobs: Sender<Job>,
    places: Arc<Semaphore>,
    /// What the password of a user who does not exist is compared to.
    nobody: Arc<str>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// A place in the queue, until a thread takes up what is put there or it is dropped.
#[derive(Debug)]
pub struct Place {
    hasher: Hasher,
    held: OwnedSemaphorePermit,
}

impl Hasher {
    /// As many threads as there are cores but one.
    ///
    /// # Errors
    /// The system gives no random bytes or no thread.
    pub fn new() -> Result<Self, HashError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let nobody = hashed("a user who does not exist", &mut Memory::default())?;
        let (jobs, queue) = channel();
        let (queue, places) = (Arc::new(Mutex::new(queue)), Arc::new(Semaphore::new(WAITING)));
        for _ in 0..cores.saturating_sub(1).max(1) {
            let (queue, places) = (Arc::clone(&queue), Arc::clone(&places));
            let thread = thread::Builder::new().name("passwords".to_owned());
            thread
                .spawn(move || work_off(&queue, &places))
                .map_err(|error: io::Error| failed(&error))?;
        }
        Ok(Self { jobs, places, nobody: nobody.into() })
    }

    /// A place in the queue. Costs nothing: take it before anything is read for a password that may not be worked on.
    ///
    /// # Errors
    /// Too many wait already.
    pub fn place(&self) -> Result<Place, HashError> {
        let held = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HashError::Busy)?;
        Ok(Place { hasher: self.clone(), held })
    }

    /// What is kept of a password that compared as `compared`, if it is to be kept anew by today's parameters. Too many
    /// who wait keep nobody out: then it is for the next time.
    ///
    /// # Errors
    /// No random bytes.
    pub async fn renew(
        &self,
        password: &Password,
        compared: Comparison,
    ) -> Result<Option<String>, HashError> {
        if compared != Comparison::Outdated {
            return Ok(None);
        }
        match self.place() {
            Ok(place) => place.again(password).await.map(Some),
            Err(_) => Ok(None),
        }
    }
}

impl Place {
    /// What is kept of a new password, in PHC format, if it is hard enough to guess; `about` are words that are close to
    /// its user, such as the address.
    ///
    /// # Errors
    /// No random bytes.
    pub async fn keep(
        self,
        password: &Password,
        about: Vec<String>,
    ) -> Result<Result<String, Unfit>, HashError> {
        if let Err(unfit) = measure(password) {
            return Ok(Err(unfit));
        }
        let password = password.clone();
        self.work(move |memory| match guessable(&password, &about) {
            Some(unfit) => Ok(Err(unfit)),
            None => hashed(&password.0, memory).map(Ok),
        })
        .await
    }

    /// What is kept of a password that was taken before, by today's parameters.
    ///
    /// # Errors
    /// No random bytes.
    async fn again(self, password: &Password) -> Result<String, HashError> {
        let password = password.clone();
        self.work(move |memory| hashed(&password.0, memory)).await
    }

    /// Compares `password` to what was kept, or to nobody's. A password that is too long to have been taken is
    /// another one.
    ///
    /// # Errors
    /// What was kept is no hash.
    pub async fn compare(
        self,
        password: &Password,
        kept: Option<&str>,
    ) -> Result<Comparison, HashError> {
        let fits = password.0.len() <= LONGEST;
        let password = if fits { password.clone() } else { Password::new(String::new()) };
        let known = fits && kept.is_some();
        let kept: Arc<str> = kept.map_or_else(|| Arc::clone(&self.hasher.nobody), Arc::from);
        let compared = self.work(move |memory| compared(&password.0, &kept, memory)).await?;
        Ok(if known { compared } else { Comparison::Different })
    }

    /// Runs `task` on a thread of ours, when one is free and somebody still waits for it.
    async fn work<T: Send + 'static>(
        self,
        task: impl FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let (answer, answered) = oneshot::channel();
        let Self { hasher, held } = self;
        let job = move |memory: &mut Memory| {
            drop(held);
            if !answer.is_closed() {
                // Whoever asked may have gone meanwhile.
                drop(answer.send(task(memory)));
            }
        };
        hasher.jobs.send(Box::new(job)).map_err(|_| failed(&"its threads have ended"))?;
        answered.await.map_err(|_| failed(&"it panicked"))?
    }
}

/// Works off the queue until nobody can put anything in.
fn work_off(queue: &Mutex<Receiver<Job>>, places: &Semaphore) {
    if let Err(error) = step_aside() {
        warn!(%error, "passwords are hashed at the usual priority");
    }
    let mut memory = Memory::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let began = worked();
        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
            error!("hashing a password panicked");
        }
        if places.available_permits() < WAITING {
            thread::sleep(worked().saturating_sub(began) * REST);
        } else {
            memory = Memory::default();
        }
    }
}

/// How long this thread has had a core.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn guessable(password: &Password, about: &[String]) -> Option<Unfit> {
    let about: Vec<&str> = about.iter().map(String::as_str).chain(CONTEXT).collect();
    why_guessable(&password.0, &about).map(Unfit::Guessable)
}

/// Why a secret would soon be guessed, if it would, as far as that is known; `about` are words that are tried first.
pub(super) fn why_guessable(secret: &str, about: &[&str]) -> Option<String> {
    let entropy = zxcvbn(secret, about);
    let warning = entropy.feedback().and_then(|feedback| feedback.warning());
    let why = || warning.map(|warning| warning.to_string()).unwrap_or_default();
    (entropy.score() < Score::Three).then(why)
}

fn parameters() -> Result<Params, HashError> {
    Params::new(MEMORY, PASSES, LANES, None).map_err(|error| failed(&error))
}

impl Memory {
    /// What becomes of a password with this salt.
    fn hash(
        &mut self,
        password: &str,
        salt: &Salt,
        parameters: Params,
    ) -> Result<Output, HashError> {
        let blocks = parameters.block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut self.0)
            .map_err(|error| failed(&error))?;
        Output::new(&out).map_err(|error| failed(&error))
    }
}

fn hashed(password: &str, memory: &mut Memory) -> Result<String, HashError> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| failed(&error))?;
    let salt = Salt::new(&salt).map_err(|error| failed(&error))?;
    let parameters = parameters()?;
    let params = ParamsString::try_from(&parameters).map_err(|error| failed(&error))?;
    let hash = Some(memory.hash(password, &salt, parameters)?);
    let (algorithm, version) = (Algorithm::Argon2id.ident(), Some(Version::V0x13.into()));
    Ok(PasswordHash { algorithm, version, params, salt: Some(salt), hash }.to_string())
}

fn compared(password: &str, kept: &str, memory: &mut Memory) -> Result<Comparison, HashError> {
    let kept = PasswordHash::new(kept).map_err(|error| failed(&error))?;
    let (Some(salt), Some(hash)) = (&kept.salt, &kept.hash) else {
        return Err(failed(&"it has no salt or no hash"));
    };
    if kept.algorithm != Algorithm::Argon2id.ident() || kept.version != Some(Version::V0x13.into())
    {
        return Err(failed(&"it is not by argon2id of version 19"));
    }
    let parameters = Params::try_from(&kept).map_err(|error| failed(&error))?;
    let low = parameters.m_cost() < MEMORY || parameters.t_cost() < PASSES;
    // Of outputs; it takes the same time wherever they differ.
    let same = memory.hash(password, salt, parameters)? == *hash;
    Ok(match (same, low) {
        (false, _) => Comparison::Different,
        (true, true) => Comparison::Outdated,
        (true, false) => Comparison::Same,
    })
}

fn failed(error: &dyn std::fmt::Display) -> HashError {
    HashError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::super::yielding::NICE;
    use super::*;

    /// 64 characters of several scripts.
    const SIXTY_FOUR: &str =
        "Grüße an die Füchse: 雨の日に傘を持って歩く, 7 кошек и 3 собаки, ñandú é!!!";

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_kept_password_is_known_again_and_no_other_is() {
        let hasher = Hasher::new().unwrap();
        for text in ["correct horse battery staple", "pa\0ss wörd 雨 umbrella", SIXTY_FOUR] {
            let kept =
                hasher.place().unwrap().keep(&password(text), Vec::new()).await.unwrap().unwrap();
            assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
            assert_eq!(
                hasher.place().unwrap().compare(&password(text), Some(&kept)).await.unwrap(),
                Comparison::Same
            );
            let other =
                [text.to_uppercase(), format!("{text} "), text[..text.len() - 1].to_owned()];
            for other in other.iter().filter(|other| *other != text) {
                let compared =
                    hasher.place().unwrap().compare(&password(other), Some(&kept)).await.unwrap();
                assert_eq!(compared, Comparison::Different, "{other:?}");
            }
        }
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let hasher = Hasher::new().unwrap();
        for text in ["a user who does not exist", "", &"x".repeat(LONGEST + 1)] {
            let compared = hasher.place().unwrap().compare(&password(text), None).await.unwrap();
            assert_eq!(compared, Comparison::Different);
        }
        let kept = hasher.place().unwrap().again(&password("")).await.unwrap();
        let long = password(&"x".repeat(LONGEST + 1));
        assert_eq!(
            hasher.place().unwrap().compare(&long, Some(&kept)).await.unwrap(),
            Comparison::Different
        );
    }

    #[tokio::test]
    async fn a_password_kept_by_lower_parameters_is_to_be_hashed_anew() {
        let lower = Params::new(12_288, 1, 1, None).unwrap();
        let lower = Argon2::new(Algorithm::Argon2id, Version::V0x13, lower);
        let kept = lower.hash_password(b"correct horse battery").unwrap().to_string();
        let hasher = Hasher::new().unwrap();
        let given = password("correct horse battery");
        assert_eq!(
            hasher.place().unwrap().compare(&given, Some(&kept)).await.unwrap(),
            Comparison::Outdated
        );
        let crowd: Vec<_> = (0..WAITING).map(|_| hasher.place().unwrap()).collect();
        let renewed = hasher.renew(&given, Comparison::Outdated).await.unwrap();
        assert_eq!(renewed, None, "a crowd keeps nobody out: it is hashed anew another time");
        drop(crowd);
        let renewed = hasher.renew(&given, Comparison::Outdated).await.unwrap();
        let kept = renewed.unwrap();
        let compared = hasher.place().unwrap().compare(&given, Some(&kept)).await.unwrap();
        assert_eq!(compared, Comparison::Same);
        assert_eq!(hasher.renew(&given, compared).await.unwrap(), None);
        assert!(matches!(
            hasher.place().unwrap().compare(&given, Some("md5:1")).await,
            Err(HashError::Failed(_))
        ));
    }

    #[tokio::test]
    async fn what_is_short_long_or_guessable_is_not_taken() {
        let hasher = Hasher::new().unwrap();
        let kept = |text: String, about: Vec<String>| {
            let hasher = hasher.clone();
            async move { hasher.place().unwrap().keep(&Password::new(text), about).await.unwrap() }
        };
        assert_eq!(kept("Xk9".to_owned(), Vec::new()).await, Err(Unfit::Short(3)));
        assert_eq!(kept("x".repeat(LONGEST + 1), Vec::new()).await, Err(Unfit::Long(LONGEST + 1)));
        for common in ["password1", "12345678", "qwertyuiop", "aaaaaaaaaaaa", "blotterblotter"] {
            let refused = kept(common.to_owned(), Vec::new()).await;
            assert!(matches!(refused, Err(Unfit::Guessable(_))), "{common}");
        }
        let own = kept("wilhelmina.brook".to_owned(), vec!["wilhelmina.brook".to_owned()]).await;
        assert!(matches!(own, Err(Unfit::Guessable(_))));
        assert!(kept("several unrelated words here".to_owned(), Vec::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_what_has_a_place_is_worked_off() {
        let hasher = Hasher::new().unwrap();
        let given = password("anything at all");
        let flood = (0..4 * WAITING).map(async |_| hasher.place()?.compare(&given, None).await);
        let answers = futures::future::join_all(flood).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(HashError::Busy))).count();
        let worked = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(busy + worked, answers.len());
        assert!(worked >= WAITING && busy > WAITING, "{worked} worked, {busy} refused");
        assert!(hasher.place().unwrap().compare(&given, None).await.is_ok(), "there is room again");
        assert_eq!(format!("{given:?}"), "Password(redacted)");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_has_a_part_of_a_core_and_who_comes_alone_waits_for_nobody() {
        let hasher = Hasher::new().unwrap();
        let spin = |_: &mut Memory| {
            let began = worked();
            while worked().saturating_sub(began) < Duration::from_millis(20) {}
            Ok(worked())
        };
        let alone = std::time::Instant::now();
        for _ in 0..5 {
            hasher.place().unwrap().work(spin).await.unwrap();
        }
        let (alone, began) = (alone.elapsed(), std::time::Instant::now());
        let places: Vec<_> = (0..20).map(|_| hasher.place().unwrap()).collect();
        let flood = futures::future::join_all(places.into_iter().map(|place| place.work(spin)));
        assert!(flood.await.iter().all(Result::is_ok));
        let threads =
            thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
        let rounds = u32::try_from(20 / threads).unwrap().saturating_sub(1);
        let least = Duration::from_millis(20) * (1 + REST) * rounds;
        assert!(began.elapsed() >= least, "{:?} in a flood, {alone:?} alone", began.elapsed());
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_caller_alone() {
        let hasher = Hasher::new().unwrap();
        let panicked = hasher
            .place()
            .unwrap()
            .work(|_| -> Result<(), HashError> { panic!("on purpose") })
            .await;
        assert!(matches!(panicked, Err(HashError::Failed(_))));
        assert!(hasher.place().unwrap().work(|_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn hashing_yields_to_everything_else() {
        let hasher = Hasher::new().unwrap();
        let nice = || rustix::process::getpriority_process(None).map_err(|error| failed(&error));
        assert_eq!(hasher.place().unwrap().work(move |_| nice()).await.unwrap(), NICE);
        assert!(nice().unwrap() < NICE, "its caller does not");
    }
}
