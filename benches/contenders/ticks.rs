//! T2: ticks at a fixed rate against the real binary, with the tape, durable fills and every view kept, among working
//! orders of every type.
//!
//! One sender, since lines have an order: it sends what is due, and what has become due meanwhile comes with the next
//! call. The lag of a line is the time from when it was due to the answer, which says that all that it caused has
//! committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use crate::cluster::Run;
use crate::http::{PATIENCE, TOKEN, start, stop, tempfile_directory};
use crate::measure::{Measured, Until, closed_loop};
use crate::report::Report;
use crate::sample;

const RATE: f64 = 10_000.0;
const ORDERS: usize = 5_000;
const SYMBOLS: usize = 20;
const ACCOUNTS: usize = 50;
/// Lines of one call at the most.
const LINES: usize = 2_000;
/// Cents that each price begins at, and how far it wanders.
const MIDDLE: i64 = 10_000;
const BAND: i64 = 300;

struct Desk {
    client: Client,
    base: String,
    accounts: Vec<String>,
}

fn dollars(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn symbol(n: usize) -> String {
    format!("TICK{}", char::from(b'A' + u8::try_from(n).unwrap_or_default()))
}

/// A cheap sequence without order, the same in each run.
fn scattered(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
}

/// The `n`th line of the run: quotes and trades of all symbols in turn, one millisecond of market time for ten.
fn line(n: usize, prices: &mut [i64]) -> String {
    let which = n % SYMBOLS;
    let step = i64::try_from(scattered(n) % 3).unwrap_or_default() - 1;
    prices[which] = (prices[which] + step).clamp(MIDDLE - BAND, MIDDLE + BAND);
    let (symbol, price) = (symbol(which), prices[which]);
    let began: chrono::DateTime<chrono::Utc> = "2026-11-23T15:00:00Z".parse().expect("a time");
    let at = began + chrono::TimeDelta::microseconds(i64::try_from(n).unwrap_or_default() * 100);
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    if (n / SYMBOLS).is_multiple_of(2) {
        let (bid, ask) = (dollars(price - 1), dollars(price + 1));
        format!(
            r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"500","ask":"{ask}","ask_size":"500","at":"{at}"}}"#
        )
    } else {
        format!(
            r#"{{"t":"trade","symbol":"{symbol}","price":"{}","size":"100","at":"{at}"}}"#,
            dollars(price)
        )
    }
}

/// The `n`th order: every type, a twentieth of a percent to five percent away.
fn order(n: usize) -> Value {
    let distance = 5 + i64::try_from(scattered(n) % 495).unwrap_or_default();
    let (below, above) = (dollars(MIDDLE - distance), dollars(MIDDLE + distance));
    let mut order = match n % 5 {
        0 => json!({ "type": "limit", "limit_price": below }),
        1 => json!({ "type": "stop", "stop_price": above }),
        2 => json!({ "type": "stop_limit", "stop_price": above, "limit_price": above }),
        3 => json!({ "type": "trailing_stop", "trail_price": dollars(distance) }),
        _ => json!({ "type": "trailing_stop", "trail_percent": dollars(distance) }),
    };
    order["symbol"] = json!(symbol(scattered(n) % SYMBOLS));
    order["side"] = json!("buy");
    order["qty"] = json!("1");
    order["time_in_force"] = json!("gtc");
    order
}

impl Desk {
    async fn feed(&self, lines: &[String]) -> anyhow::Result<Value> {
        let fed = self.client.post(format!("{}/v1/market/feed", self.base)).bearer_auth(TOKEN);
        let fed = fed.header("content-type", "application/x-ndjson").body(lines.join("\n"));
        Ok(fed.send().await?.error_for_status()?.json().await?)
    }

    async fn place(&self, n: usize) -> anyhow::Result<()> {
        let account = &self.accounts[n % ACCOUNTS];
        let placed = self.client.post(format!("{}/v1/accounts/{account}/orders", self.base));
        let placed = placed.json(&order(n)).bearer_auth(TOKEN).send().await?;
        let status = placed.status();
        ensure!(status.is_success(), "{status}: {}", placed.text().await?);
        Ok(())
    }

