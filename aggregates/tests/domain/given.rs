//! Given, when, then: every command of every aggregate, taken once and refused once, through the framework's own door;
//! and that this door decides what `decide` decides.

use aggregates::account::{
    Account, AccountCommand, AccountError, AccountEvent, AccountKind, Policy, ReleaseReason,
};
use aggregates::id::FillId;
use aggregates::instrument::{Instrument, InstrumentCommand, InstrumentError, InstrumentEvent};
use aggregates::money::AmountError;
use aggregates::order::{
    CancelReason, Execution, ExpiryReason, Order, OrderChange, OrderCommand, OrderError,
    OrderEvent, OrderStatus,
};
use aggregates::rules::Rules;
use aggregates::stream::Decide;
use aggregates::writer::{Writer, WriterCommand, WriterError};
use cqrs_es::Aggregate;
use cqrs_es::test::TestFramework;

use crate::book::*;
use crate::samples;

/// The outcome of one command through `Aggregate::handle`, which has to be what `decide` and `evolve` make of it.
pub fn when<A>(given: &[A::Event], command: A::Command) -> Result<Vec<A::Event>, A::Error>
where
    A: Decide + Aggregate<Services = Rules>,
    A::Event: PartialEq + Clone + std::fmt::Debug,
    A::Error: PartialEq,
    A::Command: Clone,
{
    let mut aggregate = A::default();
    for event in given {
        aggregate.evolve(event).unwrap();
    }
    let untouched = aggregate.clone();
    let decided = aggregate.decide(&command, &Rules::default());
    assert!(aggregate == untouched, "deciding changes nothing");
    for event in decided.iter().flatten() {
        aggregate.evolve(event).unwrap();
    }
    let stored = serde_json::to_string(&aggregate).unwrap();
    assert!(
        serde_json::from_str::<A>(&stored).unwrap() == aggregate,
        "a snapshot is the aggregate"
    );
    let framework = TestFramework::<A>::with(Rules::default());
    let handled = framework.given(given.to_vec()).when(command).inspect_result();
    assert!(handled == decided, "{handled:?} handled, {decided:?} decided");
    handled
}

fn opened() -> Vec<AccountEvent> {
    samples::account()[..2].to_vec()
}

fn reserved() -> Vec<AccountEvent> {
    [opened(), vec![samples::account()[3].clone()]].concat()
}

fn account(
    given: &[AccountEvent],
    command: AccountCommand,
) -> Result<Vec<AccountEvent>, AccountError> {
    when::<Account>(given, command)
}

#[test]
fn an_account_opens_once() {
    let open = |balance: &str| AccountCommand::Open {
        account_id: account_id(1),
        kind: AccountKind::Cash,
        option_level: 0,
        name_digest: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".into(),
        starting_balance: money(balance),
        deposit_id: command_id(1),
        at: Some(at(0)),
    };
    assert_eq!(account(&[], open("10000")).unwrap(), opened());
    assert_eq!(account(&[], open("0")).unwrap(), opened()[..1]);
    assert_eq!(account(&[], open("-1")), Err(AccountError::NotPositive(money("-1"))));
    assert_eq!(account(&opened(), open("1")), Err(AccountError::Exists));
}

#[test]
fn money_comes_in_and_goes_out_as_far_as_it_is_free() {
    let deposit = |amount: &str| AccountCommand::Deposit {
        deposit_id: command_id(1),
        amount: money(amount),
        at: None,
    };
    let withdraw = |amount: &str| AccountCommand::Withdraw {
        withdrawal_id: command_id(2),
        amount: money(amount),
        at: None,
        margin: None,
        collateral: aggregates::money::Money::ZERO,
    };
    let events = account(&opened(), deposit("0.01")).unwrap();
    assert_eq!(
        events,
        [AccountEvent::CashDeposited {
            deposit_id: command_id(1),
            amount: money("0.01"),
            cash: money("10000.01"),
            at: None
        }]
    );
    for amount in ["0", "-5"] {
        assert_eq!(
            account(&opened(), deposit(amount)),
            Err(AccountError::NotPositive(money(amount)))
        );
        assert_eq!(
            account(&opened(), withdraw(amount)),
            Err(AccountError::NotPositive(money(amount)))
        );
    }
    assert_eq!(account(&[], deposit("1")), Err(AccountError::NotFound));
    assert_eq!(account(&opened(), withdraw("250.5")).unwrap(), samples::account()[2..3]);
    let refused = account(&reserved(), withdraw("8127.51")).unwrap_err();
    assert!(
        matches!(refused, AccountError::InsufficientCash { available, .. } if available == money("8127.50"))
    );
    assert!(account(&reserved(), withdraw("8127.50")).is_ok());
}

