//! What views cost and how late they are: W3 with the projections running beside the writer, and W6, the time from
//! the answer to a command to its rows in the views, at half of that load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use projections::runner::Views;
use projections::{Group, Runner};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::Run;
use crate::measure::Measured;
use crate::ours::{Ours, order};
use crate::report::Report;
use crate::scene::{ACCOUNTS, Scene};
use crate::{checks, sample};

/// The clients of W3 with projections.
const CLIENTS: usize = 64;
/// A view that is later than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// W3 with every group of views kept, then W6 at half the rate that came out.
pub async fn play(run: &Run, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let scene = Scene::new(ACCOUNTS);
    let ours = Ours::start(run, &scene).await?;
    let (views, tasks) = project(run, &ours);
    let opened = ours.head().borrow().position;
    caught_up(&views, opened).await?;
    let measured = ours.orders(&scene, CLIENTS, time, true).await?;
    report.add("W3", "ours, projectors on", CLIENTS, sample(&measured, BTreeMap::new()));
    let position = ours.head().borrow().position;
    let waited = Instant::now();
    caught_up(&views, position).await?;
    let rate = measured.per_second() / 2.0;
    println!(
        "       views caught up {:.0} ms after the last order; half of that load is {rate:.0}/s",
        waited.elapsed().as_secs_f64() * 1_000.0
    );
    let sent = lag(&ours, &scene, &views, rate, time, report).await?;
    caught_up(&views, ours.head().borrow().position).await?;
    for task in tasks {
        task.abort();
    }
    ours.stop().await?;
    checks::log(&run.superuser, measured.acks + sent, measured.acks + sent).await
}

/// Projections of every group, woken by the head as in the server.
fn project(run: &Run, ours: &Ours) -> (Views, [JoinHandle<()>; 2]) {
    let mut head = ours.head();
    let (positions, receiver) = watch::channel(head.borrow().position);
    let wakes = tokio::spawn(async move {
        while head.changed().await.is_ok() {
            let position = head.borrow_and_update().position;
            positions.send_replace(position);
        }
    });
    let (runner, views) = Runner::new(run.projector.pool().clone(), receiver);
    (views, [wakes, tokio::spawn(runner.run())])
}

async fn caught_up(views: &Views, position: u64) -> anyhow::Result<()> {
    for group in Group::ALL {
        anyhow::ensure!(views.wait(group, position, PATIENCE).await, "{} is late", group.name());
    }
    Ok(())
}

/// Orders at a fixed rate of arrival. Adds the time from each answer to the view that contains the order, and the
/// time from the intended start to the answer.
async fn lag(
    ours: &Ours,
    scene: &Arc<Scene>,
    views: &Views,
    rate: f64,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<usize> {
    let began = Instant::now();
    let mut orders = JoinSet::new();
    let count = (rate * time.as_secs_f64()) as usize;
    for n in 0..count {
        let start = began + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(start.into()).await;
        let (ledger, scene, views) = (ours.ledger(), Arc::clone(scene), views.clone());
        orders.spawn(async move {
            let position = order(&ledger, &scene, n, true).await?;
            let answered = Instant::now();
            let seen = views.wait(Group::Trading, position, PATIENCE).await;
            anyhow::ensure!(seen, "position {position} is in no view");
            anyhow::Ok(((answered - start).as_micros(), answered.elapsed().as_micros()))
        });
    }
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    while let Some(done) = orders.join_next().await {
        let (answer, row) = done??;
        answers.push(u32::try_from(answer)?);
        rows.push(u32::try_from(row)?);
    }
    let seconds = began.elapsed().as_secs_f64();
    for (contender, mut latencies) in [("commit to view", rows), ("start to answer", answers)] {
        latencies.sort_unstable();
        let measured = Measured { acks: count, seconds, latencies };
        report.add("W6", contender, CLIENTS, sample(&measured, BTreeMap::new()));
    }
    Ok(count)
}