    /// How many orders still work, and how many events the log has.
    async fn working(&self) -> anyhow::Result<(u64, u64)> {
        let health = self.client.get(format!("{}/readyz", self.base)).send().await?;
        let health: Value = health.json().await?;
        let mut open = 0;
        for account in &self.accounts {
            let url = format!("{}/v1/accounts/{account}/orders?status=open&limit=500", self.base);
            let page = self.client.get(url).bearer_auth(TOKEN).send().await?.error_for_status()?;
            let page: Value = page.json().await?;
            open += page["items"].as_array().map_or(0, Vec::len) as u64;
        }
        Ok((open, health["position"].as_u64().unwrap_or_default()))
    }
}

pub async fn play(run: &Run, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    // Another contender's; from a database with rows of tenants that it does not protect the server serves nothing.
    sqlx::query("DROP TABLE bulk_events").execute(&run.superuser).await?;
    let directory = tempfile_directory("ticks")?;
    let (mut server, base) = start(run, &directory).await?;
    let client = Client::builder().timeout(PATIENCE).build()?;
    let mut desk = Desk { client, base, accounts: Vec::new() };
    let mut prices = vec![MIDDLE; SYMBOLS];
    let first: Vec<String> = (0..SYMBOLS * 2).map(|n| line(n, &mut prices)).collect();
    desk.feed(&first).await?;
    for n in 0..ACCOUNTS {
        let account =
            json!({ "name": format!("Ticks {n}"), "kind": "cash", "starting_balance": "1000000" });
        let opened = desk.client.post(format!("{}/v1/accounts", desk.base)).json(&account);
        let opened = opened.bearer_auth(TOKEN).send().await?.error_for_status()?;
        let opened: Value = opened.json().await?;
        desk.accounts.push(opened["account_id"].as_str().context("no account_id")?.to_owned());
    }
    let desk = Arc::new(desk);
    let places = Arc::clone(&desk);
    let send = move |n| {
        let desk = Arc::clone(&places);
        async move { desk.place(n).await }
    };
    closed_loop(16, Until::Sent(ORDERS), send).await?;
    let (before, _) = desk.working().await?;

    let count = (RATE * time.as_secs_f64()) as usize;
    let mut lags = Vec::with_capacity(count);
    let (mut sent, mut calls, began) = (0, 0_u32, Instant::now());
    while sent < count {
        let due = Duration::from_secs_f64((sent + 1) as f64 / RATE);
        tokio::time::sleep_until((began + due).into()).await;
        let due = ((began.elapsed().as_secs_f64() * RATE) as usize).clamp(sent + 1, count);
        let due = due.min(sent + LINES);
        let first = SYMBOLS * 2;
        let lines: Vec<String> = (sent..due).map(|n| line(first + n, &mut prices)).collect();
        let answer = desk.feed(&lines).await?;
        ensure!(answer["accepted"].as_u64() == Some(lines.len() as u64), "{answer}");
        let now = began.elapsed();
        for n in sent..due {
            let lag = now.saturating_sub(Duration::from_secs_f64(n as f64 / RATE));
            lags.push(u32::try_from(lag.as_micros()).unwrap_or(u32::MAX));
        }
        (sent, calls) = (due, calls + 1);
    }
    let seconds = began.elapsed().as_secs_f64();
    let quarter = |lags: &[u32]| {
        let mut lags = lags.to_vec();
        lags.sort_unstable();
        f64::from(lags[lags.len() / 2])
    };
    let growth = quarter(&lags[count * 3 / 4..]) / quarter(&lags[..count / 4]);
    let (after, _) = desk.working().await?;
    lags.sort_unstable();
    let measured = Measured { acks: count, seconds, latencies: lags };
    let extra = BTreeMap::from([
        ("working_before", before as f64),
        ("working_after", after as f64),
        ("calls", f64::from(calls)),
    ]);
    println!("       {before} working orders before, {after} after; {calls} calls");
    report.add("T2", "ticks, due to committed", ORDERS, sample(&measured, extra));
    report.ratio("T2.lag_of_last_quarter", Some(growth), Some(1.0));
    stop(&mut server).await?;
    std::fs::remove_dir_all(&directory).context("the scratch directory")
}