#[test]
fn a_reservation_is_made_once_and_released_once() {
    let reserve = |n, amount: &str| AccountCommand::Reserve {
        order_id: order_id(n),
        amount: money(amount),
        margin: None,
        collateral: aggregates::money::Money::ZERO,
        of_options: false,
    };
    let release =
        AccountCommand::Release { orders: vec![order_id(1)], reason: ReleaseReason::Canceled };
    assert_eq!(account(&opened(), reserve(1, "1872.5")).unwrap(), reserved()[2..]);
    assert_eq!(account(&reserved(), reserve(1, "1")), Err(AccountError::NoReservation));
    let (needed, available) = (money("8127.51"), money("8127.5"));
    assert_eq!(
        account(&reserved(), reserve(2, "8127.51")),
        Err(AccountError::InsufficientBuyingPower { needed, available })
    );
    assert_eq!(account(&reserved(), release.clone()).unwrap(), samples::account()[4..5]);
    assert_eq!(account(&opened(), release), Err(AccountError::NoReservation));
}

#[test]
fn a_fill_settles_within_what_the_account_can_pay() {
    let settle = |amount: &str, fees: &str, keep: &str| AccountCommand::Settle {
        order_id: order_id(1),
        fill_id: FillId::of(order_id(1), 0, 42, 1),
        amount: money(amount),
        fees: money(fees),
        keep: money(keep),
        opening: None,
    };
    let events = account(&reserved(), settle("-1000", "0.35", "700")).unwrap();
    let AccountEvent::FillSettled { released, cash, reserved: left, .. } = &events[0] else {
        panic!()
    };
    assert_eq!((*released, *cash, *left), (money("1172.5"), money("9000"), money("700")));
    assert!(matches!(events[1], AccountEvent::FeeCharged { cash, .. } if cash == money("8999.65")));
    assert!(
        account(&reserved(), settle("-10000", "0", "0")).is_ok(),
        "beyond the reservation, as far as cash goes"
    );
    assert!(account(&reserved(), settle("-10000", "0.01", "0")).is_err());
    assert!(
        account(&reserved(), settle("-9000", "0", "1000.01")).is_err(),
        "what stays reserved has to be there"
    );
    let grown = account(&reserved(), settle("-1", "0", "5000")).unwrap();
    assert!(
        matches!(grown[0], AccountEvent::FillSettled { released, .. } if released.is_zero()),
        "it never grows"
    );
}

#[test]
fn an_account_follows_splits_and_dividends_and_changes_its_policy() {
    let (action_id, instrument_id) = ("split-1".to_owned(), stock("AAPL"));
    let follow = |cash: &str, to: &str| AccountCommand::FollowSplit {
        action_id: action_id.clone(),
        instrument_id,
        cash_in_lieu: money(cash),
        keep: vec![(order_id(1), money(to))],
        at: at(5),
    };
    assert_eq!(account(&reserved(), follow("0", "1872.5")).unwrap(), []);
    let events = account(&reserved(), follow("33.34", "0")).unwrap();
    assert!(
        matches!(&events[0], AccountEvent::CashPaidInLieu { cash, .. } if *cash == money("10033.34"))
    );
    assert!(
        matches!(&events[1], AccountEvent::ReservationsAdjusted { reserved, .. } if reserved.is_zero())
    );
    let pay = AccountCommand::PayDividend {
        action_id: action_id.clone(),
        instrument_id,
        amount: money("-10000.01"),
        at: at(5),
    };
    let owed = account(&opened(), pay.clone()).unwrap();
    assert!(matches!(&owed[0], AccountEvent::DividendPaid { cash, .. } if *cash == money("-0.01")));
    assert_eq!(account(&[], pay), Err(AccountError::NotFound));
    let policy = Policy { max_order_qty: Some(quantity("5")), ..Policy::default() };
    let change = AccountCommand::ChangePolicy { change: policy.clone().into() };
    assert_eq!(
        account(&opened(), change.clone()).unwrap(),
        [AccountEvent::PolicyChanged { policy, ends_stop: false }]
    );
    assert_eq!(account(&[], change), Err(AccountError::NotFound));
}

fn placed() -> Vec<OrderEvent> {
    samples::order()[..1].to_vec()
}

fn partly_filled() -> Vec<OrderEvent> {
    let mut fill = samples::order()[4].clone();
    if let OrderEvent::OrderFilled { fees, .. } = &mut fill {
        *fees = money("0");
    }
    [placed(), vec![fill]].concat()
}

