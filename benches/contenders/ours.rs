//! Our ledger in process: the Sequencer through its public handle.

use std::sync::Arc;
use std::time::Duration;

use aggregates::account::AccountCommand;
use aggregates::id::{MARKET_TENANT, OPERATOR, OPERATOR_TENANT, TenantId};
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::rules::Rules;
use aggregates::trading::Command;
use anyhow::Context;
use blotter::ledger::postgres::{Owner, PostgresLoader, PostgresLog};
use blotter::ledger::{
    Campaign, HeadView, Interface, Key, Ledger, Origin, SigningName, Submission, SystemEntropy,
    Tenure,
};
use chrono::Utc;
use projections::log::Recorded;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Run;
use crate::measure::{Measured, Until, closed_loop};
use crate::scene::{Scene, fresh_command, fresh_order, fresh_request};

pub struct Ours {
    ledger: Ledger,
    stop: CancellationToken,
    campaign: JoinHandle<()>,
    tenure: Tenure,
}

fn submission(tenant: TenantId, command: Command, key: Option<Key>) -> Submission {
    Submission {
        origin: Origin {
            tenant,
            actor: OPERATOR,
            token: "bench".to_owned(),
            client: String::new(),
            interface: Interface::Rest,
            request: fresh_request(),
            causation: "request".to_owned(),
        },
        command_id: fresh_command(),
        command,
        key,
    }
}

impl Ours {
    /// A ledger on the run's database, once it may write; nothing is in memory yet.
    pub async fn resume(run: &Run) -> anyhow::Result<Self> {
        let ledger = Ledger::new();
        let (tenures, mut terms) = mpsc::channel(1);
        let campaign = Campaign {
            log: PostgresLog::new(run.writer.clone()),
            loader: Arc::new(PostgresLoader::new(run.writer.clone())),
            owner: Owner { name: "bench".to_owned(), url: None, sole: true },
            rules: Rules::default(),
            key: SigningName { name: "bench".to_owned(), public_key: "none".to_owned() },
            now: Utc::now,
            entropy: || Box::new(SystemEntropy),
            tenures,
        };
        let stop = CancellationToken::new();
        let (runs, until) = (ledger.clone(), stop.clone());
        let campaign = tokio::spawn(async move {
            runs.campaign(campaign, until).await.expect("nobody else writes a scratch database");
        });
        let tenure = terms.recv().await.context("no term began")?;
        ledger.head().wait_for(|head| head.writing).await?;
        Ok(Self { ledger, stop, campaign, tenure })
    }

    /// A ledger on a fresh database, with the instrument listed and every account opened.
    pub async fn start(run: &Run, scene: &Scene) -> anyhow::Result<Self> {
        let ours = Self::resume(run).await?;
        let ledger = ours.ledger.clone();
        let instrument_id = scene.instrument;
        let list = InstrumentCommand::List {
            instrument_id,
            symbol: "AAPL".to_owned(),
            name: "Apple Inc.".to_owned(),
            kind: InstrumentKind::Stock,
            at: None,
        };
        let list = Command::Instrument { instrument_id, command: list };
        ledger.submit(submission(MARKET_TENANT, list, None)).await?;
        let mut opening = tokio::task::JoinSet::new();
        for account_id in scene.accounts.iter().copied() {
            let (ledger, command) = (ledger.clone(), scene.open(account_id));
            opening.spawn(async move {
                let command = Command::Account { account_id, command };
                ledger.submit(submission(OPERATOR_TENANT, command, None)).await
            });
            if opening.len() >= 1_024 {
                opening.join_next().await.context("an account")???;
            }
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
        Ok(ours)
    }

    pub fn head(&self) -> watch::Receiver<HeadView> {
        self.ledger.head()
    }

    /// W1: one event to a new stream.
    pub async fn w1(&self, clients: usize, time: Duration) -> anyhow::Result<Measured> {
        let ledger = self.ledger.clone();
        closed_loop(clients, time, move |_| {
            let ledger = ledger.clone();
            async move {
                let account_id = aggregates::id::AccountId::new(uuid::Uuid::now_v7());
                let open = AccountCommand::Open {
                    account_id,
                    kind: aggregates::account::AccountKind::Cash,
                    option_level: 0,
                    name_digest: String::new(),
                    starting_balance: aggregates::money::Money::ZERO,
                    deposit_id: fresh_command(),
                    at: None,
                };
                let command = Command::Account { account_id, command: open };
                ledger.submit(submission(OPERATOR_TENANT, command, None)).await?;
                Ok(())
            }
        })
        .await
    }

    /// W3: placed and reserved, then filled, settled and the position opened; with `fills` false, W3r.
    pub async fn orders(
        &self,
        scene: &Arc<Scene>,
        clients: usize,
        until: impl Into<Until>,
        fills: bool,
    ) -> anyhow::Result<Measured> {
        let (ledger, scene) = (self.ledger.clone(), Arc::clone(scene));
        closed_loop(clients, until, move |n| {
            let (ledger, scene) = (ledger.clone(), Arc::clone(&scene));
            async move { order(&ledger, &scene, n, fills).await.map(drop) }
        })
        .await
    }

    /// Lets go of what is committed: nobody in this run reads the feed.
    pub fn ignore_feed(&mut self) {
        self.tenure.feed.close();
    }

    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Drains what was committed: the events of each batch.
    pub fn batches(&mut self) -> Vec<Vec<Recorded>> {
        let mut batches = Vec::new();
        while let Ok(batch) = self.tenure.feed.try_recv() {
            batches.push(batch.iter().map(|event| event.row.clone()).collect());
        }
        batches
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.campaign.await?;
        Ok(())
    }
}

/// One order, and the position of the last event that it caused.
pub async fn order(ledger: &Ledger, scene: &Scene, n: usize, fills: bool) -> anyhow::Result<u64> {
    let (order_id, account) = (fresh_order(), scene.account(n));
    let spec = scene.order(account);
    let key = Key::order(OPERATOR_TENANT, account, &spec.client_order_id, b"the request");
    let place = Command::Place { order_id, spec, market: scene.market() };
    let placed = ledger.submit(submission(OPERATOR_TENANT, place, Some(key))).await?;
    anyhow::ensure!(placed.rejected.is_none() && placed.events.len() == 2, "{placed:?}");
    if !fills {
        return Ok(placed.position);
    }
    let fill = Command::Fill {
        order_id,
        execution: scene.execution(),
        marks: Default::default(),
        at: scene.at,
    };
    let filled = ledger.submit(submission(OPERATOR_TENANT, fill, None)).await?;
    anyhow::ensure!(filled.events.len() == 3, "{filled:?}");
    Ok(filled.position)
}
