//! A log with something of everything: fills in parts, a rejection, a cancel, a split with a fraction, a dividend.

use aggregates::id::{AccountId, CommandId, InstrumentId, MARKET_TENANT, OPERATOR_TENANT, OrderId};
use aggregates::instrument::{InstrumentCommand, Split};
use aggregates::margin::Marks;
use aggregates::market::{Evidence, EvidenceTick, MarketTime};
use aggregates::order::{CancelReason, Execution, OrderSpec, OrderType, Side, TimeInForce};
use aggregates::trading::Command;
use blotter::ledger::Key;
use chrono::TimeDelta;
use uuid::Uuid;

use super::ledger::{TestLedger, buy, noon};

/// Writes the log. What it is about comes back.
pub async fn write_history(test: &TestLedger) -> History {
    let history =
        History { account: test.account("10000").await, instrument: test.stock("AAPL").await };
    history.trade(test).await;
    history.split(test).await;
    history.dividend(test).await;
    history
}

/// The account and the stock of a history.
pub struct History {
    pub account: AccountId,
    pub instrument: InstrumentId,
}

impl History {
    async fn trade(&self, test: &TestLedger) {
        let first = self.place(test, Side::Buy, "10", Some("187.25"), "first").await;
        fill(test, first, (0, 0), ("4", "187.20"), ("187.10", "187.20")).await;
        fill(test, first, (0, 1), ("6", "187.25"), ("187.00", "187.05")).await;
        let rest = self.place(test, Side::Buy, "5", Some("100"), "second").await;
        self.cancel(test, rest).await;
        self.place(test, Side::Buy, "5000", Some("187"), "too much").await;
        let market = self.place(test, Side::Buy, "3", None, "market").await;
        fill(test, market, (0, 0), ("3", "187.333333333"), ("187.33", "187.333333333")).await;
        let sell = self.place(test, Side::Sell, "7", Some("190"), "sell").await;
        fill(test, sell, (0, 0), ("5", "190.5"), ("190.5", "190.6")).await;
        self.cancel(test, sell).await;
        let withdrawal_id = CommandId::new(Uuid::now_v7());
        let amount = "100.01".parse().unwrap();
        let (account_id, marks, at) = (self.account, Marks::new(), Some(noon()));
        let command = Command::Withdraw { account_id, withdrawal_id, amount, marks, at };
        test.submit(OPERATOR_TENANT, command, None).await.unwrap();
    }

    /// Eight whole shares, 4 for 3, with an open sell and an open buy: ten and two thirds.
    async fn split(&self, test: &TestLedger) {
        let sell = self.place(test, Side::Sell, "5", Some("200"), "resting sell").await;
        let buy = self.place(test, Side::Buy, "3", Some("150"), "resting buy").await;
        let split = Split {
            numerator: "4".parse().unwrap(),
            denominator: "3".parse().unwrap(),
            last_close: Some("188".parse().unwrap()),
            at: at(10),
        };
        let action_id = "split-1".to_owned();
        self.instrument(
            test,
            InstrumentCommand::BeginSplit { action_id: action_id.clone(), split },
        )
        .await;
        let orders = vec![sell, buy];
        let (account_id, instrument_id) = (self.account, self.instrument);
        let follow = Command::FollowSplit {
            account_id,
            instrument_id,
            orders,
            contracts: Vec::new(),
            at: at(10),
        };
        test.submit(OPERATOR_TENANT, follow, None).await.unwrap();
        self.instrument(test, InstrumentCommand::CompleteSplit { action_id, at: at(10) }).await;
    }

    async fn dividend(&self, test: &TestLedger) {
        let action_id = "dividend-1".to_owned();
        let (account_id, instrument_id) = (self.account, self.instrument);
        let declare = InstrumentCommand::DeclareDividend {
            action_id: action_id.clone(),
            amount: "0.255".parse().unwrap(),
            ex: "2024-01-18".parse().unwrap(),
            pay: "2024-01-25".parse().unwrap(),
            at: at(11),
        };
        self.instrument(test, declare).await;
        let accrue = Command::AccrueDividend {
            account_id,
            instrument_id,
            action_id: action_id.clone(),
            qty: "10".parse().unwrap(),
            at: at(12),
        };
        test.submit(OPERATOR_TENANT, accrue, None).await.unwrap();
        let done = InstrumentCommand::CompleteAccrual { action_id: action_id.clone(), at: at(12) };
        self.instrument(test, done).await;
        let pay = Command::PayDividend {
            account_id,
            instrument_id,
            action_id: action_id.clone(),
            at: at(13),
        };
        test.submit(OPERATOR_TENANT, pay, None).await.unwrap();
        self.instrument(test, InstrumentCommand::CompleteDividend { action_id, at: at(13) }).await;
        let close = InstrumentCommand::Close {
            session: "2024-01-17".parse().unwrap(),
            price: "141.5".parse().unwrap(),
            source: "feed".into(),
            quote: None,
            at: at(14),
        };
        self.instrument(test, close).await;
    }

    /// Sends a command of the stock.
    pub async fn instrument(&self, test: &TestLedger, command: InstrumentCommand) {
        let instrument_id = self.instrument;
        test.submit(MARKET_TENANT, Command::Instrument { instrument_id, command }, None)
            .await
            .unwrap();
    }

    /// Places an order under a key of its own.
    pub async fn place(
        &self,
        test: &TestLedger,
        side: Side,
        qty: &str,
        limit: Option<&str>,
        client_order_id: &str,
    ) -> OrderId {
        let like = buy(self.account, "AAPL", qty, limit.unwrap_or("187.25"), client_order_id);
        let (order_id, Command::Place { spec, market, .. }, _) = like else {
            panic!("a buy is placed");
        };
        let spec = match limit {
            Some(_) => OrderSpec { side, ..spec },
            None => OrderSpec {
                side,
                order_type: OrderType::Market,
                limit_price: None,
                time_in_force: TimeInForce::Day,
                ..spec
            },
        };
        let key = Key::order(OPERATOR_TENANT, self.account, client_order_id, qty.as_bytes());
        let place = Command::Place { order_id, spec, market };
        test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
        order_id
    }

    /// Cancels an order for its owner.
    pub async fn cancel(&self, test: &TestLedger, order_id: OrderId) {
        let (account_id, reason) = (self.account, CancelReason::Requested);
        let cancel = Command::Cancel { account_id, order_id, reason, at: noon() };
        test.submit(OPERATOR_TENANT, cancel, None).await.unwrap();
    }
}

/// Fills so much of an order, against this bid and ask.
pub async fn fill(
    test: &TestLedger,
    order_id: OrderId,
    (revision, after_fills): (u32, u32),
    (qty, price): (&str, &str),
    (bid, ask): (&str, &str),
) {
    let size: aggregates::money::Quantity = "100".parse().unwrap();
    let (bid, ask) = (bid.parse().unwrap(), ask.parse().unwrap());
    let evidence = Evidence {
        source: "feed".into(),
        tape_place: 1,
        at: noon(),
        tick: EvidenceTick::Quote { bid, bid_size: size, ask, ask_size: size },
    };
    let (qty, price) = (qty.parse().unwrap(), price.parse().unwrap());
    let execution = Execution { revision, after_fills, qty, price, evidence, legs: Vec::new() };
    let fill = Command::Fill { order_id, execution, marks: Marks::new(), at: noon() };
    test.submit(OPERATOR_TENANT, fill, None).await.unwrap();
}

fn at(hours: i64) -> MarketTime {
    noon() + TimeDelta::hours(hours)
}
