//! The audit reckons margin again: a standing that is not what cash, holdings and prices make of it is found, and one that
//! is missing.

use aggregates::account::{AccountCommand, AccountKind};
use aggregates::id::{AccountId, CommandId, InstrumentId, OPERATOR_TENANT, OrderId};
use aggregates::margin::{Mark, Marks};
use aggregates::market::Reference;
use aggregates::order::{OrderSpec, Side};
use aggregates::trading::{Command, MarketView};
use blotter::audit::{Code, ProcessKey, Scope};
use blotter::ledger::SigningName;
use uuid::Uuid;

use super::{exported, rewritten, verify_lines};
use crate::support::history::fill;
use crate::support::ledger::{TestLedger, buy, noon};
use crate::support::{TestDatabase, scratch_directory};

/// A share at 50, long or short.
fn shown(instrument: InstrumentId) -> Marks {
    let seen = Reference { price: "50".parse().unwrap(), source: "feed".to_owned(), at: noon() };
    Marks::from([(instrument, Mark { long: seen.clone(), short: seen })])
}

/// Sells at a limit, while 50 is shown of what the account holds.
async fn sell(test: &TestLedger, account: AccountId, qty: &str, limit: &str, id: &str) -> OrderId {
    let (order_id, command, key) = buy(account, "AAPL", qty, limit, id);
    let Command::Place { spec, market, .. } = command else { panic!("a buy is placed") };
    let marks = shown(spec.instrument_id);
    let spec = OrderSpec { side: Side::Sell, ..spec };
    let place = Command::Place { order_id, spec, market: MarketView { marks, ..market } };
    let committed = test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
    assert_eq!(committed.rejected, None);
    order_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_that_is_not_so_is_found_though_every_leaf_is_right() {
    let database = TestDatabase::new().await;
    let directory = scratch_directory("margin-audit");
    let key = ProcessKey::open_or_create(directory.path()).unwrap();
    let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
    let test = TestLedger::start_signing(&database, "one", name).await;
    let instrument = test.stock("AAPL").await;
    let account_id = AccountId::new(Uuid::now_v7());
    let command = AccountCommand::Open {
        account_id,
        kind: AccountKind::Margin,
        option_level: 3,
        name_digest: String::new(),
        starting_balance: "10000".parse().unwrap(),
        deposit_id: CommandId::new(Uuid::now_v7()),
        at: None,
    };
    test.submit(OPERATOR_TENANT, Command::Account { account_id, command }, None).await.unwrap();
    let short = sell(&test, account_id, "100", "50", "short").await;
    fill(&test, short, (0, 0), ("100", "50"), ("50", "50.10")).await;
    sell(&test, account_id, "10", "60", "more").await;
    let withdraw = Command::Withdraw {
        account_id,
        withdrawal_id: CommandId::new(Uuid::now_v7()),
        amount: "100".parse().unwrap(),
        marks: shown(instrument),
        at: Some(noon()),
    };
    test.submit(OPERATOR_TENANT, withdraw, None).await.unwrap();

    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    for (event_type, from, to, told) in [
        (
            "CashReserved",
            r#""equity":"10000.00""#,
            r#""equity":"10000.01""#,
            "is stated to have an equity of 10000.01, an initial margin of 0 and a maintenance margin of 0; \
             it has an equity of 10000, an initial margin of 0 and a maintenance margin of 0",
        ),
        (
            "CashReserved",
            r#""initial":"2500.00""#,
            r#""initial":"2400.00""#,
            "an initial margin of -100 and a maintenance margin of 0 by what is stated, where 0 belongs",
        ),
        (
            "CashReserved",
            r#""maintenance":"1500.00""#,
            r#""maintenance":"0.00""#,
            "a maintenance margin of -1500 by what is stated, where 0 belongs",
        ),
        ("CashReserved", r#""qty":"-100""#, r#""qty":"-99""#, "the standing names -99 of "),
        ("CashWithdrawn", r#""price":"50.00""#, r#""price":"49.00""#, "is stated to have"),
        ("CashWithdrawn", r#""margin":"#, r#""was":"#, "does not say how the account stood"),
        ("CashReserved", r#""margin":"#, r#""was":"#, "does not say how the account stood"),
    ] {
        let report = verify_lines(&rewritten(&lines, event_type, from, to), &[]);
        let codes: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
        assert!(codes.contains(&Code::Margin), "{event_type} {to}: {report}");
        let found = report.problems.iter().any(|problem| problem.message.contains(told));
        assert!(found, "{told}: {report}");
        assert!(!codes.contains(&Code::Leaf), "{event_type} {to}: {report}");
    }
}
