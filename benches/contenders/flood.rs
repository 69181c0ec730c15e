//! Orders beside a flood of log-ins with wrong passwords: placing in the mix at a fixed rate, alone and beside the
//! flood in turn, since what a machine does changes from minute to minute.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::http::{Desk, IN_FLIGHT, TOKEN};
use crate::report::Report;
use crate::sample;

/// Log-ins a second with a wrong password, and the addresses that they come from: so many that none is throttled for long.
/// Every other one is at one of these many users, the rest at users who do not exist.
const BAD_LOG_INS: f64 = 200.0;
const INTRUDERS: u8 = 200;
const USERS: u32 = 32;
/// How often placing is timed alone and beside the flood, in turn: one stall of the machine decides nothing then.
const TURNS: usize = 11;
/// How long the log-ins that were taken go on to be worked at the most.
const DRAIN: Duration = Duration::from_secs(4);
/// Parts of the knee at which placing is timed alone and beside the flood, and what the ratio of p99 is called.
const FLOODED: [(f64, [&str; 2], &str); 2] = [
    (0.25, ["25 %, placing", "25 %, beside a flood"], "H1.p99_beside_bad_log_ins_at_25"),
    (0.7, ["70 %, placing", "70 %, beside a flood"], "H1.p99_beside_bad_log_ins"),
];

/// Times placing at parts of the knee, alone and beside the flood; each turn takes twice `time`.
pub async fn play(
    desk: &Arc<Desk>,
    knee: f64,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    for n in 0..USERS {
        let user = json!({ "email": existing(n), "password": "several unrelated words here" });
        let user = desk.client.post(format!("{}/v1/users", desk.base)).json(&user);
        user.bearer_auth(TOKEN).send().await?.error_for_status()?;
    }
    let intruder = |n| Client::builder().local_address(IpAddr::from([127, 0, 1, n])).build();
    let intruders: Arc<[Client]> = (1..=INTRUDERS).map(intruder).collect::<Result<_, _>>()?;
    for (factor, contenders, ratio) in FLOODED {
        for turn in 0..TURNS * 2 {
            // Which of the two comes first changes from pair to pair.
            let flooded = turn % 4 == 1 || turn % 4 == 2;
            let flood = || tokio::spawn(flood(desk.base.clone(), Arc::clone(&intruders), time * 2));
            let flood = flooded.then(flood);
            let arrivals = Arc::clone(desk).open_loop(knee * factor, time * 2).await?;
            let contender = contenders[usize::from(flooded)];
            report.add("H1", contender, IN_FLIGHT, sample(&arrivals.places, BTreeMap::new()));
            if let Some(flood) = flood {
                println!("       log-ins: {:?}", flood.await??);
                // What waits to be hashed is no part of the next turn.
                tokio::time::sleep(DRAIN).await;
            }
        }
        let p99 = |contender| report.p99("H1", contender, IN_FLIGHT);
        let [alone, beside] = contenders.map(p99);
        report.ratio(ratio, beside, alone);
    }
    Ok(())
}

fn existing(n: u32) -> String {
    format!("user{}@example.com", n % USERS)
}

/// Tries wrong passwords at a fixed rate, each for the next user and from the next address, and counts the answers by
/// status. None may let anybody in.
async fn flood(
    base: String,
    intruders: Arc<[Client]>,
    time: Duration,
) -> anyhow::Result<BTreeMap<u16, usize>> {
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