fn order(given: &[OrderEvent], command: OrderCommand) -> Result<Vec<OrderEvent>, OrderError> {
    when::<Order>(given, command)
}

fn execution(after_fills: u32, qty: &str, at_price: &str) -> OrderCommand {
    let evidence = evidence(42, price("187.24"));
    OrderCommand::Fill {
        fill_id: FillId::of(order_id(1), 0, 42, 1),
        execution: Execution {
            revision: 0,
            after_fills,
            qty: quantity(qty),
            price: price(at_price),
            evidence,
            legs: Vec::new(),
        },
        most: None,
        at: at(1),
    }
}

#[test]
fn an_order_fills_as_far_as_it_is_open_and_never_beyond_its_limit() {
    assert_eq!(order(&placed(), execution(0, "4", "187.24")).unwrap(), partly_filled()[1..]);
    assert_eq!(
        order(&partly_filled(), execution(0, "4", "187.24")),
        Err(OrderError::Stale { revision: 0, fills: 1 })
    );
    let (asked, leaves) = (quantity("6.1"), quantity("6"));
    assert_eq!(
        order(&partly_filled(), execution(1, "6.1", "187")),
        Err(OrderError::Overfill { asked, leaves })
    );
    for nothing in ["0", "-1"] {
        assert!(matches!(
            order(&placed(), execution(0, nothing, "187")),
            Err(OrderError::Overfill { .. })
        ));
    }
    for beyond in ["187.26", "0", "-1"] {
        assert_eq!(order(&placed(), execution(0, "1", beyond)), Err(OrderError::BeyondLimit));
    }
    assert_eq!(order(&[], execution(0, "1", "187")), Err(OrderError::NotFound));
}

#[test]
fn a_replacement_keeps_what_has_filled_and_says_whether_it_loses_priority() {
    let replace = |qty: &str, limit: &str| OrderCommand::Replace {
        change: OrderChange {
            qty: Some(quantity(qty)),
            limit_price: Some(price(limit)),
            ..OrderChange::default()
        },
        reserve_price: Some(price(limit)),
        expires_at: None,
        at: at(2),
    };
    for (qty, limit, loses) in [("8", "187.25", false), ("12", "187.25", true), ("8", "187", true)]
    {
        let events = order(&partly_filled(), replace(qty, limit)).unwrap();
        assert!(
            matches!(events[0], OrderEvent::OrderReplaced { revision: 1, loses_priority, .. } if loses_priority == loses)
        );
    }
    let (qty, filled) = (quantity("4"), quantity("4"));
    assert_eq!(
        order(&partly_filled(), replace("4", "187")),
        Err(OrderError::BelowFilled { qty, filled })
    );
    assert!(matches!(
        order(&placed(), replace("4", "187.001")),
        Err(OrderError::Malformed { field: "limit_price", .. })
    ));
}

#[test]
fn an_order_ends_once_and_follows_a_split_once() {
    let cancel = OrderCommand::Cancel { reason: CancelReason::Requested, at: at(4) };
    let expire = OrderCommand::Expire { reason: ExpiryReason::SessionClosed, at: at(4) };
    let canceled = order(&partly_filled(), cancel.clone()).unwrap();
    assert!(
        matches!(canceled[0], OrderEvent::OrderCanceled { leaves_qty, .. } if leaves_qty == quantity("6"))
    );
    let ended = [partly_filled(), canceled].concat();
    for again in [cancel, expire, execution(1, "1", "187")] {
        assert_eq!(order(&ended, again), Err(OrderError::NotOpen(OrderStatus::Canceled)));
    }
    let adjust = OrderCommand::Adjust {
        action_id: "split-1".into(),
        numerator: quantity("3"),
        denominator: quantity("2"),
        whole: false,
        at: at(3),
    };
    let adjusted = order(&partly_filled(), adjust.clone()).unwrap();
    assert!(
        matches!(adjusted[0], OrderEvent::OrderAdjusted { qty, .. } if qty == quantity("13")),
        "4 and 6 * 3 / 2"
    );
    let followed = [partly_filled(), adjusted].concat();
    assert_eq!(order(&followed, adjust), Err(OrderError::AlreadyAdjusted("split-1".into())));
}

#[test]
fn an_order_that_a_split_makes_larger_than_any_is_canceled_and_does_not_hold_up_the_split() {
    let adjust = OrderCommand::Adjust {
        action_id: "split-1".into(),
        numerator: quantity("1000000000"),
        denominator: quantity("1"),
        whole: false,
        at: at(3),
    };
    let canceled = order(&partly_filled(), adjust).unwrap();
    let reason = CancelReason::SplitOutOfBounds;
    let leaves_qty = quantity("6");
    assert_eq!(canceled, [OrderEvent::OrderCanceled { reason, leaves_qty, at: at(3) }]);
}

