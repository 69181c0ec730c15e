//! A minute at five times the knee: what comes through, how soon the rest is told to wait, whether orders can be
//! canceled meanwhile, and how soon it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::http::{Desk, IN_FLIGHT};
use crate::measure::Measured;
use crate::report::{Report, Sample};
use crate::sample;

const OVERLOAD: Duration = Duration::from_secs(60);
const TIMES: f64 = 5.0;
/// An order is canceled so often during the overload.
const CANCEL_EVERY: Duration = Duration::from_millis(200);
/// What is asked before and afterwards, of the knee, in turns of so long.
const CALM: f64 = 0.25;
const TURN: Duration = Duration::from_secs(1);
/// It is over when the p99 of a turn is at the most so many times what it was before.
const NEAR: f64 = 2.0;
/// It has to be over by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays it, after a calm of ten turns.
pub async fn play(desk: &Arc<Desk>, knee: f64, report: &mut Report) -> anyhow::Result<()> {
    let calm = Arc::clone(desk).open_loop(knee * CALM, TURN * 10).await?.good;
    report.add("H1", "before the overload", IN_FLIGHT, sample(&calm, BTreeMap::new()));
    let count = OVERLOAD.as_millis() / CANCEL_EVERY.as_millis();
    let resting = desk.rest(usize::try_from(count)?).await?;

    let cancels = tokio::spawn(cancel(Arc::clone(desk), resting));
    let began = Instant::now();
    let arrivals = Arc::clone(desk).open_loop(knee * TIMES, OVERLOAD).await?;
    let drained = began.elapsed().saturating_sub(OVERLOAD);
    let seconds = arrivals.good.seconds;
    println!(
        "       offered {:.0}/s, refused {:.0}/s, failed {:.0}/s, not sent {:.0}/s",
        knee * TIMES,
        arrivals.refused.per_second(),
        arrivals.failed as f64 / seconds,
        arrivals.unsent as f64 / seconds
    );
    report.add("H1", "a minute at 5x", IN_FLIGHT, sample(&arrivals.good, BTreeMap::new()));
    report.add("H1", "its refusals", IN_FLIGHT, sample(&arrivals.refused, BTreeMap::new()));
    report.ratio("H1.goodput_of_a_minute", Some(arrivals.good.per_second()), Some(knee));

    let (canceled, refused) = cancels.await??;
    println!("       cancels: {} taken, {refused} told to wait and sent again", canceled.acks);
    report.add("H1", "cancels in it", 1, sample(&canceled, BTreeMap::new()));

    let took = drained + recovery(desk, knee * CALM, calm.quantile_ms(0.99)).await?;
    let ms = took.as_secs_f64() * 1_000.0;
    let sample = Sample { per_second: 0.0, p50_ms: ms, p99_ms: ms, extra: BTreeMap::new() };
    report.add("H1", "as before again after", 1, sample);
    Ok(())
}

/// How long it takes until requests are answered as soon as before, none refused.
async fn recovery(desk: &Arc<Desk>, rate: f64, before_ms: f64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    loop {
        let elapsed = began.elapsed();
        anyhow::ensure!(elapsed < PATIENCE, "it is not over after {PATIENCE:?}");
        let turn = Arc::clone(desk).open_loop(rate, TURN).await?;
        let whole = turn.refused.acks + turn.failed + turn.unsent == 0;
        if whole && turn.good.quantile_ms(0.99) <= before_ms * NEAR {
            return Ok(elapsed);
        }
    }
}

/// Cancels one order after the other at a fixed rate, each again until it is taken; from when it was meant to be canceled
/// to when it was. And how often one was told to wait.
async fn cancel(desk: Arc<Desk>, orders: Vec<String>) -> anyhow::Result<(Measured, usize)> {
    let (began, mut cancels) = (Instant::now(), JoinSet::new());
    for (n, order) in (0..).zip(orders) {
        let due = CANCEL_EVERY * n;
        tokio::time::sleep_until((began + due).into()).await;
        let desk = Arc::clone(&desk);
        cancels.spawn(async move {
            let mut refused = 0;
            loop {
                let status = desk.cancel(&order).await?;
                if status.is_success() {
                    return anyhow::Ok((began.elapsed().saturating_sub(due), refused));
                }
                let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
                anyhow::ensure!(busy.contains(&status), "a cancel was answered {status}");
                refused += 1;
                tokio::time::sleep(CANCEL_EVERY).await;
            }
        });
    }
    let (mut measured, mut refused) = (Measured::default(), 0);
    while let Some(canceled) = cancels.join_next().await {
        let (took, again) = canceled??;
        measured.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        refused += again;
    }
    measured.latencies.sort_unstable();
    measured.acks = measured.latencies.len();
    measured.seconds = began.elapsed().as_secs_f64();
    Ok((measured, refused))
}
