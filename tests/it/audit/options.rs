//! The audit reckons options again: legs and their prices, what options need as margin, and what becomes of cash, shares
//! and basis when they end. What was changed of that is found, though every leaf is right.

use aggregates::account::{AccountCommand, AccountKind};
use aggregates::id::{AccountId, CommandId, InstrumentId, MARKET_TENANT, OPERATOR_TENANT, OrderId};
use aggregates::instrument::{
    ClosingQuote, Contract, InstrumentCommand, InstrumentKind, OptionTerms, Split,
};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{Evidence, EvidenceTick, Reference};
use aggregates::order::{
    Execution, ExpiryReason, Leg, LegExecution, OrderClass, OrderSpec, Side, TimeInForce,
};
use aggregates::trading::{BeforeSplit, Command, MarketView};
use blotter::audit::{Code, Evidence as Kept, ProcessKey, Scope, verify_database};
use blotter::ledger::SigningName;
use uuid::Uuid;

use super::{exported, project, rewritten, verify_lines};
use crate::support::ledger::{TestLedger, buy, noon};
use crate::support::{TestDatabase, scratch_directory};

const CALL_95: &str = "AAPL240216C00095000";
const CALL_100: &str = "AAPL240216C00100000";
const PUT_100: &str = "AAPL240216P00100000";
/// What everything is marked at.
const PRICES: [(&str, &str); 4] =
    [("AAPL", "100"), (CALL_95, "6"), (CALL_100, "3"), (PUT_100, "3")];

fn id(symbol: &str) -> InstrumentId {
    InstrumentId::of_symbol(symbol)
}

fn terms(symbol: &str) -> OptionTerms {
    let contract: Contract = symbol.parse().unwrap();
    OptionTerms::of(&contract, "AAPL", None, None).unwrap()
}

fn seen(price: &str) -> Reference {
    Reference { price: price.parse().unwrap(), source: "feed".to_owned(), at: noon() }
}

fn marks() -> Marks {
    PRICES
        .map(|(symbol, price)| (id(symbol), Mark { long: seen(price), short: seen(price) }))
        .into()
}

fn quoted(price: &str) -> Evidence {
    let (bid, size) = (price.parse().unwrap(), "100".parse().unwrap());
    let tick = EvidenceTick::Quote { bid, bid_size: size, ask: bid, ask_size: size };
    Evidence { source: "feed".into(), tape_place: 1, at: noon(), tick }
}

/// An account that trades options.
struct Desk {
    test: TestLedger,
    account: AccountId,
}

impl Desk {
    /// Whose log is written by a process with a key of its own.
    async fn signing(database: &TestDatabase, directory: &str) -> Self {
        let directory = scratch_directory(directory);
        let key = ProcessKey::open_or_create(directory.path()).unwrap();
        let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
        Self::start(TestLedger::start_signing(database, "one", name).await).await
    }

    async fn start(test: TestLedger) -> Self {
        test.stock("AAPL").await;
        for symbol in [CALL_95, CALL_100, PUT_100] {
            let (instrument_id, symbol, name) = (id(symbol), symbol.to_owned(), symbol.to_owned());
            let kind = InstrumentKind::Option;
            let command = InstrumentCommand::List { instrument_id, symbol, name, kind, at: None };
            let list = Command::Instrument { instrument_id, command };
            test.submit(MARKET_TENANT, list, None).await.unwrap();
        }
        Self { test, account: AccountId::new(Uuid::nil()) }.opened("50000").await
    }

    /// At another account, of this balance.
    async fn opened(self, balance: &str) -> Self {
        let account_id = AccountId::new(Uuid::now_v7());
        let command = AccountCommand::Open {
            account_id,
            kind: AccountKind::Margin,
            option_level: 4,
            name_digest: String::new(),
            starting_balance: balance.parse().unwrap(),
            deposit_id: CommandId::new(Uuid::now_v7()),
            at: None,
        };
        let open = Command::Account { account_id, command };
        self.test.submit(OPERATOR_TENANT, open, None).await.unwrap();
        Self { account: account_id, ..self }
    }

