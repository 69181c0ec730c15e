//! A driver over a log in memory: which calls come first, and a load that panics.

use std::sync::atomic::{AtomicBool, Ordering};

use aggregates::rules::Rules;
use async_trait::async_trait;
use uuid::Uuid;

use super::super::memory::{Dice, Faults, MemoryLog, MemoryStore};
use super::super::sequencer::{Entropy, SigningName};
use super::super::submission::TapeBlock;
use super::*;

fn ask() -> Ask {
    let block = TapeBlock { first_place: 1, last_place: 1, bytes: Vec::new(), digest: [0; 32] };
    Pending::new(Request::Tape(block), None)
}

#[tokio::test]
async fn urgent_calls_come_first_and_cannot_keep_the_others_out() {
    let ((fast, urgent), (slow, commands)) = (mpsc::channel(100), mpsc::channel(100));
    let mut lanes = Lanes { urgent, commands };
    for _ in 0..40 {
        fast.try_send(ask()).ok().unwrap();
        slow.try_send(ask()).ok().unwrap();
    }
    for taken in 0..16 {
        lanes.next(taken).unwrap();
    }
    assert_eq!((lanes.urgent.len(), lanes.commands.len()), (28, 36));
    // Neither lane waits for the other when that is empty.
    let left = std::iter::successors(Some(0), |taken| Some(taken + 1));
    assert_eq!(left.map_while(|taken| lanes.next(taken)).count(), 64);
}

/// Random bytes of a seed.
struct Seeded(Dice);

impl Entropy for Seeded {
    fn salt(&mut self) -> [u8; 16] {
        self.uuid().into_bytes()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.0.any(), self.0.any())
    }
}

/// Panics once, and loads then.
struct Poisoned(MemoryLog, AtomicBool);

#[async_trait]
impl Loader for Poisoned {
    async fn load(&self, unit: LoadUnit) -> Result<Loaded, LogFault> {
        assert!(self.1.swap(true, Ordering::SeqCst), "a poisoned load, on purpose");
        self.0.load(unit).await
    }

    async fn purge_keys(&self) -> Result<(), LogFault> {
        panic!("a defect, on purpose")
    }
}

#[tokio::test]
async fn a_load_that_panics_is_asked_for_again() {
    let log = MemoryLog::new(MemoryStore::new(1, Faults::default()));
    let (epoch, taken) = log.store().take_over();
    let name = SigningName { name: "test".to_owned(), public_key: String::new() };
    let entropy = Box::new(Seeded(Dice::new(1)));
    let sequencer = Sequencer::new(0, epoch, taken, Rules::default(), entropy, name);
    let ((_fast, urgent), (_slow, commands)) = (mpsc::channel(1), mpsc::channel(1));
    let (lanes, (feed, mut events)) = (Lanes { urgent, commands }, mpsc::unbounded_channel());
    let (head, _) = watch::channel(HeadView::default());
    let loader = Arc::new(Poisoned(log.clone(), AtomicBool::new(false)));
    let driver = Driver::new(log, loader, sequencer, 0, lanes, feed, head, Utc::now);
    let stop = CancellationToken::new();
    let (recorded, (_, _, why)) = tokio::join!(
        async {
            let recorded = timeout(Duration::from_secs(5), events.recv()).await;
            stop.cancel();
            recorded
        },
        driver.run(&stop)
    );
    assert_eq!(recorded.expect("the take-over is recorded").unwrap().len(), 1);
    assert_eq!(why, SteppedDown::Stopped);
}
