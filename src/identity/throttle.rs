//! Failed tries, and how long the next one has to wait.
//!
//! Counted by user and address together, by address, and by user from anywhere: the first stops guessing at one user,
//! the second guessing at many, the third guessing from many places. The wait doubles with each failure up to a quarter
//! of an hour. The third does not hold at a *home* of the user, an address from which they have logged in of late, and
//! not in a session of theirs: so nobody elsewhere keeps a user out who is where they use to be. Nor anywhere else for
//! long: an address that is told to wait by it has one try once it has waited [`LONGEST`], whatever others do meanwhile.
//! Counts stand in the database: they survive a restart and hold in every process. A try is counted before its password is
//! compared, and given back if that was right, so that of tries at the same time, in however many processes, no more are
//! compared than may fail; a process that dies in between leaves one counted. One short statement a try, which waits for
//! no disk; a try that has to wait costs none while this process remembers the wait.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::email::Email;
use super::holds::{Holds, Noted};
use super::rates::network;

/// The first failure that makes the next try of this user from this address wait.
pub const OF_BOTH: i32 = 5;
/// The first failure that makes every try from this address wait.
pub const OF_ADDRESS: i32 = 20;
/// The first failure that makes every try of this user wait.
pub const OF_USER: i32 = 100;
/// The first wait.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Failures count until there was none for so long.
pub(super) const FORGOTTEN: TimeDelta = TimeDelta::hours(24);
/// How long after a log-in its address is a home of the user.
pub(super) const HOME: TimeDelta = TimeDelta::days(30);

const TRY: &str = "SELECT * FROM blotter_try($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const GIVE_BACK: &str = "SELECT blotter_give_back($1, $2, $3)";
const LOG_IN: &str = "SELECT blotter_log_in($1, $2, $3, $4, $5, $6)";
const STAY: &str = "UPDATE throttles SET last_at = $2 WHERE key_hash = $1";
const LEAVE: &str = "DELETE FROM throttles WHERE key_hash = ANY ($1)";

/// A try that has to wait is recorded once in this time, so that a flood does not write the log.
const RECORDED_EVERY: Duration = Duration::from_secs(60);

/// What this process remembers of tries that had to wait.
#[derive(Debug, Default)]
pub struct Memory {
    waits: Holds<Key>,
    recorded: Holds<Key>,
}

impl Memory {
    /// How long a try has to wait, as far as that is remembered. Costs nothing.
    pub fn wait(&self, tries: &Tries) -> Option<Duration> {
        [tries.both, tries.address].iter().filter_map(|key| self.waits.left(key)).max()
    }

    /// Whether a try that has to wait is to be recorded now, which the next of this user is not. A crowd of users that
    /// fills the memory of it within a minute is recorded no further.
    pub fn is_due(&self, tries: &Tries) -> bool {
        let noted = self.recorded.note(tries.user, RECORDED_EVERY);
        if noted == Noted::Never {
            metrics::counter!("blotter_throttled_unrecorded_total").increment(1);
        }
        noted == Noted::Now
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

    /// Counts a try as a failed one unless it has to wait: then how long, and `memory` knows it until then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn count(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
        memory: &Memory,
    ) -> Result<Result<Counted, Duration>, sqlx::Error> {
        let row = sqlx::query(TRY)
            .bind(self.counted())
            .bind(&self.home[..])
            .bind(&self.knock[..])
            .bind(self.in_session)
            .bind(now)
            .bind([OF_BOTH, OF_ADDRESS, OF_USER])
            .bind(SHORTEST)
            .bind(LONGEST)
            .bind(FORGOTTEN)
            .bind(HOME)
            .fetch_one(connection)
            .await?;
        let mut longest = None;
        for (key, column) in [(self.both, "of_both"), (self.address, "of_address")] {
            let Some(micros) = row.try_get::<Option<i64>, _>(column)? else { continue };
            let wait = Duration::from_micros(micros.unsigned_abs());
            let _remembered = memory.waits.set(key, wait);
            longest = longest.max(Some(wait));
        }
        match longest {
            Some(wait) => Ok(Err(wait)),
            None => Ok(Ok(Counted { tries: self.clone(), at: now, since: row.try_get("since")? })),
        }
    }
}

/// A try that counts as a failed one until its password was right.
#[derive(Debug)]
#[must_use]
pub struct Counted {
    tries: Tries,
    at: DateTime<Utc>,
    /// When each key had failed last.
    since: Vec<Option<DateTime<Utc>>>,
}

impl Counted {
    /// Counts it no more: it was the right person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn give_back(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let given =
            sqlx::query(GIVE_BACK).bind(self.tries.counted()).bind(self.since).bind(self.at);
        given.execute(connection).await.map(drop)
    }

    /// Counts it no more, and forgets the failures of this user from this address, which is a home of the user from now
    /// on: it was the right person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn logged_in(
        self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(LOG_IN)
            .bind(self.tries.counted())
            .bind(&self.tries.home[..])
            .bind(&self.tries.knock[..])
            .bind(self.since)
            .bind(self.at)
            .bind(now)
            .execute(connection)
            .await
            .map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_has_to_wait_is_recorded_once_a_minute_of_each_user() {
        let memory = Memory::default();
        fn tries(text: &str) -> Tries {
            Tries::new(&Email::read(text).unwrap(), "10.0.0.1".parse().unwrap())
        }
        let due: Vec<bool> =
            ["a@x.org", "a@x.org", "b@x.org"].map(|text| memory.is_due(&tries(text))).to_vec();
        assert_eq!(due, [true, false, true]);
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