    async fn submit(&self, command: Command) {
        let committed = self.test.submit(OPERATOR_TENANT, command, None).await.unwrap();
        assert_eq!(committed.rejected, None);
    }

    async fn market(&self, symbol: &str, command: InstrumentCommand) {
        let command = Command::Instrument { instrument_id: id(symbol), command };
        self.test.submit(MARKET_TENANT, command, None).await.unwrap();
    }

    /// Places an order at a limit, changed by `with`.
    async fn place(
        &self,
        (symbol, qty, limit): (&str, &str, &str),
        with: impl FnOnce(OrderSpec) -> OrderSpec,
    ) -> OrderId {
        let name = Uuid::now_v7().to_string();
        let (order_id, command, key) = buy(self.account, symbol, qty, limit, &name);
        let Command::Place { spec, market, .. } = command else { panic!("a buy is placed") };
        let contracts =
            [CALL_95, CALL_100, PUT_100].map(|symbol| (id(symbol), terms(symbol))).into();
        let contracts_end = Some("2024-02-17T05:00:00Z".parse().unwrap());
        let market = MarketView { marks: marks(), contracts, contracts_end, ..market };
        let place = Command::Place { order_id, spec: with(spec), market };
        let committed = self.test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
        assert_eq!(committed.rejected, None);
        order_id
    }

    async fn fill(&self, order_id: OrderId, (qty, price): (&str, &str), legs: &[(&str, &str)]) {
        let leg = |(symbol, price): &(&str, &str)| LegExecution {
            instrument_id: id(symbol),
            price: price.parse().unwrap(),
            evidence: quoted(price),
        };
        let execution = Execution {
            revision: 0,
            after_fills: 0,
            qty: qty.parse().unwrap(),
            price: price.parse().unwrap(),
            evidence: quoted(legs.first().map_or(price, |(_, price)| *price)),
            legs: legs.iter().map(leg).collect(),
        };
        self.submit(Command::Fill { order_id, execution, marks: marks(), at: noon() }).await;
    }

    async fn single(&self, side: Side, symbol: &str, qty: &str, price: &str) {
        let order = self.place((symbol, qty, price), |spec| OrderSpec { side, ..spec }).await;
        self.fill(order, (qty, price), &[]).await;
    }

    /// Sells the call at 95 and buys that at 100, filled in part.
    async fn spread(&self) {
        let leg = |(side, symbol): (Side, &str)| Leg {
            instrument_id: id(symbol),
            symbol: symbol.to_owned(),
            side,
            ratio_qty: 1,
            position_intent: None,
            contract: None,
        };
        let legs = [(Side::Sell, CALL_95), (Side::Buy, CALL_100)].map(leg).to_vec();
        let order = self
            .place(("AAPL", "3", "-2.50"), |spec| OrderSpec {
                order_class: OrderClass::Mleg,
                legs: Some(legs),
                ..spec
            })
            .await;
        self.fill(order, ("2", "-3"), &[(CALL_95, "6"), (CALL_100, "3")]).await;
    }

    /// A contract expires with AAPL at this price.
    async fn expire(&self, symbol: &str, price: &str) {
        let (at, terms) = (noon(), terms(symbol));
        let (session, price) = (terms.expiration, price.parse().unwrap());
        let source = "feed".to_owned();
        let last_price_at = None;
        let expire = InstrumentCommand::Expire { session, price, source, last_price_at, at };
        self.market(symbol, expire).await;
        self.submit(Command::SettleExpired {
            account_id: self.account,
            underlying_id: terms.underlying_id,
            session,
            contracts: vec![(id(symbol), Some(seen("0.02")))],
            orders: Vec::new(),
            marks: marks(),
            at,
        })
        .await;
        self.market(symbol, InstrumentCommand::CompleteExpiry { at }).await;
    }

