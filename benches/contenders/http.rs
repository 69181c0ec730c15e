//! Over HTTP, against the real binary: closed loops until more clients bring no more, then arrivals at a fixed rate
//! whatever the server does, each timed from when it was meant to start.
//!
//! Client, server and Postgres share the machine's cores: the knee is that of all three together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::cluster::Run;
use crate::measure::{Measured, closed_loop};
use crate::report::Report;
use crate::sample;

/// Accounts that the orders are spread over.
const ACCOUNTS: usize = 1_000;
/// Requests under way at the most: one that is due beyond that is not sent, and counted.
const IN_FLIGHT: usize = 1_000;
/// Clients of the closed loops.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// What a server that is busy tells a client to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the server may take to be ready, and a request to be answered.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TOKEN: &str = "the-operators-token-of-the-benchmarks";
/// Log-ins a second with a wrong password, and the addresses that they come from: so many that none is throttled for long.
/// Every other one is at one of these many users, the rest at users who do not exist.
const BAD_LOG_INS: f64 = 200.0;
const INTRUDERS: u8 = 200;
const USERS: u32 = 32;
/// How often placing is timed alone and beside the flood, in turn: one stall of the machine decides nothing then.
const TURNS: usize = 5;
/// How long the log-ins that were taken go on to be worked at the most.
const DRAIN: Duration = Duration::from_secs(4);
/// Parts of the knee at which placing is timed alone and beside the flood, and what the ratio of p99 is called.
const FLOODED: [(f64, [&str; 2], &str); 2] = [
    (0.25, ["25 %, placing", "25 %, beside a flood"], "H1.p99_beside_bad_log_ins_at_25"),
    (0.7, ["70 %, placing", "70 %, beside a flood"], "H1.p99_beside_bad_log_ins"),
];

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Place,
    ReadOrder,
    ReadPortfolio,
}

const MIX: [Kind; 3] = [Kind::Place, Kind::ReadOrder, Kind::ReadPortfolio];

/// A server with accounts, one stock and a quote that is never used up.
struct Desk {
    client: Client,
    base: String,
    accounts: Vec<String>,
    /// The last order of each account.
    orders: Vec<Mutex<String>>,
}

/// What became of arrivals at a fixed rate.
#[derive(Default)]
struct Arrivals {
    good: Measured,
    places: Measured,
    refused: usize,
    failed: usize,
    unsent: usize,
}

/// H1 and W3 over HTTP.
pub async fn play(run: &Run, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    // Another contender's; from a database with rows of tenants that it does not protect the server serves nothing.
    sqlx::query("DROP TABLE bulk_events").execute(&run.superuser).await?;
    let directory = tempfile_directory("http")?;
    let (mut server, base) = start(run, &directory).await?;
    let desk = Arc::new(Desk::open(base).await?);
    for clients in CLIENTS {
        let placed = desk.closed(clients, time, &[Kind::Place]).await?;
        report.add("W3", "ours over HTTP", clients, sample(&placed, BTreeMap::new()));
    }
    let mut knee: f64 = 0.0;
    for clients in CLIENTS {
        let mixed = desk.closed(clients, time, &MIX).await?;
        knee = knee.max(mixed.per_second());
        report.add("H1", "closed loop, mix", clients, sample(&mixed, BTreeMap::new()));
    }
    let bare = bare_commits(run, knee * 0.7 / 3.0, time * 2).await?;
    report.add("H1", "bare one-row commit", 1, sample(&bare, BTreeMap::new()));
    for (name, factor) in [("70 % of the knee", 0.7), ("2x the knee", 2.0), ("5x the knee", 5.0)] {
        let arrivals = Arc::clone(&desk).open_loop(knee * factor, time * 4).await?;
        let seconds = arrivals.good.seconds;
        let extra = BTreeMap::from([
            ("offered_per_second", knee * factor),
            ("refused_per_second", arrivals.refused as f64 / seconds),
            ("failed_per_second", arrivals.failed as f64 / seconds),
            ("unsent_per_second", arrivals.unsent as f64 / seconds),
        ]);
        println!(
            "       offered {:.0}/s, refused {:.0}/s, failed {:.0}/s, not sent {:.0}/s",
            extra["offered_per_second"],
            extra["refused_per_second"],
            extra["failed_per_second"],
            extra["unsent_per_second"]
        );
        report.add("H1", name, IN_FLIGHT, sample(&arrivals.good, extra));
        if factor < 1.0 {
            let p99 = |measured: &Measured| Some(measured.quantile_ms(0.99));
            report.ratio("H1.p99_of_bare_commit", p99(&arrivals.good), p99(&bare));
        } else {
            let name = format!("H1.goodput_at_{factor:.0}x");
            report.ratio(&name, Some(arrivals.good.per_second()), Some(knee));
        }
    }
    desk.register().await?;
    for (factor, [alone, beside], ratio) in FLOODED {
        desk.flooded(knee * factor, time, [alone, beside], report).await?;
        let p99 = |contender| report.p99("H1", contender, IN_FLIGHT);
        let (beside, alone) = (p99(beside), p99(alone));
        report.ratio(ratio, beside, alone);
    }
    stop(&mut server).await?;
    std::fs::remove_dir_all(&directory).context("the scratch directory")
}

