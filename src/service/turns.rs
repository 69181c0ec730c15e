//! Turns at work that takes a processor: few at the same time, and nobody keeps the others from theirs.
//!
//! Each caller has one turn at a time and few that wait for it; one more is refused at once. Within their turn they wait for a
//! processor. So however much one asks for, what another asks for waits for one place of each who waits, and never for all that
//! one of them has sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aggregates::id::ActorId;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::ServiceError;

/// Requests of one caller that are worked or wait, at the most: one is worked.
pub(super) const EACH: usize = 4;

/// Who has a turn, and who waits for one.
#[derive(Debug)]
pub(super) struct Turns {
    places: Arc<Semaphore>,
    callers: Mutex<HashMap<ActorId, Queue>>,
}

/// The requests of one caller.
#[derive(Debug)]
struct Queue {
    first: Arc<Semaphore>,
    len: usize,
}

/// A turn of a caller; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    places: Arc<Semaphore>,
    _first: OwnedSemaphorePermit,
    _queued: Queued,
}

impl Turn {
    /// Waits for a processor: what has to be read is read before, so that nobody waits for what another reads.
    ///
    /// # Errors
    /// Never: the places are not closed.
    pub(super) async fn place(&self) -> Result<SemaphorePermit<'_>, ServiceError> {
        self.places.acquire().await.map_err(closed)
    }
}

/// A place in the queue of a caller.
#[derive(Debug)]
struct Queued {
    turns: Arc<Turns>,
    actor: ActorId,
}

impl Turns {
    /// So many at the same time.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(places)), callers: Mutex::default() })
    }

    /// Waits for a turn of a caller.
    ///
    /// # Errors
    /// [`EACH`] requests of the caller are worked or wait.
    pub(super) async fn take(self: &Arc<Self>, actor: ActorId) -> Result<Turn, ServiceError> {
        let (first, queued) = self.queue(actor)?;
        let first = first.acquire_owned().await.map_err(closed)?;
        Ok(Turn { places: Arc::clone(&self.places), _first: first, _queued: queued })
    }

    fn queue(self: &Arc<Self>, actor: ActorId) -> Result<(Arc<Semaphore>, Queued), ServiceError> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = callers
            .entry(actor)
            .or_insert_with(|| Queue { first: Arc::new(Semaphore::new(1)), len: 0 });
        if queue.len >= EACH {
            return Err(ServiceError::Enough { most: EACH });
        }
        queue.len += 1;
        Ok((Arc::clone(&queue.first), Queued { turns: Arc::clone(self), actor }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn closed(closed: AcquireError) -> ServiceError {
    ServiceError::Defect(closed.to_string())
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut callers = self.turns.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = callers.get_mut(&self.actor) {
            queue.len -= 1;
            if queue.len == 0 {
                callers.remove(&self.actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    fn actor(n: u128) -> ActorId {
        ActorId::new(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn one_caller_has_one_turn_and_is_refused_what_goes_beyond_a_short_queue() {
        let turns = Turns::new(2);
        let first = turns.take(actor(1)).await.unwrap();
        let waiting: Vec<_> = (1..EACH)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take(actor(1)).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let refused = turns.take(actor(1)).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Enough { most: EACH }), "{refused}");
        assert!(!waiting.iter().any(|it| it.is_finished()), "one at a time");
        // Both have a place at once.
        let other = timeout(SOON, turns.take(actor(2))).await.unwrap().unwrap();
        for turn in [&first, &other] {
            drop(timeout(SOON, turn.place()).await.unwrap().unwrap());
        }
        drop(first);
        for waiter in waiting {
            timeout(SOON, waiter).await.unwrap().unwrap().unwrap();
        }
        drop(other);
        assert!(turns.callers.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[tokio::test]
    async fn a_caller_waits_for_one_turn_of_each_other_and_who_goes_away_leaves_the_queue() {
        let turns = Turns::new(1);
        let first = turns.take(actor(1)).await.unwrap();
        let place = first.place().await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in [1, 1, 2, 1] {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let turn = turns.take(actor(n)).await.unwrap();
                let _place = turn.place().await.unwrap();
                order.lock().unwrap().push(n);
            }));
            tokio::task::yield_now().await;
        }
        tasks.pop().unwrap().abort();
        drop(place);
        drop(first);
        for task in tasks {
            timeout(SOON, task).await.unwrap().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [2, 1, 1]);
        assert!(turns.callers.lock().unwrap().is_empty());
    }
}
