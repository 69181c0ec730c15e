//! Failed tries, and how long the next one has to wait.
//!
//! Counted by user and address together, by address, and by user from anywhere: the first stops guessing at one user,
//! the second guessing at many, the third guessing from many places. The wait doubles with each failure up to a quarter
//! of an hour. The third does not hold at a *home* of the user, an address from which they have logged in of late, and
//! not in a session of theirs: so nobody elsewhere keeps a user out who is where they use to be. Nor anywhere else for
//! long: an address that is told to wait by it has one try once it has waited [`LONGEST`], whatever others do meanwhile.
//! Counts stand in the database: they survive a restart and hold in every process. Short statements that wait for no disk; a try
//! that has to wait costs none while this process remembers the wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::email::Email;
use super::rates::network;

/// The first failure that makes the next try of this user from this address wait.
const OF_BOTH: u32 = 5;
/// The first failure that makes every try from this address wait.
const OF_ADDRESS: u32 = 20;
/// The first failure that makes every try of this user wait.
const OF_USER: u32 = 100;
/// The first wait.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Failures count until there was none for so long.
pub(super) const FORGOTTEN: TimeDelta = TimeDelta::hours(24);
/// How long after a log-in its address is a home of the user.
pub(super) const HOME: TimeDelta = TimeDelta::days(30);

const COUNTS: &str = "SELECT key_hash, failures, last_at FROM throttles WHERE key_hash = ANY ($1)";
const COUNT: &str = "INSERT INTO throttles (key_hash, failures, last_at)
    SELECT key_hash, 1, $2 FROM unnest($1::bytea[]) key_hash ORDER BY key_hash
    ON CONFLICT (key_hash) DO UPDATE SET last_at = $2,
        failures = CASE WHEN throttles.last_at < $3 THEN 1 ELSE least(throttles.failures + 1, 1000000) END";
/// A clock that was set back must not make a wait longer than it is.
const SET_BACK: &str =
    "UPDATE throttles SET last_at = $2 WHERE key_hash = ANY ($1) AND last_at > $2";
const CLEAR: &str = "DELETE FROM throttles WHERE key_hash = $1";
/// A home has no failures.
const AT_HOME: &str = "INSERT INTO throttles (key_hash, failures, last_at) VALUES ($1, 0, $2)
    ON CONFLICT (key_hash) DO UPDATE SET last_at = $2";
const STAY: &str = "UPDATE throttles SET last_at = $2 WHERE key_hash = $1";
/// Not a failure: it says when the first try came that has to wait.
const KNOCK: &str = "INSERT INTO throttles (key_hash, failures, last_at) VALUES ($1, 1, $2)
    ON CONFLICT (key_hash) DO NOTHING";
const LEAVE: &str = "DELETE FROM throttles WHERE key_hash = ANY ($1)";

/// A try that has to wait is recorded once in this time, so that a flood does not write the log.
const RECORDED_EVERY: Duration = Duration::from_secs(60);
/// Keys that are remembered of each kind.
const REMEMBERED: usize = 10_000;

/// What holds of a key for some time.
#[derive(Debug, Default)]
struct Holds(Mutex<HashMap<Key, Instant>>);

impl Holds {
    /// How long it goes on to hold of this key.
    fn left(&self, key: &Key) -> Option<Duration> {
        let holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.get(key).and_then(|until| until.checked_duration_since(Instant::now()))
    }

    /// Lets it hold of this key from now on; one key too many is not remembered. Whether it is.
    fn set(&self, key: Key, time: Duration) -> bool {
        let (mut holds, now) =
            (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if holds.len() >= REMEMBERED {
            holds.retain(|_, until| *until > now);
        }
        let room = holds.len() < REMEMBERED || holds.contains_key(&key);
        if room {
            holds.insert(key, now + time);
        }
        room
    }
}

/// What this process remembers of tries that had to wait.
#[derive(Debug, Default)]
pub struct Memory {
    waits: Holds,
    recorded: Holds,
}

impl Memory {
    /// How long a try has to wait, as far as that is remembered. Costs nothing.
    pub fn wait(&self, tries: &Tries) -> Option<Duration> {
        [tries.both, tries.address].iter().filter_map(|key| self.waits.left(key)).max()
    }

