//! Failed tries, and how long the next one has to wait.
//!
//! Counted by user and address together, by address, and by user from anywhere: the first stops guessing at one user,
//! the second guessing at many, the third guessing from many places. The wait doubles with each failure up to a quarter
//! of an hour. Somebody elsewhere can so make a user wait only by a hundred failures, and for no longer than that.
//! Counts stand in the database: they survive a restart and hold in every process. Two short statements a failure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::id::UserId;
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

const COUNTS: &str = "SELECT key_hash, failures, last_at FROM throttles WHERE key_hash = ANY ($1)";
const COUNT: &str = "INSERT INTO throttles (key_hash, failures, last_at)
    SELECT key_hash, 1, $2 FROM unnest($1::bytea[]) key_hash ORDER BY key_hash
    ON CONFLICT (key_hash) DO UPDATE SET last_at = $2,
        failures = CASE WHEN throttles.last_at < $3 THEN 1 ELSE least(throttles.failures + 1, 1000000) END";
const CLEAR: &str = "DELETE FROM throttles WHERE key_hash = $1";

/// A try that has to wait is recorded once in this time, so that a flood does not write the log.
const RECORDED_EVERY: Duration = Duration::from_secs(60);
/// Users whose last record is remembered.
const REMEMBERED: usize = 10_000;

/// When tries that had to wait were last recorded, by user.
#[derive(Debug, Default)]
pub struct Recorded(Mutex<HashMap<UserId, Instant>>);

impl Recorded {
    /// Whether a try at this user is to be recorded now.
    pub fn is_due(&self, user: UserId) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= REMEMBERED {
            last.retain(|_, at| at.elapsed() < RECORDED_EVERY);
        }
        let due = last.get(&user).is_none_or(|at| at.elapsed() >= RECORDED_EVERY);
        if due && last.len() < REMEMBERED {
            last.insert(user, Instant::now());
        }
        due
    }
}

/// Who tries, from where.
#[derive(Clone, Debug)]
pub struct Tries {
    both: [u8; 32],
    address: [u8; 32],
    user: [u8; 32],
}

impl Tries {
    /// Tries of whoever has this address for mail, from that one of the network. The user need not exist.
    pub fn new(email: &Email, address: IpAddr) -> Self {
        let network = network(address).to_string();
        let key = |kind: &str, parts: [&str; 2]| {
            let mut hash = Sha256::new();
            for part in [kind, parts[0], parts[1]] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hash.finalize().into()
        };
        Self {
            both: key("both", [email.text(), &network]),
            address: key("address", ["", &network]),
            user: key("user", [email.text(), ""]),
        }
    }

    fn keys(&self) -> Vec<&[u8]> {
        vec![&self.both, &self.address, &self.user]
    }

    /// How long the next try has to wait, if it has to.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wait(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Option<Duration>, sqlx::Error> {
        let rows = sqlx::query(COUNTS).bind(self.keys()).fetch_all(connection).await?;
        let mut longest = None;
        for row in rows {
            let key: Vec<u8> = row.try_get("key_hash")?;
            let failures = row.try_get::<i32, _>("failures")?.cast_unsigned();
            let first = if key == self.both {
                OF_BOTH
            } else if key == self.address {
                OF_ADDRESS
            } else {
                OF_USER
            };
            longest = longest.max(left(failures, first, row.try_get("last_at")?, now));
        }
        Ok(longest)
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
            .bind(self.keys())
            .bind(now)
            .bind(now - FORGOTTEN)
            .execute(connection)
            .await
            .map(drop)
    }

    /// Forgets the failures of this user from this address: it was the right person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn succeeded(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(CLEAR).bind(&self.both[..]).execute(connection).await.map(drop)
    }
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
