//! Over HTTP, against the real binary: closed loops until more clients bring no more, then arrivals at a fixed rate
//! whatever the server does, each timed from when it was meant to start.
//!
//! Client, server and Postgres share the machine's cores: the knee is that of all three together.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::cluster::Run;
use crate::measure::{Measured, closed_loop};
use crate::report::Report;
use crate::wire::Wire;
use crate::{flood, overload, sample};

/// Accounts that the orders are spread over.
const ACCOUNTS: usize = 1_000;
/// Requests under way at the most: one that is due beyond that is not sent, and counted.
pub const IN_FLIGHT: usize = 1_000;
/// Clients of the closed loops.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// What a server that is busy tells a client to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the server may take to be ready, and a request to be answered.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TOKEN: &str = "the-operators-token-of-the-benchmarks";

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Place,
    ReadOrder,
    ReadPortfolio,
}

const MIX: [Kind; 3] = [Kind::Place, Kind::ReadOrder, Kind::ReadPortfolio];

/// A server with accounts, one stock and a quote that is never used up.
pub struct Desk {
    pub client: Client,
    pub base: String,
    wire: Wire,
    accounts: Vec<Account>,
    /// The last order of each account.
    orders: Vec<Mutex<String>>,
}

/// An account, and the requests about it that are always the same.
struct Account {
    path: String,
    place: String,
    portfolio: String,
}

/// What the answer to an order is looked at for.
#[derive(Deserialize)]
struct Placed {
    order_id: String,
    status: String,
}

/// What became of arrivals at a fixed rate.
#[derive(Default)]
pub struct Arrivals {
    pub good: Measured,
    pub places: Measured,
    /// Told to come again.
    pub refused: Measured,
    pub failed: usize,
    pub unsent: usize,
}

/// H1 and W3 over HTTP.
pub async fn play(run: &Run, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let served = Served::open(run).await?;
    let desk = &served.desk;
    for clients in CLIENTS {
        let placed = desk.closed(clients, time, &[Kind::Place]).await?;
        report.add("W3", "ours over HTTP", clients, sample(&placed, BTreeMap::new()));
    }
    let knee = knee(desk, time, report).await?;
    fixed_rates(run, desk, knee, time, report).await?;
    flood::play(desk, knee, time, report).await?;
    served.close().await
}

/// The part of [`play`] with a flood of log-ins, at parts of this many requests a second or of the knee as it is found.
pub async fn flood(
    run: &Run,
    rate: Option<f64>,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let served = Served::open(run).await?;
    let desk = &served.desk;
    let knee = match rate {
        Some(rate) => rate,
        None => knee(desk, time, report).await?,
    };
    flood::play(desk, knee, time, report).await?;
    served.close().await
}

/// A minute of overload.
pub async fn overload(run: &Run, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let served = Served::open(run).await?;
    let knee = knee(&served.desk, time, report).await?;
    overload::play(&served.desk, knee, report).await?;
    served.close().await
}

/// A server with its directory, and a desk at it.
struct Served {
    server: Child,
    directory: PathBuf,
    desk: Arc<Desk>,
}

impl Served {
    async fn open(run: &Run) -> anyhow::Result<Self> {
        // Another contender's; from a database with rows of tenants that it does not protect the server serves nothing.
        sqlx::query("DROP TABLE bulk_events").execute(&run.superuser).await?;
        let directory = tempfile_directory("http")?;
        let (server, base) = start(run, &directory).await?;
        Ok(Self { server, directory, desk: Arc::new(Desk::open(base).await?) })
    }

    async fn close(mut self) -> anyhow::Result<()> {
        stop(&mut self.server).await?;
        std::fs::remove_dir_all(&self.directory).context("the scratch directory")
    }
}

/// What a closed loop of the mix brings at the most, requests a second.
async fn knee(desk: &Arc<Desk>, time: Duration, report: &mut Report) -> anyhow::Result<f64> {
    let mut knee: f64 = 0.0;
    for clients in CLIENTS {
        let mixed = desk.closed(clients, time, &MIX).await?;
        knee = knee.max(mixed.per_second());
        report.add("H1", "closed loop, mix", clients, sample(&mixed, BTreeMap::new()));
    }
    Ok(knee)
}

