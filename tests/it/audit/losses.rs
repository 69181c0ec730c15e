//! The audit reckons losses again: a day or a stop whose figures are not what cash, holdings, prices and policy make of them
//! is found.

use aggregates::account::{AccountCommand, PolicyChange};
use aggregates::id::{AccountId, InstrumentId, OPERATOR_TENANT};
use aggregates::margin::{Mark, Marks};
use aggregates::market::Reference;
use aggregates::trading::Command;
use blotter::audit::{Code, ProcessKey, Scope};
use blotter::ledger::SigningName;
use chrono::{Days, NaiveDate};

use super::{exported, rewritten, verify_lines};
use crate::support::history::fill;
use crate::support::ledger::{TestLedger, buy, noon};
use crate::support::{TestDatabase, scratch_directory};

/// The deposit that the account was opened with, and the change of its policy.
const CHANGES: u64 = 2;

fn shown(instrument: InstrumentId, price: &str) -> Marks {
    let seen = Reference { price: price.parse().unwrap(), source: "feed".to_owned(), at: noon() };
    Marks::from([(instrument, Mark { long: seen.clone(), short: seen })])
}

fn begin(account_id: AccountId, day: NaiveDate, marks: Marks) -> Command {
    let rise = "0".parse().unwrap();
    Command::BeginDay { account_id, day, seen: CHANGES, rise, marks, tape_place: 1, at: noon() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_or_a_stop_that_is_not_so_is_found_though_every_leaf_is_right() {
    let database = TestDatabase::new().await;
    let directory = scratch_directory("losses-audit");
    let key = ProcessKey::open_or_create(directory.path()).unwrap();
    let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
    let test = TestLedger::start_signing(&database, "one", name).await;
    let instrument = test.stock("AAPL").await;
    let account_id = test.account("10000").await;
    let change = PolicyChange {
        max_daily_loss: Some(Some("500".parse().unwrap())),
        max_drawdown_pct: Some(Some("20".parse().unwrap())),
        ..PolicyChange::default()
    };
    let command = AccountCommand::ChangePolicy { change };
    test.submit(OPERATOR_TENANT, Command::Account { account_id, command }, None).await.unwrap();
    let (order_id, command, key) = buy(account_id, "AAPL", "50", "100", "held");
    test.submit(OPERATOR_TENANT, command, Some(key)).await.unwrap();
    fill(&test, order_id, (0, 0), ("50", "100"), ("99.90", "100")).await;
    let today = noon().date_naive();
    let at_100 = shown(instrument, "100");
    test.submit(OPERATOR_TENANT, begin(account_id, today, at_100), None).await.unwrap();
    let (_, command, key) = buy(account_id, "AAPL", "1", "90", "rests");
    test.submit(OPERATOR_TENANT, command, Some(key)).await.unwrap();
    let stop = Command::StopLosses {
        account_id,
        seen: CHANGES,
        rise: "400".parse().unwrap(),
        marks: shown(instrument, "89"),
        tape_place: 2,
        at: noon(),
    };
    test.submit(OPERATOR_TENANT, stop, None).await.unwrap();
    let tomorrow = begin(account_id, today + Days::new(1), shown(instrument, "89"));
    test.submit(OPERATOR_TENANT, tomorrow, None).await.unwrap();

    let lines = exported(&database, Scope::default()).await;
    let sound = verify_lines(&lines, &[]);
    assert!(sound.problems.is_empty(), "{sound}");
    for (event_type, from, to) in [
        ("TradingDayBegan", r#""equity":"10000.00""#, r#""equity":"10000.01""#),
        ("TradingDayBegan", r#""peak":"10000.00""#, r#""peak":"10000.01""#),
        ("TradingDayBegan", r#""dividends_due":"0.00""#, r#""dividends_due":"1.00""#),
        ("TradingDayBegan", r#""qty":"50""#, r#""qty":"51""#),
        ("LossLimitReached", r#""base":"10000.00""#, r#""base":"10000.01""#),
        ("LossLimitReached", r#""max_loss":"500.00""#, r#""max_loss":"550.00""#),
        ("LossLimitReached", r#""limit":"daily_loss""#, r#""limit":"drawdown""#),
        ("LossLimitReached", r#""price":"89.00""#, r#""price":"88.00""#),
        ("LossLimitReached", r#""peak":"10400.00""#, r#""peak":"9900.00""#),
        ("LossLimitReached", r#""trading_state":"reducing""#, r#""trading_state":"halted""#),
        ("LossLimitLifted", r#""trading_state":"active""#, r#""trading_state":"reducing""#),
        (
            "CashDeposited",
            r#""amount":"10000.00","cash":"10000.00""#,
            r#""amount":"9000.00","cash":"9000.00""#,
        ),
    ] {
        let report = verify_lines(&rewritten(&lines, event_type, from, to), &[]);
        let codes: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
        assert!(codes.contains(&Code::Losses), "{event_type} {to}: {report}");
        assert!(!codes.contains(&Code::Leaf), "{event_type} {to}: {report}");
    }
    let raised =
        rewritten(&lines, "LossLimitReached", r#""peak":"10400.00""#, r#""peak":"9900.00""#);
    let report = verify_lines(&raised, &[]);
    let told = "the highest equity is told as 9900, after 10000";
    assert!(report.problems.iter().any(|problem| problem.message == told), "{report}");
    let lifted = r#""trading_state":"active""#;
    let forged = rewritten(&lines, "LossLimitLifted", lifted, r#""trading_state":"reducing""#);
    let report = verify_lines(&forged, &[]);
    let told = "the stop is daily_loss of 500 from 10000, at an equity of 9450 at ";
    assert!(report.problems.iter().any(|problem| problem.message.contains(told)), "{report}");
}