pub fn tempfile_directory(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let directory =
        std::env::temp_dir().join(format!("blotter-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

pub async fn start(run: &Run, directory: &std::path::Path) -> anyhow::Result<(Child, String)> {
    // The port is free now; nobody else here asks for one.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = Command::new(env!("CARGO_BIN_EXE_blotter"))
        .args(["serve", "--market", "feed", "--hours", "always", "--log", "warn"])
        .args(["--listen", &address.to_string(), "--database-url", &run.url])
        .arg("--data-dir")
        .arg(directory)
        .env("BLOTTER_OPERATOR_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (client, base, began) = (Client::new(), format!("http://{address}"), Instant::now());
    loop {
        if let Ok(answer) = client.get(format!("{base}/readyz")).send().await
            && let Ok(health) = answer.json::<Value>().await
            && health["ready"] == true
            && health["writer"] == true
        {
            return Ok((server, base));
        }
        if began.elapsed() > PATIENCE {
            bail!("the server is not ready");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn stop(server: &mut Child) -> anyhow::Result<()> {
    let pid = server.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    rustix::process::kill_process(
        pid.context("the server has ended")?,
        rustix::process::Signal::TERM,
    )?;
    let status =
        tokio::time::timeout(PATIENCE, server.wait()).await.context("it does not stop")??;
    if status.success() { Ok(()) } else { bail!("the server ended with {status}") }
}

impl Desk {
    async fn open(base: String) -> anyhow::Result<Self> {
        let client =
            Client::builder().timeout(PATIENCE).pool_max_idle_per_host(IN_FLIGHT).build()?;
        let mut desk = Self { client, base, accounts: Vec::new(), orders: Vec::new() };
        let lines = concat!(
            r#"{"t":"instrument","symbol":"BNCH","name":"Benchmark","kind":"stock","tick":"0.01"}"#,
            "\n",
            r#"{"t":"quote","symbol":"BNCH","bid":"9.99","bid_size":"900000000","ask":"10.00","ask_size":"900000000","at":"2026-11-23T15:00:00Z"}"#,
        );
        let fed = desk.client.post(format!("{}/v1/market/feed", desk.base)).body(lines);
        let fed = fed.header("content-type", "application/x-ndjson").bearer_auth(TOKEN);
        fed.send().await?.error_for_status()?;
        for n in 0..ACCOUNTS {
            let account = json!({ "name": format!("Bench {n}"), "kind": "cash", "starting_balance": "1000000000" });
            let opened = desk.client.post(format!("{}/v1/accounts", desk.base)).json(&account);
            let opened = opened.bearer_auth(TOKEN).send().await?.error_for_status()?;
            let opened: Value = opened.json().await?;
            let id = opened["account_id"].as_str().context("no account_id")?;
            desk.accounts.push(id.to_owned());
            desk.orders.push(Mutex::default());
        }
        for n in 0..ACCOUNTS {
            let status = desk.send(n, Kind::Place).await?;
            anyhow::ensure!(status.is_success(), "the first order of an account: {status}");
        }
        Ok(desk)
    }

    /// The `n`th request, and the status of its answer when that has been read.
    async fn send(&self, n: usize, kind: Kind) -> anyhow::Result<StatusCode> {
        let n = n % ACCOUNTS;
        let account = format!("{}/v1/accounts/{}", self.base, self.accounts[n]);
        let last = || self.orders[n].lock().unwrap_or_else(PoisonError::into_inner);
        let request = match kind {
            Kind::Place => self.client.post(format!("{account}/orders")).json(&json!({
                "symbol": "BNCH", "side": "buy", "type": "market", "qty": "1", "time_in_force": "day"
            })),
            Kind::ReadOrder => self.client.get(format!("{account}/orders/{}", last())),
            Kind::ReadPortfolio => self.client.get(format!("{account}/portfolio")),
        };
        let answer = request.bearer_auth(TOKEN).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if kind == Kind::Place && status.is_success() {
            let order: Value = serde_json::from_slice(&body)?;
            anyhow::ensure!(order["status"] == "filled", "an order did not fill: {order}");
            order["order_id"].as_str().context("no order_id")?.clone_into(&mut last());
        }
        Ok(status)
    }

    async fn closed(
        self: &Arc<Self>,
        clients: usize,
        time: Duration,
        mix: &'static [Kind],
    ) -> anyhow::Result<Measured> {
        let desk = Arc::clone(self);
        let send = move |n: usize| {
            let desk = Arc::clone(&desk);
            async move {
                loop {
                    let status = desk.send(n / mix.len(), mix[n % mix.len()]).await?;
                    if status != StatusCode::SERVICE_UNAVAILABLE {
                        anyhow::ensure!(status.is_success(), "{status} in a closed loop");
                        return Ok(());
                    }
                    // It comes again as it is told to, and the wait counts.
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        };
        closed_loop(clients, time, send).await
    }

    /// Times placing in the mix at a fixed rate, alone and beside bad log-ins, in turn.
    async fn flooded(
        self: &Arc<Self>,
        rate: f64,
        time: Duration,
        contenders: [&'static str; 2],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        for turn in 0..TURNS * 2 {
            // Which of the two comes first changes from pair to pair.
            let flooded = turn % 4 == 1 || turn % 4 == 2;
            let flood = flooded.then(|| tokio::spawn(flood(self.base.clone(), time * 2)));
            let arrivals = Arc::clone(self).open_loop(rate, time * 2).await?;
            let contender = contenders[usize::from(flooded)];
            report.add("H1", contender, IN_FLIGHT, sample(&arrivals.places, BTreeMap::new()));
            if let Some(flood) = flood {
                println!("       log-ins: {:?}", flood.await??);
                // What waits to be hashed is no part of the next turn.
                tokio::time::sleep(DRAIN).await;
            }
        }
        Ok(())
    }

    /// Registers those whom a flood tries to be.
    async fn register(&self) -> anyhow::Result<()> {
        for n in 0..USERS {
            let user = json!({ "email": existing(n), "password": "several unrelated words here" });
            let user = self.client.post(format!("{}/v1/users", self.base)).json(&user);
            user.bearer_auth(TOKEN).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Sends the mix at a fixed rate, however long the answers take.
    async fn open_loop(self: Arc<Self>, rate: f64, time: Duration) -> anyhow::Result<Arrivals> {
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
        let unsent = AtomicUsize::new(0);
        let began = Instant::now();
        for n in 0.. {
            let due = Duration::from_secs_f64(f64::from(n) / rate);
            if due >= time {
                break;
            }
            tokio::time::sleep_until((began + due).into()).await;
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                unsent.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (desk, answers, n) = (Arc::clone(&self), answers.clone(), n as usize);
            tokio::spawn(async move {
                let kind = MIX[n % MIX.len()];
                let status = desk.send(n / MIX.len(), kind).await;
                let took = began.elapsed().saturating_sub(due);
                drop(place);
                // The run is over when nobody listens.
                drop(answers.send((kind, status, took)));
            });
        }
        drop(answers);
        let mut arrivals =
            Arrivals { unsent: unsent.load(Ordering::Relaxed), ..Arrivals::default() };
        while let Some((kind, status, took)) = answered.recv().await {
            let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
            match status {
                Ok(status) if status.is_success() => {
                    arrivals.good.latencies.push(micros);
                    if kind == Kind::Place {
                        arrivals.places.latencies.push(micros);
                    }
                }
                Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                    arrivals.refused += 1;
                }
                Ok(status) => bail!("{status} under load"),
                // A connection that was refused or cut off.
                Err(_) => arrivals.failed += 1,
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        for measured in [&mut arrivals.good, &mut arrivals.places] {
            measured.latencies.sort_unstable();
            measured.acks = measured.latencies.len();
            measured.seconds = seconds;
        }
        Ok(arrivals)
    }
}

fn existing(n: u32) -> String {
    format!("user{}@example.com", n % USERS)
}

/// Tries wrong passwords at a fixed rate, each for the next user and from the next address, and counts the answers by
/// status. None may let anybody in.
async fn flood(base: String, time: Duration) -> anyhow::Result<BTreeMap<u16, usize>> {
    let intruder = |n| Client::builder().local_address(IpAddr::from([127, 0, 1, n])).build();
    let intruders = (1..=INTRUDERS).map(intruder).collect::<Result<Vec<_>, _>>()?;
    let (began, mut tries) = (Instant::now(), tokio::task::JoinSet::new());
    for n in 0.. {
        let due = Duration::from_secs_f64(f64::from(n) / BAD_LOG_INS);
        if due >= time {
            break;
        }
        tokio::time::sleep_until((began + due).into()).await;
        let email = if n % 2 == 0 { existing(n / 2) } else { format!("nobody{n}@example.com") };
        let body = json!({ "email": email, "password": "a wrong password" });
        let intruder = &intruders[n as usize % intruders.len()];
        let log_in = intruder.post(format!("{base}/v1/sessions")).json(&body).send();
        tries.spawn(async move { anyhow::Ok(log_in.await?.status()) });
    }
    let mut told = BTreeMap::new();
    while let Some(status) = tries.join_next().await {
        let status = status??;
        let refused = [
            StatusCode::UNAUTHORIZED,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        anyhow::ensure!(refused.contains(&status), "a bad log-in was answered {status}");
        *told.entry(status.as_u16()).or_default() += 1;
    }
    Ok(told)
}

/// Commits of one row each at a fixed rate on the same Postgres, each from when it was meant to start.
async fn bare_commits(run: &Run, rate: f64, time: Duration) -> anyhow::Result<Measured> {
    sqlx::query("CREATE TABLE bare_commits (n bigint PRIMARY KEY, payload text NOT NULL)")
        .execute(&run.superuser)
        .await?;
    let payload = "x".repeat(250);
    let (began, mut commits) = (Instant::now(), Vec::new());
    for n in 0_i64.. {
        let due = Duration::from_secs_f64(n as f64 / rate);
        if due >= time {
            break;
        }
        tokio::time::sleep_until((began + due).into()).await;
        let (pool, payload) = (run.superuser.clone(), payload.clone());
        commits.push(tokio::spawn(async move {
            sqlx::query("INSERT INTO bare_commits VALUES ($1, $2)")
                .bind(n)
                .bind(payload)
                .execute(&pool)
                .await?;
            anyhow::Ok(began.elapsed().saturating_sub(due))
        }));
    }
    let mut measured = Measured::default();
    for commit in commits {
        let took = commit.await??;
        measured.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }
    measured.latencies.sort_unstable();
    measured.acks = measured.latencies.len();
    measured.seconds = began.elapsed().as_secs_f64();
    Ok(measured)
}