/// The mix at parts and multiples of the knee.
async fn fixed_rates(
    run: &Run,
    desk: &Arc<Desk>,
    knee: f64,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let bare = bare_commits(run, knee * 0.7 / 3.0, time * 2).await?;
    report.add("H1", "bare one-row commit", 1, sample(&bare, BTreeMap::new()));
    for (name, factor) in [("70 % of the knee", 0.7), ("2x the knee", 2.0), ("5x the knee", 5.0)] {
        let arrivals = Arc::clone(desk).open_loop(knee * factor, time * 4).await?;
        let seconds = arrivals.good.seconds;
        let extra = BTreeMap::from([
            ("offered_per_second", knee * factor),
            ("refused_per_second", arrivals.refused.per_second()),
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
    Ok(())
}

pub fn tempfile_directory(name: &str) -> anyhow::Result<PathBuf> {
    let directory =
        std::env::temp_dir().join(format!("blotter-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

pub async fn start(run: &Run, directory: &Path) -> anyhow::Result<(Child, String)> {
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
        let wire = Wire::new(&base)?;
        let mut desk = Self { client, base, wire, accounts: Vec::new(), orders: Vec::new() };
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
            let path = format!("/v1/accounts/{id}");
            let order =
                r#"{"symbol":"BNCH","side":"buy","type":"market","qty":"1","time_in_force":"day"}"#;
            let place = desk.wire.request("POST", &format!("{path}/orders"), order);
            let portfolio = desk.wire.request("GET", &format!("{path}/portfolio"), "");
            desk.accounts.push(Account { path, place, portfolio });
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
        let Account { path, place, portfolio } = &self.accounts[n];
        let last = || self.orders[n].lock().unwrap_or_else(PoisonError::into_inner);
        let request = match kind {
            Kind::Place => Cow::Borrowed(place),
            Kind::ReadOrder => {
                let order = format!("{path}/orders/{}", last());
                Cow::Owned(self.wire.request("GET", &order, ""))
            }
            Kind::ReadPortfolio => Cow::Borrowed(portfolio),
        };
        let (status, body) = tokio::time::timeout(PATIENCE, self.wire.send(&request)).await??;
        if kind == Kind::Place && status.is_success() {
            let Placed { order_id, status } = serde_json::from_slice(&body)?;
            anyhow::ensure!(status == "filled", "an order did not fill: {order_id} is {status}");
            *last() = order_id;
        }
        Ok(status)
    }

    /// Places orders that rest, and tells what each is to be canceled at.
    pub async fn rest(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut resting = Vec::with_capacity(count);
        for n in 0..count {
            let orders = format!("{}{}/orders", self.base, self.accounts[n % ACCOUNTS].path);
            let order = json!({
                "symbol": "BNCH", "side": "buy", "type": "limit", "limit_price": "1.00", "qty": "1",
                "time_in_force": "gtc"
            });
            let placed = self.client.post(&orders).json(&order).bearer_auth(TOKEN).send().await?;
            let placed: Value = placed.error_for_status()?.json().await?;
            let id = placed["order_id"].as_str().context("no order_id")?;
            resting.push(format!("{orders}/{id}"));
        }
        Ok(resting)
    }

    /// Cancels the order at this place.
    pub async fn cancel(&self, order: &str) -> anyhow::Result<StatusCode> {
        let canceled = self.client.delete(order).bearer_auth(TOKEN).send().await?;
        let status = canceled.status();
        canceled.bytes().await?;
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

    /// Sends the mix at a fixed rate, however long the answers take.
    pub async fn open_loop(self: Arc<Self>, rate: f64, time: Duration) -> anyhow::Result<Arrivals> {
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
                    arrivals.refused.latencies.push(micros);
                }
                Ok(status) => bail!("{status} under load"),
                // A connection that was refused or cut off.
                Err(_) => arrivals.failed += 1,
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        for measured in [&mut arrivals.good, &mut arrivals.places, &mut arrivals.refused] {
            measured.latencies.sort_unstable();
            measured.acks = measured.latencies.len();
            measured.seconds = seconds;
        }
        Ok(arrivals)
    }
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
