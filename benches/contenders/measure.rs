//! A closed loop of clients, each sending its next order when the last was acknowledged.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Acknowledged orders.
    pub acks: usize,
    pub seconds: f64,
    /// Microseconds from sending to acknowledgement, sorted.
    pub latencies: Vec<u32>,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        self.acks as f64 / self.seconds
    }

    /// Milliseconds at this quantile.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        match self.latencies.len() {
            0 => 0.0,
            n => f64::from(self.latencies[((n - 1) as f64 * quantile) as usize]) / 1_000.0,
        }
    }
}

/// When a loop ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Elapsed(Duration),
    Sent(usize),
}

impl From<Duration> for Until {
    fn from(time: Duration) -> Self {
        Self::Elapsed(time)
    }
}

/// Runs `clients` loops of `send(n)` until the end. The first failure ends the run.
pub async fn closed_loop<F, Fut>(
    clients: usize,
    until: impl Into<Until>,
    send: F,
) -> anyhow::Result<Measured>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let (send, next) = (Arc::new(send), Arc::new(AtomicUsize::new(0)));
    let until = until.into();
    let began = Instant::now();
    let loops: Vec<_> = (0..clients)
        .map(|_| {
            let (send, next) = (Arc::clone(&send), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let ended = match until {
                        Until::Elapsed(time) => began.elapsed() >= time,
                        Until::Sent(count) => n >= count,
                    };
                    if ended {
                        break;
                    }
                    let sent = Instant::now();
                    send(n).await?;
                    latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut measured = Measured::default();
    for client in loops {
        measured.latencies.extend(client.await??);
    }
    measured.seconds = began.elapsed().as_secs_f64();
    measured.acks = measured.latencies.len();
    measured.latencies.sort_unstable();
    Ok(measured)
}
