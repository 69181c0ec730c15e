//! What holds of somebody for some time, remembered by this process up to a bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are remembered at the most.
pub(super) const REMEMBERED: usize = 10_000;

/// Whether something is remembered of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// Since now.
    Now,
    /// It was before.
    Before,
    /// No: it is one too many.
    Never,
}

/// What holds of a key until its time is over.
#[derive(Debug)]
pub(super) struct Holds<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Holds<K> {
    /// How long it goes on to hold of this key.
    pub(super) fn left(&self, key: &K) -> Option<Duration> {
        let holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.get(key).and_then(|until| until.checked_duration_since(Instant::now()))
    }

    /// Lets it hold of this key from now on; one key too many is not remembered. Whether it is.
    pub(super) fn set(&self, key: K, time: Duration) -> bool {
        let (mut holds, now) =
            (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        keep(&mut holds, key, time, now)
    }

    /// Lets it hold of this key from now on, unless it does already.
    pub(super) fn note(&self, key: K, time: Duration) -> Noted {
        let (mut holds, now) =
            (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if holds.get(&key).is_some_and(|until| *until > now) {
            return Noted::Before;
        }
        if keep(&mut holds, key, time, now) { Noted::Now } else { Noted::Never }
    }
}

fn keep<K: Eq + Hash>(
    holds: &mut HashMap<K, Instant>,
    key: K,
    time: Duration,
    now: Instant,
) -> bool {
    if holds.len() >= REMEMBERED {
        holds.retain(|_, until| *until > now);
    }
    let room = holds.len() < REMEMBERED || holds.contains_key(&key);
    if room {
        holds.insert(key, now + time);
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_holds_is_noted_once_and_one_too_many_never() {
        let (holds, time) = (Holds::default(), Duration::from_secs(60));
        let noted = [7, 7, 8].map(|key| holds.note(key, time));
        assert_eq!(noted, [Noted::Now, Noted::Before, Noted::Now]);
        let crowd: Vec<Noted> = (100..200 + REMEMBERED).map(|key| holds.note(key, time)).collect();
        let (within, beyond) = crowd.split_at(REMEMBERED - 2);
        assert!(within.iter().all(|noted| *noted == Noted::Now));
        assert!(beyond.iter().all(|noted| *noted == Noted::Never));
        assert_eq!(holds.0.lock().unwrap().len(), REMEMBERED, "a crowd takes no more memory");
    }
}
