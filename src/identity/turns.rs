//! One try at a time of each network address: of many that come together each sees what became of those before it, so
//! that none slips by a throttle, and no address takes more than one place in the queue that all of them wait in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::error::IdentityError;
use super::rates::network;

/// Tries of one address that wait for their turn at the most.
const WAITING: usize = 64;

type Lane = Arc<tokio::sync::Mutex<()>>;

/// Whose turn it is. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<IpAddr, Lane>>>);

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    address: IpAddr,
    /// Given back before it is looked whether anybody else waits.
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of this address.
    ///
    /// # Errors
    /// [`IdentityError::Busy`] where too many wait for it already.
    pub async fn take(&self, address: IpAddr) -> Result<Turn, IdentityError> {
        let address = network(address);
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let lane = lanes.entry(address).or_default();
            if Arc::strong_count(lane) > WAITING {
                return Err(IdentityError::Busy);
            }
            Arc::clone(lane)
        };
        let mut turn = Turn { turns: self.clone(), address, held: None };
        turn.held = Some(lane.lock_owned().await);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut lanes = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.get(&self.address).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            lanes.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_address_has_one_turn_at_a_time_and_nobody_waits_for_another() {
        let turns = Turns::default();
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = turns.take(here).await.unwrap();
        let _elsewhere = turns.take(there).await.unwrap();
        let mut second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(here).await.map(drop) }
        });
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
        assert!(waited.is_err(), "it is not its turn");
        drop(first);
        second.await.unwrap().unwrap();
        assert_eq!(turns.0.lock().unwrap().len(), 1, "who has gone is forgotten");
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_and_who_gives_up_leaves_no_place_taken() {
        let turns = Turns::default();
        let here = "10.0.0.1".parse().unwrap();
        let first = turns.take(here).await.unwrap();
        let waiting: Vec<_> = (1..WAITING)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.take(here).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(matches!(turns.take(here).await, Err(IdentityError::Busy)));
        for waiting in waiting {
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
        }
        drop(first);
        drop(turns.take(here).await.unwrap());
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