#[test]
fn an_instrument_takes_every_fact_once_and_in_turn() {
    let facts = samples::instrument();
    let action = || "dividend-1".to_owned();
    let commands = |facts: &[InstrumentEvent]| -> Vec<InstrumentCommand> {
        facts
            .iter()
            .cloned()
            .map(|fact| match fact {
                InstrumentEvent::InstrumentListed { instrument_id, symbol, name, kind, at } => {
                    InstrumentCommand::List { instrument_id, symbol, name, kind, at }
                }
                InstrumentEvent::TradingHalted { reason, at } => {
                    InstrumentCommand::Halt { reason, at }
                }
                InstrumentEvent::TradingResumed { reason, at } => {
                    InstrumentCommand::Resume { reason, at }
                }
                InstrumentEvent::SplitBegun { action_id, split } => {
                    InstrumentCommand::BeginSplit { action_id, split }
                }
                InstrumentEvent::SplitCompleted { action_id, at } => {
                    InstrumentCommand::CompleteSplit { action_id, at }
                }
                InstrumentEvent::DividendDeclared { action_id, amount, ex, pay, at } => {
                    InstrumentCommand::DeclareDividend { action_id, amount, ex, pay, at }
                }
                InstrumentEvent::DividendAccrualCompleted { action_id, at } => {
                    InstrumentCommand::CompleteAccrual { action_id, at }
                }
                InstrumentEvent::DividendCompleted { action_id, at } => {
                    InstrumentCommand::CompleteDividend { action_id, at }
                }
                InstrumentEvent::OfficiallyClosed { session, price, source, quote, at } => {
                    InstrumentCommand::Close { session, price, source, quote, at }
                }
                InstrumentEvent::ContractExpired { session, price, source, last_price_at, at } => {
                    InstrumentCommand::Expire { session, price, source, last_price_at, at }
                }
                InstrumentEvent::ContractSettled { at } => InstrumentCommand::CompleteExpiry { at },
            })
            .collect()
    };
    for (n, command) in commands(&facts).into_iter().enumerate() {
        assert_eq!(when::<Instrument>(&facts[..n], command.clone()).unwrap(), facts[n..=n]);
        assert!(when::<Instrument>(&facts[..=n], command.clone()).is_err(), "{command:?} twice");
        if n > 0 {
            assert_eq!(when::<Instrument>(&[], command), Err(InstrumentError::NotListed));
        }
    }
    let early = InstrumentCommand::CompleteAccrual { action_id: action(), at: at(1) };
    assert!(matches!(
        when::<Instrument>(&facts[..1], early),
        Err(InstrumentError::AlreadyApplied(_))
    ));
    let free = InstrumentCommand::DeclareDividend {
        action_id: action(),
        amount: price("0"),
        ex: chrono::NaiveDate::MIN,
        pay: chrono::NaiveDate::MAX,
        at: at(1),
    };
    let refused = when::<Instrument>(&facts[..1], free).unwrap_err();
    assert!(matches!(refused, InstrumentError::Amount(AmountError::NotPositive { .. })));
}

#[test]
fn a_writer_takes_over_with_a_later_epoch_only() {
    let given = samples::writer();
    let take_over = |epoch| WriterCommand::TakeOver {
        epoch,
        key_name: "blotter/1".into(),
        public_key: "AeAd4t4lOCTUDEmhBAm45pVGDp1ERfKsLTvSFFg3pQWl".into(),
    };
    assert_eq!(when::<Writer>(&[], take_over(1)).unwrap(), given);
    assert_eq!(
        when::<Writer>(&given, take_over(1)),
        Err(WriterError::OldEpoch { asked: 1, now: 1 })
    );
    assert!(when::<Writer>(&given, take_over(2)).is_ok());
}

#[test]
fn the_time_of_an_order_does_not_go_back() {
    let filled = partly_filled();
    let last = filled.last().unwrap().at();
    for early in [at(-5), at(0)] {
        assert!(early < last);
        let cancel = OrderCommand::Cancel { reason: CancelReason::Requested, at: early };
        let expire = OrderCommand::Expire { reason: ExpiryReason::SessionClosed, at: early };
        for command in [cancel, expire] {
            assert_eq!(order(&filled, command).unwrap()[0].at(), last);
        }
    }
}