    /// AAPL is split, and the account follows with these options, each with what it was worth.
    async fn split(&self, action: &str, ratio: (&str, &str), contracts: &[(&str, Option<&str>)]) {
        let (at, last_close) = (noon(), Some("100".parse().unwrap()));
        let (numerator, denominator) = (ratio.0.parse().unwrap(), ratio.1.parse().unwrap());
        let split = Split { numerator, denominator, last_close, at };
        let action_id = action.to_owned();
        let begin = InstrumentCommand::BeginSplit { action_id: action_id.clone(), split };
        self.market("AAPL", begin).await;
        let before = |worth: &Option<&str>| BeforeSplit { worth: worth.map(seen), listed: None };
        let contracts = contracts.iter().map(|(symbol, worth)| (id(symbol), before(worth)));
        self.submit(Command::FollowSplit {
            account_id: self.account,
            instrument_id: id("AAPL"),
            orders: Vec::new(),
            contracts: contracts.collect(),
            at,
        })
        .await;
        self.market("AAPL", InstrumentCommand::CompleteSplit { action_id, at }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_options_did_and_came_to_is_reckoned_again() {
    let database = TestDatabase::new().await;
    let desk = Desk::signing(&database, "options-audit").await;
    desk.single(Side::Sell, PUT_100, "2", "3").await;
    desk.spread().await;
    let quote =
        ClosingQuote { bid: "2.97".parse().unwrap(), ask: "3".parse().unwrap(), at: noon() };
    let (session, price, source) =
        (noon().date_naive(), "2.985".parse().unwrap(), "feed".to_owned());
    let close = InstrumentCommand::Close { session, price, source, quote: Some(quote), at: noon() };
    desk.market(CALL_100, close).await;
    let withdraw = Command::Withdraw {
        account_id: desk.account,
        withdrawal_id: CommandId::new(Uuid::now_v7()),
        amount: "100".parse().unwrap(),
        marks: marks(),
        at: Some(noon()),
    };
    desk.submit(withdraw).await;
    // The puts are assigned, 2 dollars in the money.
    desk.expire(PUT_100, "98").await;
    let exercise = Command::InstructExercise {
        account_id: desk.account,
        instrument_id: id(CALL_100),
        exercise: false,
        contract_end: None,
        at: noon(),
    };
    desk.submit(exercise).await;

    project(&database).await;
    let kept = Kept::read(&[]).unwrap();
    let report = verify_database(&database.auditor, 0, kept).await.unwrap();
    assert!(report.problems.is_empty(), "{report}");
    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    for (event_type, from, to, code) in [
        ("OrderFilled", r#""amount":"1200.00""#, r#""amount":"1200.01""#, Code::Order),
        ("OrderFilled", r#""amount":"-600.00""#, r#""amount":"600.00""#, Code::Order),
        ("OrderFilled", r#""price":"6.00""#, r#""price":"5.99""#, Code::Evidence),
        // Two puts at the money: 2 * (300 + 2,000). Two spreads five wide: 1,000.
        ("CashWithdrawn", r#""initial":"5600.00""#, r#""initial":"5599.00""#, Code::Margin),
        ("OptionEnded", r#""moved":"600.00""#, r#""moved":"599.00""#, Code::Holding),
        (
            "OptionEnded",
            r#""settlement_price":"98.00""#,
            r#""settlement_price":"101.00""#,
            Code::Command,
        ),
        ("OfficiallyClosed", r#""price":"2.985""#, r#""price":"2.98""#, Code::Instrument),
        ("SharesDelivered", r#""amount":"19400.00""#, r#""amount":"20000.00""#, Code::Command),
        ("SharesDelivered", r#""price":"100.00""#, r#""price":"99.00""#, Code::Command),
        ("OptionSettled", r#""amount":"-20000.00""#, r#""amount":"-19999.00""#, Code::Account),
    ] {
        let report = verify_lines(&rewritten(&lines, event_type, from, to), &[]);
        let found = report.problems.iter().any(|problem| problem.code == code);
        assert!(found, "{event_type} {to}: {report}");
    }
}

/// Under `--hours always` options were traded until midnight once, and orders of them taken until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_may_end_when_its_contract_does_and_no_sooner() {
    let database = TestDatabase::new().await;
    let desk = Desk::signing(&database, "ends-audit").await;
    let gtc = |spec| OrderSpec { time_in_force: TimeInForce::Gtc, ..spec };
    let order_id = desk.place((CALL_100, "1", "1"), gtc).await;
    let (reason, at) = (ExpiryReason::SessionClosed, "2024-02-16T21:00:00Z".parse().unwrap());
    desk.submit(Command::Expire { order_id, reason, at }).await;
    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    let sooner = rewritten(&lines, "OrderExpired", "T21:00:00", "T20:59:59");
    let report = verify_lines(&sooner, &[]);
    assert!(report.problems.iter().any(|problem| problem.code == Code::Order), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_split_made_of_options_is_reckoned_again() {
    let database = TestDatabase::new().await;
    let desk = Desk::signing(&database, "splits-audit").await;
    desk.single(Side::Buy, CALL_100, "2", "3").await;
    desk.single(Side::Sell, PUT_100, "1", "3").await;
    let (call, put) = ("AAPL240216C00025000", "AAPL240216P00025000");
    for symbol in [call, put] {
        let (name, kind) = (symbol.to_owned(), InstrumentKind::Option);
        let (instrument_id, symbol) = (id(symbol), symbol.to_owned());
        let list =
            InstrumentCommand::List { instrument_id, symbol: symbol.clone(), name, kind, at: None };
        desk.market(&symbol, list).await;
    }
    desk.split("s1", ("4", "1"), &[(CALL_100, None), (PUT_100, None)]).await;
    desk.split("s2", ("3", "2"), &[(call, Some("0.755")), (put, None)]).await;

    project(&database).await;
    let report = verify_database(&database.auditor, 0, Kept::read(&[]).unwrap()).await.unwrap();
    assert!(report.problems.is_empty(), "{report}");
    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    for (event_type, from, to, code) in [
        ("ContractAdjusted", r#""cost":"600.00""#, r#""cost":"599.00""#, Code::Holding),
        ("ContractAdjusted", r#""numerator":"4""#, r#""numerator":"2""#, Code::Holding),
        ("AdjustedContractOpened", r#""strike":"25.00""#, r#""strike":"50.00""#, Code::Command),
        ("AdjustedContractOpened", r#""cost":"300.00""#, r#""cost":"301.00""#, Code::Holding),
        ("OptionEnded", r#""price":"0.755""#, r#""price":"0.80""#, Code::Holding),
        (
            "OptionEnded",
            r#""settlement_price":"100.00""#,
            r#""settlement_price":"24.00""#,
            Code::Command,
        ),
        ("OptionEnded", r#""action_id":"s2""#, r#""action_id":"s3""#, Code::Command),
        ("OptionSettled", r#""amount":"604.00""#, r#""amount":"605.00""#, Code::Account),
    ] {
        let report = verify_lines(&rewritten(&lines, event_type, from, to), &[]);
        let found = report.problems.iter().any(|problem| problem.code == code);
        assert!(found, "{event_type} {to}: {report}");
    }
}

/// A writer that does not keep its own rules: what margin accounts may, cash accounts are said to have done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cash_account_that_is_short_of_what_nothing_covers_is_found() {
    let database = TestDatabase::new().await;
    let desk = Desk::signing(&database, "forged-audit").await;
    desk.single(Side::Sell, CALL_100, "1", "3").await;
    let stock = desk.opened("50000").await;
    stock.single(Side::Sell, "AAPL", "5", "100").await;
    let puts = stock.opened("5000").await;
    puts.single(Side::Sell, PUT_100, "1", "3").await;
    project(&database).await;
    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    let forged = (0..3).fold(lines, |lines, _| {
        rewritten(&lines, "AccountOpened", r#""kind":"margin""#, r#""kind":"cash""#)
    });
    let report = verify_lines(&forged, &[]);
    for (code, told) in [
        (Code::Holding, "leaves calls on 100 shares"),
        (Code::Holding, "sells shares short: it holds -5"),
        (Code::Account, "beside the 10000 that secure its short puts"),
    ] {
        let found = report
            .problems
            .iter()
            .any(|problem| problem.code == code && problem.message.contains(told));
        assert!(found, "{told}: {report}");
    }
}
