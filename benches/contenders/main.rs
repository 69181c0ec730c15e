//! Every contender in turn on the same scratch Postgres, in one run: `make bench`.
//!
//! fsync and synchronous_commit are on, the database is reached over a Unix socket, the contenders are rotated over
//! the rounds, and after every run the rows are counted and the money is added up. Absolute rates drift from machine
//! to machine: the ratios are the result.

#![expect(clippy::float_arithmetic, reason = "rates are not money")]

mod bulk;
mod checks;
mod cluster;
mod flood;
mod framework;
mod history;
mod http;
mod measure;
mod ours;
mod overload;
mod report;
mod scene;
mod ticks;
mod triggers;
mod views;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use projections::log::Recorded;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Disk, Run};
use crate::framework::PostgresEs;
use crate::measure::Measured;
use crate::ours::Ours;
use crate::report::{Report, Sample};
use crate::scene::{ACCOUNTS, Scene};

/// How long and how often.
struct Plan {
    /// The contenders whose names begin with this; all of them and the long log unless it is given.
    only: Option<String>,
    rounds: usize,
    time: Duration,
    clients: Vec<usize>,
    log: history::Size,
    /// Requests a second of which a flood of log-ins is played beside parts; as many as come through unless it is given.
    flood_rate: Option<f64>,
}

impl Plan {
    fn read() -> Self {
        let quick = std::env::args().any(|argument| argument == "--quick");
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            only: std::env::var("BENCH_ONLY").ok(),
            rounds: usize::try_from(number("BENCH_ROUNDS", if quick { 1 } else { 5 })).unwrap_or(5),
            time: Duration::from_millis(number(
                "BENCH_MILLISECONDS",
                if quick { 1_000 } else { 2_000 },
            )),
            clients: if quick { vec![64] } else { vec![1, 16, 64, 256, 1_024] },
            log: history::Size {
                events: usize::try_from(number(
                    "BENCH_LOG_EVENTS",
                    if quick { 60_000 } else { 400_000 },
                ))
                .unwrap_or(usize::MAX),
                open_orders: usize::try_from(number(
                    "BENCH_OPEN_ORDERS",
                    if quick { 1_000 } else { 10_000 },
                ))
                .unwrap_or(usize::MAX),
            },
            flood_rate: std::env::var("BENCH_FLOOD_RATE").ok().and_then(|text| text.parse().ok()),
        }
    }
}

/// The metadata that ours writes, for those who write through a map.
fn metadata() -> HashMap<String, String> {
    let id = uuid::Uuid::now_v7().to_string();
    ["tenant", "actor", "request", "command"]
        .into_iter()
        .map(|name| (name.to_owned(), id.clone()))
        .chain([
            ("token".to_owned(), "bench".to_owned()),
            ("interface".to_owned(), "rest".to_owned()),
            ("causation".to_owned(), "request".to_owned()),
            ("epoch".to_owned(), "1".to_owned()),
        ])
        .collect()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let plan = Plan::read();
    let mut cluster = Cluster::start().await?;
    let mut machine = machine(&cluster).await?;
    let stolen = Stolen::now()?;
    println!("{}", serde_json::to_string_pretty(&machine)?);
    let mut report = Report::default();
    let contenders: [&'static str; 11] = [
        "ours",
        "ours, one hot account",
        "ours, resting",
        "postgres-es",
        "postgres-es, resting",
        "W1",
        "views",
        "http",
        "flood",
        "overload",
        "ticks",
    ];
    if plan.only.as_ref().is_none_or(|only| "triggers".starts_with(only.as_str())) {
        triggers::play(&mut report)?;
    }
    for round in 0..plan.rounds {
        println!("round {} of {}, load {}", round + 1, plan.rounds, load());
        for &clients in &plan.clients {
            for turn in 0..contenders.len() {
                let contender = contenders[(turn + round) % contenders.len()];
                if plan.only.as_ref().is_some_and(|only| !contender.starts_with(only.as_str())) {
                    continue;
                }
                play(contender, clients, &plan, &mut cluster, &mut report).await?;
            }
        }
    }
    if plan.only.as_ref().is_none_or(|only| only == "restart") {
        println!("a log of {} events, load {}", plan.log.events, load());
        let run = cluster.fresh().await?;
        history::play(&run, plan.log, plan.only.is_none(), &mut report).await?;
    }
    ratios(&mut report, &plan);
    report.print();
    let stolen = stolen.so_far()?;
    println!("{stolen:.1} % of the time that was asked of the cores the hypervisor gave to others");
    machine["stolen_percent"] = json!(stolen);
    report.write(Path::new("target/bench/report.json"), &machine)?;
    cluster.stop().await
}