    /// Whether a try that has to wait is to be recorded now, which the next of this user is not. A crowd of users that
    /// fills the memory of it within a minute is recorded no further.
    pub fn is_due(&self, tries: &Tries) -> bool {
        if self.recorded.left(&tries.user).is_some() {
            return false;
        }
        let due = self.recorded.set(tries.user, RECORDED_EVERY);
        if !due {
            metrics::counter!("blotter_throttled_unrecorded_total").increment(1);
        }
        due
    }
}

type Key = [u8; 32];

/// Who tries, from where.
#[derive(Clone, Debug)]
pub struct Tries {
    both: Key,
    address: Key,
    user: Key,
    home: Key,
    /// Since when this address has been waiting by the count of the user.
    knock: Key,
    /// Whoever tries has logged in.
    in_session: bool,
}

fn key(kind: &str, parts: [&str; 2]) -> Key {
    let mut hash = Sha256::new();
    for part in [kind, parts[0], parts[1]] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Tries {
    /// Tries of whoever has this address for mail, from that one of the network. The user need not exist.
    pub fn new(email: &Email, address: IpAddr) -> Self {
        let network = network(address).to_string();
        Self {
            both: key("both", [email.text(), &network]),
            address: key("address", ["", &network]),
            user: key("user", [email.text(), ""]),
            home: key("home", [email.text(), &network]),
            knock: key("knock", [email.text(), &network]),
            in_session: false,
        }
    }

    /// Tries of a user in a session, which are counted by it wherever they come from; what others fail is nothing to them.
    pub fn in_session(email: &Email, address: IpAddr, session: &str) -> Self {
        let both = key("session", [email.text(), session]);
        Self { both, in_session: true, ..Self::new(email, address) }
    }

    /// What failures are counted by.
    fn counted(&self) -> [Key; 3] {
        [self.both, self.address, self.user]
    }

    fn keys(&self) -> [Key; 5] {
        [self.both, self.address, self.user, self.home, self.knock]
    }

    /// How long the next try has to wait, if it has to; `memory` knows it until then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wait(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
        memory: &Memory,
    ) -> Result<Option<Duration>, sqlx::Error> {
        let rows = sqlx::query(COUNTS).bind(self.keys()).fetch_all(&mut *connection).await?;
        let (mut of_both, mut of_address, mut of_user) = (None, None, None);
        let (mut free, mut set_back, mut knocked) = (self.in_session, false, None);
        for row in rows {
            let key: Vec<u8> = row.try_get("key_hash")?;
            let failures = row.try_get::<i32, _>("failures")?.cast_unsigned();
            let last: DateTime<Utc> = row.try_get("last_at")?;
            set_back |= last > now;
            if key == self.both {
                of_both = left(failures, OF_BOTH, last, now);
            } else if key == self.address {
                of_address = left(failures, OF_ADDRESS, last, now);
            } else if key == self.user {
                of_user = left(failures, OF_USER, last, now);
            } else if key == self.home {
                free |= last > now - HOME;
            } else {
                knocked = Some(last);
            }
        }
        if set_back {
            sqlx::query(SET_BACK).bind(self.keys()).bind(now).execute(&mut *connection).await?;
        }
        let mut of_user = of_user.filter(|_| !free);
        if let Some(wait) = of_user {
            if knocked.is_none() {
                let knock = sqlx::query(KNOCK).bind(&self.knock[..]).bind(now);
                knock.execute(connection).await?;
            }
            let waited = (now - knocked.unwrap_or(now)).to_std().unwrap_or_default();
            of_user = LONGEST
                .checked_sub(waited)
                .filter(|left| !left.is_zero())
                .map(|left| left.min(wait));
        }
        // What holds of the user is remembered of this address alone.
        let of_both = of_both.max(of_user);
        for (key, wait) in [(self.both, of_both), (self.address, of_address)] {
            if let Some(wait) = wait {
                let _remembered = memory.waits.set(key, wait);
            }
        }
        Ok(of_both.max(of_address))
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// The database failed.
    pub async fn failed(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(COUNT)
            .bind(self.counted())
            .bind(now)
            .bind(now - FORGOTTEN)
            .execute(&mut *connection)
            .await?;
        sqlx::query(CLEAR).bind(&self.knock[..]).execute(connection).await.map(drop)
    }

    /// Forgets the failures of this user from this address, which is a home of the user from now on: it was the right
    /// person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn succeeded(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(LEAVE).bind([self.both, self.knock]).execute(&mut *connection).await?;
        let home = sqlx::query(AT_HOME).bind(&self.home[..]).bind(now);
        home.execute(connection).await.map(drop)
    }
}

/// Lets an address go on to be a home for as long again, if it is one.
///
/// # Errors
/// The database failed.
pub(super) async fn stay_home(
    connection: &mut PgConnection,
    email: &Email,
    address: IpAddr,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let home = Tries::new(email, address).home;
    sqlx::query(STAY).bind(&home[..]).bind(now).execute(connection).await.map(drop)
}

/// Forgets the homes of a user among these addresses.
///
/// # Errors
/// The database failed.
pub(super) async fn leave_homes(
    connection: &mut PgConnection,
    email: &Email,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), sqlx::Error> {
    let homes: Vec<Key> =
        addresses.into_iter().map(|address| Tries::new(email, address).home).collect();
    sqlx::query(LEAVE).bind(homes).execute(connection).await.map(drop)
}

/// What is left of the wait after so many failures, the last one at `last`; waits begin with failure `first`.
fn left(failures: u32, first: u32, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    let beyond = failures.checked_sub(first)?;
    let since = (now - last).to_std().unwrap_or_default();
    let wait = SHORTEST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(LONGEST);
    wait.checked_sub(since).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let now = Utc::now();
        let seconds = |failures, ago| {
            let left = left(failures, OF_BOTH, now - TimeDelta::seconds(ago), now);
            left.map(|left| left.as_secs())
        };
        assert_eq!(seconds(4, 0), None);
        for (failures, wait) in
            [(5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (40, 900), (999, 900)]
        {
            assert_eq!(seconds(failures, 0), Some(wait), "{failures}");
            assert_eq!(seconds(failures, wait.cast_signed()), None, "{failures}");
        }
        assert_eq!(seconds(7, 3), Some(1));
        // A clock that went back waits no longer than the wait is.
        assert_eq!(seconds(6, -100), Some(2));
    }

    #[test]
    fn what_is_remembered_is_over_in_time_and_one_too_many_is_not_remembered() {
        let (holds, key) = (Holds::default(), [7; 32]);
        assert_eq!(holds.left(&key), None);
        // Longer than a busy machine takes for the rest.
        let time = Duration::from_secs(3);
        assert!(holds.set(key, time));
        assert!(holds.left(&key).is_some_and(|left| left <= time));
        for n in 1..=REMEMBERED {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&n.to_be_bytes());
            assert_eq!(holds.set(other, Duration::from_secs(60)), n < REMEMBERED);
        }
        assert_eq!(holds.0.lock().unwrap().len(), REMEMBERED);
        std::thread::sleep(time);
        assert_eq!(holds.left(&key), None);
        assert!(holds.set([8; 32], Duration::from_secs(60)));
        assert!(holds.left(&[8; 32]).is_some(), "what is over makes room");
    }

