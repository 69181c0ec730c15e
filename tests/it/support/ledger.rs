//! A ledger over a test database, and short words for the commands that tests send.

use std::sync::Arc;

use aggregates::account::{AccountCommand, AccountKind};
use aggregates::id::{
    AccountId, CommandId, InstrumentId, MARKET_TENANT, OPERATOR, OPERATOR_TENANT, OrderId,
    RequestId, TenantId,
};
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::margin::Marks;
use aggregates::market::{MarketTime, Reference};
use aggregates::order::{OrderClass, OrderSpec, OrderType, Side, TimeInForce};
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::trading::{Command, MarketView};
use blotter::database::WriterPool;
use blotter::ledger::postgres::{Owner, PostgresLoader, PostgresLog};
use blotter::ledger::{
    Campaign, Committed, Interface, Key, Ledger, LedgerError, Origin, SigningName, Submission,
    SystemEntropy, Tenure,
};
use chrono::{TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::TestDatabase;

/// A ledger that writes a test database until it is dropped.
pub struct TestLedger {
    pub ledger: Ledger,
    /// Its term, until an engine takes it.
    pub tenure: Option<Tenure>,
    _stop: DropGuard,
}

impl TestLedger {
    /// Campaigns under `name` and waits for the term.
    pub async fn start(database: &TestDatabase, name: &str) -> Self {
        let key = SigningName { name: name.to_owned(), public_key: "a test key".to_owned() };
        Self::start_over(database.writer.clone(), name, key).await
    }

    /// The same, with a key that its checkpoints can be signed by.
    pub async fn start_signing(database: &TestDatabase, name: &str, key: SigningName) -> Self {
        Self::start_over(database.writer.clone(), name, key).await
    }

    /// The same, where fills cost fees.
    pub async fn start_charging(database: &TestDatabase, name: &str, key: SigningName) -> Self {
        let fees = FeeSchedule {
            per_fill: "0.35".parse().unwrap(),
            per_share: "0.0035".parse().unwrap(),
            ..FeeSchedule::default()
        };
        let rules = Rules { fees, ..Rules::default() };
        Self::campaign(database.writer.clone(), name, key, rules).await
    }

    /// The same, by a way of its own to the database.
    pub async fn start_over(writer: WriterPool, name: &str, key: SigningName) -> Self {
        Self::campaign(writer, name, key, Rules::default()).await
    }

    async fn campaign(writer: WriterPool, name: &str, key: SigningName, rules: Rules) -> Self {
        let ledger = Ledger::new();
        let (tenures, mut terms) = mpsc::channel(1);
        let campaign = Campaign {
            log: PostgresLog::new(writer.clone()),
            loader: Arc::new(PostgresLoader::new(writer)),
            owner: Owner { name: name.to_owned(), url: None, sole: false },
            rules,
            key,
            now: Utc::now,
            entropy: || Box::new(SystemEntropy),
            tenures,
        };
        let stop = CancellationToken::new();
        let (runs, until) = (ledger.clone(), stop.clone());
        tokio::spawn(async move { runs.campaign(campaign, until).await });
        let tenure = terms.recv().await.expect("a term begins");
        let mut head = ledger.head();
        head.wait_for(|head| head.writing).await.expect("the take-over is recorded");
        Self { ledger, tenure: Some(tenure), _stop: stop.drop_guard() }
    }

    pub async fn submit(
        &self,
        tenant: TenantId,
        command: Command,
        key: Option<Key>,
    ) -> Result<Committed, LedgerError> {
        self.ledger.submit(submission(tenant, command, key)).await
    }

    /// Opens a cash account with this balance.
    pub async fn account(&self, cash: &str) -> AccountId {
        let account_id = AccountId::new(Uuid::now_v7());
        let command = AccountCommand::Open {
            account_id,
            kind: AccountKind::Cash,
            option_level: 0,
            name_digest: String::new(),
            starting_balance: cash.parse().unwrap(),
            deposit_id: CommandId::new(Uuid::now_v7()),
            at: None,
        };
        self.submit(OPERATOR_TENANT, Command::Account { account_id, command }, None).await.unwrap();
        account_id
    }

    /// Lists a stock.
    pub async fn stock(&self, symbol: &str) -> InstrumentId {
        let instrument_id = InstrumentId::of_symbol(symbol);
        let command = InstrumentCommand::List {
            instrument_id,
            symbol: symbol.to_owned(),
            name: symbol.to_owned(),
            kind: InstrumentKind::Stock,
            at: None,
        };
        self.submit(MARKET_TENANT, Command::Instrument { instrument_id, command }, None)
            .await
            .unwrap();
        instrument_id
    }
}

pub fn submission(tenant: TenantId, command: Command, key: Option<Key>) -> Submission {
    Submission {
        origin: Origin {
            tenant,
            actor: OPERATOR,
            token: "test".to_owned(),
            client: String::new(),
            interface: Interface::Rest,
            request: RequestId::new(Uuid::now_v7()),
            causation: "request".to_owned(),
        },
        command_id: CommandId::new(Uuid::now_v7()),
        command,
        key,
    }
}

/// Noon of a trading day in New York.
pub fn noon() -> MarketTime {
    "2024-01-17T17:00:00Z".parse().unwrap()
}

/// A limit buy that rests, under a key of its client's.
pub fn buy(
    account_id: AccountId,
    symbol: &str,
    qty: &str,
    limit: &str,
    client_order_id: &str,
) -> (OrderId, Command, Key) {
    let spec = OrderSpec {
        account_id,
        instrument_id: InstrumentId::of_symbol(symbol),
        symbol: symbol.to_owned(),
        side: Side::Buy,
        order_type: OrderType::Limit,
        qty: qty.parse().unwrap(),
        notional: None,
        limit_price: Some(limit.parse().unwrap()),
        stop_price: None,
        trail: None,
        limit_offset: None,
        activation_price: None,
        trigger_by: None,
        good_till: None,
        time_in_force: TimeInForce::Gtc,
        extended_hours: false,
        order_class: OrderClass::Simple,
        client_order_id: client_order_id.to_owned(),
        note_digest: None,
        contract: None,
        position_intent: None,
        legs: None,
        parent_order_id: None,
        exits: None,
    };
    let market = MarketView {
        at: noon(),
        tape_place: 0,
        reference: Some(Reference {
            price: limit.parse().unwrap(),
            source: "feed".to_owned(),
            at: noon(),
        }),
        session_close: noon() + TimeDelta::hours(4),
        extended_close: noon() + TimeDelta::hours(4),
        open: true,
        marks: Marks::new(),
        auction: None,
        contracts: std::collections::BTreeMap::new(),
        contracts_end: None,
    };
    let order_id = OrderId::new(Uuid::now_v7());
    let request = format!("{symbol} {qty} {limit}");
    let key = Key::order(OPERATOR_TENANT, account_id, client_order_id, request.as_bytes());
    (order_id, Command::Place { order_id, spec, market }, key)
}