async fn play(
    contender: &'static str,
    clients: usize,
    plan: &Plan,
    cluster: &mut Cluster,
    report: &mut Report,
) -> anyhow::Result<()> {
    let run = cluster.fresh().await?;
    match contender {
        "ours" => ours(&run, "W3", "ours", ACCOUNTS, clients, plan, report).await,
        "ours, one hot account" if clients >= 64 => {
            ours(&run, "W3", contender, 1, clients, plan, report).await
        }
        "ours, resting" if clients == 64 => {
            ours(&run, "W3r", "ours", ACCOUNTS, clients, plan, report).await
        }
        "postgres-es" => framework(&run, "W3", clients, plan, report).await,
        "postgres-es, resting" if clients == 64 => {
            framework(&run, "W3r", clients, plan, report).await
        }
        "views" if clients == 64 => views::play(&run, plan.time, report).await,
        "ticks" if clients == 64 => ticks::play(&run, plan.time * 5, report).await,
        "http" if clients == 64 => http::play(&run, plan.time, report).await,
        "flood" if clients == 64 && plan.only.is_some() => {
            http::flood(&run, plan.flood_rate, plan.time, report).await
        }
        "overload" if clients == 64 && plan.only.is_some() => {
            http::overload(&run, plan.time, report).await
        }
        "W1" if clients <= 64 => w1(&run, clients, plan, report).await,
        _ => Ok(()),
    }
}

fn sample(measured: &Measured, extra: BTreeMap<&'static str, f64>) -> Sample {
    Sample {
        per_second: measured.per_second(),
        p50_ms: measured.quantile_ms(0.5),
        p99_ms: measured.quantile_ms(0.99),
        extra,
    }
}

/// Ours, and with the rows that it wrote the bulk contenders at the size of batch that it formed.
async fn ours(
    run: &Run,
    id: &'static str,
    contender: &'static str,
    accounts: usize,
    clients: usize,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let scene = Scene::new(accounts);
    let mut ours = Ours::start(run, &scene).await?;
    drop(ours.batches());
    let (fills, before) = (id == "W3", run.disk().await?);
    let measured = ours.orders(&scene, clients, plan.time, fills).await?;
    let after = run.disk().await?;
    let batches = ours.batches();
    ours.stop().await?;
    let filled = if fills { measured.acks } else { 0 };
    checks::log(&run.superuser, measured.acks, filled).await?;
    let mut extra = disk(before, after, measured.acks);
    let rows: Vec<Recorded> = batches.iter().flatten().cloned().collect();
    let batch = (rows.len() / batches.len().max(1)).max(1);
    extra.insert("events_per_batch", batch as f64);
    report.add(id, contender, clients, sample(&measured, extra));
    if contender == "ours" {
        bulk(run, id, &rows, batch, measured.acks, clients, report).await?;
    }
    if contender == "ours" && clients == 64 && fills {
        transactions(run, &rows, clients, plan, report).await?;
    }
    Ok(())
}

/// What `unnest` would bring if no commit waited for the disk: what overlapping the insertion of a batch with the commit of
/// the one before can bring at the most.
const UNWAITED: &str = "unnest, no wait for the disk";

/// Whether the commits of a connection wait for the disk.
const SET_WAITS: &str = "SELECT set_config('synchronous_commit', $1, false)";