    #[test]
    fn a_try_that_has_to_wait_is_recorded_once_a_minute_of_each_user() {
        let memory = Memory::default();
        fn tries(text: &str) -> Tries {
            Tries::new(&Email::read(text).unwrap(), "10.0.0.1".parse().unwrap())
        }
        let due: Vec<bool> =
            ["a@x.org", "a@x.org", "b@x.org"].map(|text| memory.is_due(&tries(text))).to_vec();
        assert_eq!(due, [true, false, true]);
        let crowd = (0..2 * REMEMBERED).filter(|n| memory.is_due(&tries(&format!("c{n}@x.org"))));
        assert_eq!(crowd.count(), REMEMBERED - 2, "what is not remembered is not recorded");
    }

    #[test]
    fn tries_are_told_apart_by_user_and_by_network() {
        let email = |text| Email::read(text).unwrap();
        let tries = |text, address: &str| Tries::new(&email(text), address.parse().unwrap());
        let (one, other) = (tries("a@x.org", "10.0.0.1"), tries("a@x.org", "10.0.0.2"));
        assert!(one.user == other.user && one.both != other.both && one.address != other.address);
        let another = tries("b@x.org", "10.0.0.1");
        assert!(
            one.address == another.address && one.user != another.user && one.both != another.both
        );
        let (near, far) = (tries("a@x.org", "2001:db8::1"), tries("a@x.org", "2001:db8::2"));
        assert_eq!(near.address, far.address, "one network of IPv6 is one address");
    }
}
