//! A long log: W5, reading it and folding every view from it anew, against the bare decode of its payloads; and W9,
//! how long a start takes at a quarter of it and at all of it, with the engine's checkpoint and without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use blotter::engine::PostgresHistory;
use blotter::engine::core::{Core, Settings};
use blotter::engine::history::{History, recover};
use blotter::ledger::SHARD;
use blotter::market::calendar::Calendar;
use futures::TryStreamExt;
use projections::Group;
use projections::log::read_after;
use serde_json::Value;

use crate::checks;
use crate::cluster::Run;
use crate::measure::Until;
use crate::ours::Ours;
use crate::report::{Report, Sample};
use crate::scene::{ACCOUNTS, Scene};

/// How long the log becomes, and how many orders stay open.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub events: usize,
    pub open_orders: usize,
}

/// Clients that write the log.
const CLIENTS: usize = 256;
/// Events of one page of a read.
const PAGE: u32 = 10_000;
/// How often what is short is repeated.
const TIMES: usize = 3;
/// Orders that fill after the engine's last checkpoint: with 5 events each the longest tail that a crash leaves.
const TAIL: usize = 4_000;

const RAW: &str = "SELECT payload FROM events WHERE shard = 0 ORDER BY position";

/// Writes the log, and measures on the way: starts, and then reading and rebuilding if `reads`.
pub async fn play(run: &Run, size: Size, reads: bool, report: &mut Report) -> anyhow::Result<()> {
    let scene = Scene::new(ACCOUNTS);
    let mut ours = Ours::start(run, &scene).await?;
    ours.ignore_feed();
    let opened = ours.orders(&scene, CLIENTS, Until::Sent(size.open_orders), false).await?.acks;
    let mut filled = 0;
    for (contenders, events) in [
        (["a quarter, checkpoint", "a quarter, no checkpoint"], size.events / 4),
        (["all, checkpoint", "all, no checkpoint"], size.events),
    ] {
        let tail = TAIL.min(events / 20);
        filled += grow(&ours, &scene, events.saturating_sub(tail * 5)).await?;
        let history = PostgresHistory::new(run.writer.clone(), SHARD);
        history.keep(recovered(&history).await?.state()).await?;
        filled += ours.orders(&scene, CLIENTS, Until::Sent(tail), true).await?.acks;
        ours.stop().await?;
        for (contender, keeps_checkpoint) in contenders.into_iter().zip([true, false]) {
            if !keeps_checkpoint {
                sqlx::query("DELETE FROM engine_checkpoints").execute(&run.superuser).await?;
            }
            for _ in 0..TIMES {
                restart(run, contender, opened, report).await?;
            }
        }
        ours = Ours::resume(run).await?;
        ours.ignore_feed();
    }
    ours.stop().await?;
    checks::log(&run.superuser, opened + filled, filled).await?;
    if !reads {
        return Ok(());
    }
    for _ in 0..TIMES {
        read(run, report).await?;
        raw(run, report).await?;
    }
    rebuild(run, report).await
}

/// Fills orders until the log has about `events` events.
async fn grow(ours: &Ours, scene: &Arc<Scene>, events: usize) -> anyhow::Result<usize> {
    let position = usize::try_from(ours.head().borrow().position)?;
    let orders = events.saturating_sub(position) / 5;
    Ok(ours.orders(scene, CLIENTS, Until::Sent(orders), true).await?.acks)
}

async fn recovered(history: &PostgresHistory) -> anyhow::Result<Core> {
    Ok(recover(history, Settings::new(Calendar::always())).await?)
}

/// From nothing in memory to a writer with an engine that has its books.
async fn restart(
    run: &Run,
    contender: &'static str,
    opened: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let ours = Ours::resume(run).await?;
    let writes = began.elapsed();
    let core = recovered(&PostgresHistory::new(run.writer.clone(), SHARD)).await?;
    let took = began.elapsed();
    let (orders, events) = (core.state().orders.count(), ours.head().borrow().position);
    anyhow::ensure!(orders == opened, "{opened} orders rest, the engine knows {orders}");
    ours.stop().await?;
    let extra = BTreeMap::from([
        ("log_events", events as f64),
        ("open_orders", opened as f64),
        ("take_over_ms", writes.as_secs_f64() * 1_000.0),
    ]);
    report.add("W9", contender, 1, once(1, took.as_secs_f64(), extra));
    Ok(())
}

fn once(count: usize, seconds: f64, extra: BTreeMap<&'static str, f64>) -> Sample {
    let took_ms = seconds * 1_000.0;
    Sample { per_second: count as f64 / seconds, p50_ms: took_ms, p99_ms: took_ms, extra }
}

/// W5: every event of the log, decoded, as projections and engine read it.
async fn read(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let mut connection = run.superuser.acquire().await?;
    let (began, mut last, mut count) = (Instant::now(), 0, 0);
    loop {
        let page = read_after(&mut connection, SHARD, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.position;
        for row in &page {
            std::hint::black_box(row.event()?);
            count += 1;
        }
    }
    let extra = BTreeMap::from([("log_events", count as f64)]);
    report.add("W5", "read", 1, once(count, began.elapsed().as_secs_f64(), extra));
    Ok(())
}

/// The payloads alone, as a stream of JSON values.
async fn raw(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let (began, mut count) = (Instant::now(), 0);
    let mut payloads = sqlx::query_scalar::<_, Value>(RAW).fetch(&run.superuser);
    while let Some(payload) = payloads.try_next().await? {
        std::hint::black_box(payload);
        count += 1;
    }
    let extra = BTreeMap::from([("log_events", count as f64)]);
    report.add("W5", "raw decode", 1, once(count, began.elapsed().as_secs_f64(), extra));
    Ok(())
}

/// Every group anew from the first event, one after the other.
async fn rebuild(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let mut connection = run.projector.pool().acquire().await?;
    let events: i64 = sqlx::query_scalar("SELECT position FROM ledger_head WHERE shard = 0")
        .fetch_one(&run.superuser)
        .await?;
    let (count, mut all) = (usize::try_from(events)?, 0.0);
    let extra = BTreeMap::from([("log_events", count as f64)]);
    for group in Group::ALL {
        let began = Instant::now();
        projections::rebuild::run(&mut connection, group).await?;
        let took = began.elapsed().as_secs_f64();
        all += took;
        let contender = match group {
            Group::Trading => "rebuild of trading",
            Group::Books => "rebuild of books",
            Group::Market => "rebuild of market",
            Group::Snapshots => "rebuild of snapshots",
        };
        report.add("W5", contender, 1, once(count, took, extra.clone()));
    }
    report.add("W5", "rebuild of every view", 1, once(count, all, extra));
    Ok(())
}