async fn bulk(
    run: &Run,
    id: &'static str,
    rows: &[Recorded],
    batch: usize,
    orders: usize,
    clients: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let chunks: Vec<&[Recorded]> = rows.chunks(batch).collect();
    let mut connection = run.superuser.acquire().await?;
    for contender in ["copy", "unnest", UNWAITED] {
        sqlx::query("TRUNCATE bulk_events").execute(&mut *connection).await?;
        let waits = if contender == UNWAITED { "off" } else { "on" };
        sqlx::query(SET_WAITS).bind(waits).execute(&mut *connection).await?;
        let before = run.disk().await?;
        let took = match contender {
            "copy" => bulk::copy(&mut connection, &chunks).await?,
            _ => bulk::unnest(&mut connection, &chunks).await?,
        };
        let after = run.disk().await?;
        checks::rows(&run.superuser, "bulk_events", rows.len()).await?;
        let per_batch = took.as_secs_f64() * 1_000.0 / chunks.len() as f64;
        let per_second = orders as f64 / took.as_secs_f64();
        let extra = disk(before, after, orders);
        report.add(
            id,
            contender,
            clients,
            Sample { per_second, p50_ms: per_batch, p99_ms: per_batch, extra },
        );
    }
    sqlx::query(SET_WAITS).bind("on").execute(&mut *connection).await?;
    Ok(())
}

async fn transactions(
    run: &Run,
    rows: &[Recorded],
    clients: usize,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Five rows an order as they lie in the log: contents and sizes are what matters here, not whose they are.
    let orders: Vec<Vec<Recorded>> = rows.chunks_exact(5).map(<[Recorded]>::to_vec).collect();
    let measured = bulk::transactions(&run.superuser, orders, clients, plan.time).await?;
    checks::rows(&run.superuser, "plain_events", measured.acks * 5).await?;
    report.add("W3", "one transaction an order", clients, sample(&measured, BTreeMap::new()));
    Ok(())
}

async fn framework(
    run: &Run,
    id: &'static str,
    clients: usize,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let scene = Scene::new(ACCOUNTS);
    let framework = PostgresEs::start(&run.superuser, &scene).await?;
    let (fills, before) = (id == "W3", run.disk().await?);
    let measured = framework.orders(&scene, clients, plan.time, fills).await?;
    let after = run.disk().await?;
    let events = if fills { 5 } else { 2 };
    checks::rows(&run.superuser, "plain_events", ACCOUNTS * 2 + measured.acks * events).await?;
    report.add(id, "postgres-es", clients, sample(&measured, disk(before, after, measured.acks)));
    Ok(())
}

async fn w1(run: &Run, clients: usize, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let scene = Scene::new(1);
    let ours = Ours::start(run, &scene).await?;
    let measured = ours.w1(clients, plan.time).await?;
    ours.stop().await?;
    checks::log(&run.superuser, 0, 0).await?;
    report.add("W1", "ours", clients, sample(&measured, BTreeMap::new()));
    let framework = PostgresEs::start(&run.superuser, &scene).await?;
    let measured = framework.w1(clients, plan.time).await?;
    checks::rows(&run.superuser, "plain_events", 2 + measured.acks).await?;
    report.add("W1", "postgres-es", clients, sample(&measured, BTreeMap::new()));
    let measured = bare_insert(run, clients, plan.time).await?;
    report.add("W1", "bare INSERT", clients, sample(&measured, BTreeMap::new()));
    Ok(())
}

async fn bare_insert(run: &Run, clients: usize, time: Duration) -> anyhow::Result<Measured> {
    const INSERT: &str = "INSERT INTO plain_events VALUES ('bare', $1, 1, 'AccountOpened', '1.0', $2::json, $3::json)";
    let pool = run.superuser.clone();
    let payload = json!({ "AccountOpened": { "account_id": uuid::Uuid::nil(), "kind": "cash", "option_level": 0 } });
    let (payload, metadata) = (payload.to_string(), serde_json::to_string(&metadata())?);
    measure::closed_loop(clients, time, move |_| {
        let (pool, payload, metadata) = (pool.clone(), payload.clone(), metadata.clone());
        async move {
            let id = uuid::Uuid::now_v7().to_string();
            sqlx::query(INSERT).bind(id).bind(payload).bind(metadata).execute(&pool).await?;
            Ok(())
        }
    })
    .await
}

fn disk(before: Disk, after: Disk, orders: usize) -> BTreeMap<&'static str, f64> {
    let per_order = |total: i64| total as f64 / orders.max(1) as f64;
    BTreeMap::from([
        ("wal_bytes_per_order", per_order(after.wal_bytes - before.wal_bytes)),
        ("fsyncs_per_order", per_order(after.wal_syncs - before.wal_syncs)),
    ])
}

fn ratios(report: &mut Report, plan: &Plan) {
    for &clients in &plan.clients {
        let key =
            |name: &str| if clients == 64 { name.to_owned() } else { format!("{name}_{clients}") };
        let ours = report.rate("W3", "ours", clients);
        let (framework, copy) =
            (report.rate("W3", "postgres-es", clients), report.rate("W3", "copy", clients));
        report.ratio(&key("W3.vs_postgres_es"), ours, framework);
        report.ratio(&key("W3.of_copy"), ours, copy);
        report.ratio(&key("W3.of_unnest"), ours, report.rate("W3", "unnest", clients));
        report.ratio(
            &key("W3.hot_of_spread"),
            report.rate("W3", "ours, one hot account", clients),
            ours,
        );
        report.ratio(
            &key("W1.vs_postgres_es"),
            report.rate("W1", "ours", clients),
            report.rate("W1", "postgres-es", clients),
        );
    }
    let (ours, framework) = (report.rate("W3r", "ours", 64), report.rate("W3r", "postgres-es", 64));
    report.ratio("W3r.vs_postgres_es", ours, framework);
    report.ratio("W3r.of_copy", ours, report.rate("W3r", "copy", 64));
    report.ratio(
        "W3.projectors_on_of_off",
        report.rate("W3", "ours, projectors on", 64),
        report.rate("W3", "ours", 64),
    );
    let raw = report.rate("W5", "raw decode", 1);
    report.ratio("W5.read_of_raw", report.rate("W5", "read", 1), raw);
    report.ratio("W5.rebuild_of_raw", report.rate("W5", "rebuild of every view", 1), raw);
    // How many times as long a start takes on four times the log: 1 means that the length does not matter.
    for (key, small, large) in [
        ("W9.growth_by_log", "a quarter, checkpoint", "all, checkpoint"),
        ("W9.growth_by_log_without_checkpoint", "a quarter, no checkpoint", "all, no checkpoint"),
    ] {
        report.ratio(key, report.rate("W9", small, 1), report.rate("W9", large, 1));
    }
}

async fn machine(cluster: &Cluster) -> anyhow::Result<Value> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(json!({
        "cores": std::thread::available_parallelism()?.get(),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "load": load(),
        "fsync_ms": fsync_ms()?,
        "postgres": cluster.settings().await?.into_iter().collect::<BTreeMap<_, _>>(),
    }))
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The time that cores were wanted for, and that of it in which a hypervisor gave them to others: a run that lost much says
/// little. In ticks, since the machine began.
struct Stolen {
    wanted: f64,
    stolen: f64,
}

impl Stolen {
    fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let all = stat.lines().next().context("/proc/stat is empty")?.split_whitespace().skip(1);
        // user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen.
        let ticks: Vec<f64> = all.take(8).map(str::parse).collect::<Result<_, _>>()?;
        let [user, nice, system, _, _, hard, soft, stolen] = ticks[..] else {
            anyhow::bail!("/proc/stat has {} columns of a core's time, not 8", ticks.len());
        };
        Ok(Self { wanted: user + nice + system + hard + soft + stolen, stolen })
    }

    /// The percentage since.
    fn so_far(&self) -> anyhow::Result<f64> {
        let now = Self::now()?;
        Ok((now.stolen - self.stolen) / (now.wanted - self.wanted).max(1.0) * 100.0)
    }
}

/// The median time to write 8 KiB and make it durable, in milliseconds.
fn fsync_ms() -> anyhow::Result<f64> {
    use std::io::Write;
    let path = std::env::temp_dir().join(format!("blotter-bench-fsync-{}", std::process::id()));
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        file.write_all(&[0x5a; 8_192])?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    std::fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2] * 1_000.0).round() / 1_000.0)
}
