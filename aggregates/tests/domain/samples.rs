//! One example of each stored event, for the golden files. `documents` checks that none is missing.

use aggregates::account::{
    AccountEvent, AccountKind, LossLimit, Policy, ReleaseReason, ReservationChange, TradingState,
};
use aggregates::id::{ClientId, FillId, GrantId, LotId, SessionId, TokenId};
use aggregates::instrument::{ClosingQuote, InstrumentEvent, InstrumentKind, OptionEnd, Split};
use aggregates::margin::{Marked, NakedPuts, Standing};
use aggregates::market::Reference;
use aggregates::order::{
    CancelReason, Exits, ExpiryReason, Lifetime, OrderClass, OrderEvent, OrderSpec, OrderType,
    ResizeCause, Side, StopLoss, TakeProfit, TimeInForce, Trail,
};
use aggregates::position::{ClosedLot, ClosedShares, Lot, PositionEvent, ShareReservation};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::Event;
use aggregates::user::{
    By, Denial, Door, Face, GrantRole, LogInRefusal, OfferEnd, Scope, SessionEnd, TokenEnd,
    TokenLimits, UserEvent,
};
use aggregates::writer::WriterEvent;
use chrono::NaiveDate;
use uuid::Uuid;

use crate::book::*;
use crate::option_orders::terms;

fn fill_id() -> FillId {
    FillId::of(order_id(1), 0, 42, 1)
}

fn lot_id() -> LotId {
    LotId::of(fill_id())
}

/// The exercise of a call of 190 when it expires.
fn ending_id() -> FillId {
    let (option, session) = (stock("AAPL240119C00190000"), b"2024-01-19");
    FillId::of_ending(account_id(1), option, session, OptionEnd::Exercised.word())
}

pub fn grant_id(n: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(0xf000 + n))
}

fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, month, day).unwrap()
}

/// 20,000 in cash, and ten shares that were sold short, at 187.25.
fn standing() -> Option<Standing> {
    let held = Marked {
        instrument_id: stock("AAPL"),
        qty: quantity("-10"),
        price: price("187.25"),
        source: "feed".into(),
        at: at(0),
        contract: None,
    };
    Some(Standing::of(money("20000"), NakedPuts::default(), vec![held]).unwrap())
}

pub fn account() -> Vec<AccountEvent> {
    let (order_id, fill_id, instrument_id) = (order_id(1), fill_id(), stock("AAPL"));
    vec![
        AccountEvent::AccountOpened {
            account_id: account_id(1),
            kind: AccountKind::Cash,
            option_level: 0,
            name_digest: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".into(),
        },
        AccountEvent::CashDeposited {
            deposit_id: command_id(1),
            amount: money("10000"),
            cash: money("10000"),
            at: Some(at(0)),
        },
        AccountEvent::CashWithdrawn {
            withdrawal_id: command_id(2),
            amount: money("250.5"),
            cash: money("9749.5"),
            at: None,
            margin: None,
        },
        AccountEvent::CashReserved {
            order_id,
            amount: money("1872.5"),
            reserved: money("1872.5"),
            margin: None,
        },
        AccountEvent::ReservationReleased {
            order_id,
            amount: money("1872.5"),
            reason: ReleaseReason::Canceled,
            reserved: money("0"),
        },
        AccountEvent::ReservationsAdjusted {
            action_id: Some("split-1".into()),
            changes: vec![ReservationChange { order_id, from: money("100"), to: money("99.99") }],
            reserved: money("99.99"),
            margin: standing(),
        },
        AccountEvent::FillSettled {
            order_id,
            fill_id,
            amount: money("-1872.4"),
            released: money("1872.5"),
            cash: money("7877.1"),
            reserved: money("0"),
            margin: standing(),
        },
        AccountEvent::FeeCharged {
            order_id,
            fill_id,
            amount: money("0.35"),
            cash: money("7876.75"),
        },
        AccountEvent::DividendPaid {
            action_id: "dividend-1".into(),
            instrument_id,
            amount: money("2.4"),
            cash: money("7879.15"),
            at: at(60),
        },
        AccountEvent::CashPaidInLieu {
            action_id: "split-1".into(),
            instrument_id,
            amount: money("33.34"),
            cash: money("7912.49"),
            at: at(61),
        },
        AccountEvent::AccountReset {
            reset_id: command_id(3),
            amount: money("2087.51"),
            released: money("99.99"),
            cash: money("10000"),
            at: Some(at(62)),
        },
        AccountEvent::PolicyChanged {
            policy: Policy {
                trading_state: TradingState::Reducing,
                max_order_qty: Some(quantity("100")),
                max_order_notional: Some(money("5000")),
                price_collar_pct: Some(price("5")),
                max_position_qty: Some(quantity("500")),
                max_concentration_pct: Some(price("25")),
                max_open_orders: Some(20),
                max_daily_loss: Some(money("500")),
                max_daily_loss_pct: Some(price("5")),
                max_drawdown_pct: Some(price("12.5")),
            },
            ends_stop: true,
        },
        AccountEvent::AccessGranted {
            grant_id: grant_id(1),
            user_id: user_id(2),
            role: GrantRole::Trader,
        },
        AccountEvent::AccessRevoked {
            grant_id: grant_id(1),
            user_id: user_id(2),
            role: GrantRole::Trader,
        },
        AccountEvent::AccessOffered {
            grant_id: grant_id(1),
            user_id: user_id(2),
            role: GrantRole::Trader,
        },
        AccountEvent::OfferEnded {
            grant_id: grant_id(1),
            user_id: user_id(2),
            role: GrantRole::Trader,
            reason: OfferEnd::Declined,
        },
        AccountEvent::TradingDayBegan {
            day: day(1, 17),
            equity: money("18127.50"),
            peak: money("18500"),
            dividends_due: money("0"),
            holdings: standing().unwrap().holdings,
            tape_place: 40,
            at: at(60),
        },
        AccountEvent::LossLimitReached {
            limit: LossLimit::DailyLoss,
            trading_state: TradingState::Reducing,
            base: money("18640"),
            max_loss: money("500"),
            equity: money("18127.50"),
            peak: money("18700"),
            dividends_due: money("0"),
            holdings: standing().unwrap().holdings,
            tape_place: 42,
            at: at(61),
        },
        AccountEvent::LossLimitLifted {
            day: day(1, 18),
            trading_state: TradingState::Active,
            at: at(62),
        },
        AccountEvent::OptionSettled {
            instrument_id: stock("AAPL240119C00190000"),
            ending_id: ending_id(),
            how: OptionEnd::Exercised,
            amount: money("-19000"),
            cash: money("1000"),
            margin: standing(),
            at: at(64),
        },
    ]
}

pub fn order() -> Vec<OrderEvent> {
    let order = OrderSpec {
        time_in_force: TimeInForce::Gtd,
        good_till: Some(at(3600)),
        order_class: OrderClass::Bracket,
        exits: Some(Box::new(Exits {
            take_profit: Some(TakeProfit { limit_price: price("195") }),
            stop_loss: Some(StopLoss {
                stop_price: price("180"),
                limit_price: Some(price("179.5")),
            }),
        })),
        ..spec(account_id(1), "AAPL", Side::Buy, "10", Some("187.25"))
    };
    let trailing = OrderSpec {
        order_type: OrderType::TrailingStopLimit,
        limit_price: None,
        trail: Some(Trail::Price(price("5"))),
        limit_offset: Some(price("0.5")),
        activation_price: Some(price("185")),
        ..order.clone()
    };
    let reject =
        Refusal::new(RefusalCode::InsufficientBuyingPower, "the order needs 1872.50 at worst")
            .figure("needed", money("1872.5"));
    let place = evidence(42, price("187.24"));
    vec![
        OrderEvent::OrderPlaced {
            order: order.clone(),
            held: false,
            reserve_price: Some(price("187.25")),
            reference: Some(Reference { price: price("187.2"), source: "feed".into(), at: at(0) }),
            expires_at: Some(at(3600)),
            tape_place: 41,
            at: at(0),
        },
        OrderEvent::OrderRejected { order: trailing, reject, tape_place: 41, at: at(0) },
        OrderEvent::OrderActivated { qty: quantity("10"), at: at(1) },
        OrderEvent::OrderTriggered {
            stop_price: price("180"),
            mark: Some(price("190")),
            limit_price: Some(price("179.5")),
            evidence: place.clone(),
            at: at(1),
        },
        OrderEvent::OrderFilled {
            fill_id: fill_id(),
            n: 1,
            qty: quantity("4"),
            price: price("187.24"),
            amount: money("748.96"),
            fees: money("0.35"),
            filled_qty: quantity("4"),
            leaves_qty: quantity("6"),
            revision: 0,
            evidence: place,
            at: at(1),
            legs: Vec::new(),
        },
        OrderEvent::OrderReplaced {
            revision: 1,
            qty: quantity("12"),
            limit_price: Some(price("187")),
            stop_price: None,
            reserve_price: Some(price("187")),
            trail: Some(Trail::Percent(price("5"))),
            limit_offset: Some(price("0.75")),
            activation_price: Some(price("190")),
            lifetime: Some(Lifetime {
                time_in_force: TimeInForce::Gtd,
                expires_at: Some(at(7200)),
            }),
            loses_priority: true,
            at: at(2),
        },
        OrderEvent::OrderResized {
            revision: 1,
            qty: quantity("6"),
            cause: ResizeCause::PositionReduced,
            at: at(2),
        },
        OrderEvent::OrderAdjusted {
            action_id: "split-1".into(),
            numerator: quantity("2"),
            denominator: quantity("1"),
            revision: 2,
            qty: quantity("20"),
            limit_price: Some(price("93.5")),
            stop_price: None,
            trail: None,
            limit_offset: Some(price("0.25")),
            activation_price: Some(price("95")),
            reserve_price: Some(price("93.5")),
            at: at(3),
        },
        OrderEvent::OrderCanceled {
            reason: CancelReason::PositionClosed,
            leaves_qty: quantity("16"),
            at: at(4),
        },
        OrderEvent::OrderExpired {
            reason: ExpiryReason::SessionClosed,
            leaves_qty: quantity("16"),
            at: at(3600),
        },
    ]
}

pub fn position() -> Vec<PositionEvent> {
    let (order_id, fill_id, lot_id) = (order_id(1), fill_id(), lot_id());
    let closed = vec![ClosedLot { lot_id, qty: quantity("2"), cost: money("374.48") }];
    let lot = Lot { lot_id, qty: quantity("7"), cost: money("500"), opened_at: at(1) };
    vec![
        PositionEvent::PositionOpened {
            account_id: account_id(1),
            instrument_id: stock("AAPL"),
            symbol: "AAPL".into(),
            fill_id,
            order_id,
            side: Side::Buy,
            qty: quantity("4"),
            price: price("187.24"),
            cost: money("748.96"),
            lot_id,
            position_qty: quantity("4"),
            at: at(1),
            contract: None,
        },
        PositionEvent::PositionIncreased {
            fill_id,
            order_id,
            side: Side::Buy,
            qty: quantity("1.5"),
            price: price("187.24"),
            cost: money("280.86"),
            lot_id,
            position_qty: quantity("5.5"),
            at: at(2),
        },
        PositionEvent::PositionReduced {
            fill_id,
            order_id,
            side: Side::Sell,
            qty: quantity("2"),
            price: price("190"),
            proceeds: money("380"),
            lots: closed.clone(),
            realized_pl: money("5.52"),
            position_qty: quantity("3.5"),
            at: at(3),
        },
        PositionEvent::PositionClosed {
            fill_id,
            order_id,
            side: Side::Sell,
            qty: quantity("2"),
            price: price("180"),
            proceeds: money("360"),
            lots: closed,
            realized_pl: money("-14.48"),
            at: at(4),
        },
        PositionEvent::SharesReserved { order_id, qty: quantity("2"), reserved_qty: quantity("2") },
        PositionEvent::SharesReservationAdjusted {
            order_id,
            from: quantity("2"),
            to: quantity("3"),
            reserved_qty: quantity("3"),
        },
        PositionEvent::SharesReleased {
            order_id,
            qty: quantity("2"),
            reason: ReleaseReason::Expired,
            reserved_qty: quantity("0"),
        },
        PositionEvent::PositionReset {
            reset_id: command_id(3),
            qty: quantity("5.5"),
            cost: money("1029.82"),
            realized_pl: money("12.5"),
            reserved_qty: quantity("2"),
            dividends_due: money("2.4"),
            at: at(62),
        },
        PositionEvent::PositionSplit {
            action_id: "split-1".into(),
            numerator: quantity("3"),
            denominator: quantity("2"),
            qty_before: quantity("5"),
            position_qty: quantity("7"),
            fraction: quantity("0.5"),
            cash_in_lieu: money("33.34"),
            fraction_cost: money("33.33"),
            realized_pl: money("0.01"),
            lots: vec![lot],
            reservations: vec![ShareReservation { order_id, qty: quantity("3") }],
            at: at(5),
        },
        PositionEvent::SplitNotFollowed {
            action_id: "split-2".into(),
            numerator: quantity("4"),
            denominator: quantity("1"),
            position_qty: quantity("1000000000"),
            at: at(63),
        },
        PositionEvent::ExerciseInstructed { exercise: false, at: at(64) },
        PositionEvent::OptionEnded {
            how: OptionEnd::PaidOut,
            ending_id: ending_id(),
            side: Side::Sell,
            qty: quantity("1"),
            settlement_price: None,
            bid: None,
            action_id: Some("split-3".into()),
            mark: Some(Reference { price: price("1.525"), source: "feed".into(), at: at(63) }),
            lots: vec![ClosedLot { lot_id, qty: quantity("1"), cost: money("240") }],
            cost: money("240"),
            proceeds: money("152.50"),
            moved: money("0"),
            realized_pl: money("-87.50"),
            position_qty: quantity("0"),
            at: at(64),
        },
        PositionEvent::ContractAdjusted {
            action_id: "split-2".into(),
            numerator: quantity("4"),
            denominator: quantity("1"),
            into: stock("AAPL240119C00047500"),
            qty: quantity("2"),
            cost: money("480"),
            at: at(64),
        },
        PositionEvent::AdjustedContractOpened {
            account_id: account_id(1),
            instrument_id: stock("AAPL240119C00047500"),
            symbol: "AAPL240119C00047500".into(),
            contract: terms("AAPL240119C00047500"),
            action_id: "split-2".into(),
            from: stock("AAPL240119C00190000"),
            lots: vec![Lot { lot_id, qty: quantity("8"), cost: money("480"), opened_at: at(5) }],
            do_not_exercise: true,
            position_qty: quantity("8"),
            at: at(64),
        },
        PositionEvent::SharesDelivered {
            account_id: account_id(1),
            instrument_id: stock("AAPL"),
            symbol: "AAPL".into(),
            option_id: stock("AAPL240119C00190000"),
            ending_id: ending_id(),
            side: Side::Buy,
            qty: quantity("100"),
            price: price("190"),
            amount: money("19240"),
            closed: Some(ClosedShares {
                qty: quantity("40"),
                proceeds: money("7696"),
                lots: vec![ClosedLot { lot_id, qty: quantity("40"), cost: money("7800") }],
                realized_pl: money("104"),
            }),
            opened: Some(Lot {
                lot_id: LotId::of(ending_id()),
                qty: quantity("60"),
                cost: money("11544"),
                opened_at: at(64),
            }),
            position_qty: quantity("60"),
            at: at(64),
        },
        PositionEvent::DividendAccrued {
            action_id: "dividend-1".into(),
            qty: quantity("10"),
            per_share: price("0.24"),
            amount: money("2.4"),
            at: at(6),
        },
        PositionEvent::DividendSettled {
            action_id: "dividend-1".into(),
            amount: money("2.4"),
            at: at(7),
        },
    ]
}

pub fn instrument() -> Vec<InstrumentEvent> {
    let dividend = || "dividend-1".to_owned();
    let split = Split {
        numerator: quantity("3"),
        denominator: quantity("2"),
        last_close: Some(price("100.01")),
        at: at(4),
    };
    vec![
        InstrumentEvent::InstrumentListed {
            instrument_id: stock("AAPL"),
            symbol: "AAPL".into(),
            name: "Apple Inc.".into(),
            kind: InstrumentKind::Stock,
            at: Some(at(0)),
        },
        InstrumentEvent::TradingHalted { reason: "T1".into(), at: at(1) },
        InstrumentEvent::TradingResumed { reason: "T3".into(), at: at(2) },
        InstrumentEvent::SplitBegun { action_id: "split-1".into(), split },
        InstrumentEvent::SplitCompleted { action_id: "split-1".into(), at: at(5) },
        InstrumentEvent::DividendDeclared {
            action_id: dividend(),
            amount: price("0.24"),
            ex: day(2, 9),
            pay: day(2, 15),
            at: at(6),
        },
        InstrumentEvent::DividendAccrualCompleted { action_id: dividend(), at: at(7) },
        InstrumentEvent::DividendCompleted { action_id: dividend(), at: at(8) },
        InstrumentEvent::OfficiallyClosed {
            session: day(2, 9),
            price: price("188.85"),
            source: "trades".into(),
            quote: None,
            at: at(9),
        },
    ]
}

/// The close of an option that did not trade.
pub fn close_between() -> InstrumentEvent {
    InstrumentEvent::OfficiallyClosed {
        session: day(1, 19),
        price: price("1.555"),
        source: "feed".into(),
        quote: Some(ClosingQuote { bid: price("1.5"), ask: price("1.61"), at: at(62) }),
        at: at(63),
    }
}

/// Of an option: it is no stock, so its facts are not among those of one.
pub fn expiry() -> Vec<InstrumentEvent> {
    vec![
        InstrumentEvent::ContractExpired {
            session: day(1, 19),
            price: price("191.56"),
            source: "trades".into(),
            last_price_at: Some(at(63)),
            at: at(64),
        },
        InstrumentEvent::ContractSettled { at: at(64) },
    ]
}

pub fn user() -> Vec<UserEvent> {
    let session_id = SessionId::new(Uuid::from_u128(0x1_0001));
    let token_id = TokenId::new(Uuid::from_u128(0x2_0001));
    let made = |n: u128| (fact_id(n), at(n.try_into().unwrap()));
    let mut events = Vec::new();
    macro_rules! say {
        ($variant:ident { $($field:ident $(: $value:expr)?),* }) => {
            let (fact_id, at) = made(events.len() as u128 + 1);
            events.push(UserEvent::$variant { fact_id, at, $($field $(: $value)?),* });
        };
    }
    say!(UserRegistered { user_id: user_id(1), by: Door::Open });
    say!(LoggedIn { session_id, client_id: ClientId::new(Uuid::from_u128(0x3_0001)) });
    say!(LogInRefused { reason: LogInRefusal::WrongPassword });
    say!(SessionRefreshed { session_id });
    say!(RefreshReused { session_id });
    say!(SessionEnded { session_id, reason: SessionEnd::Reuse });
    say!(EmailChanged {});
    say!(PasswordChanged { by: By::User });
    say!(PasswordRehashed {});
    say!(UserDisabled { by: By::Operator });
    say!(UserEnabled { by: By::Operator });
    say!(TokenMade {
        token_id,
        scopes: [Scope::LedgerRead, Scope::OrdersWrite].into(),
        accounts: Some([account_id(1)].into()),
        limits: TokenLimits {
            max_order_notional: Some(money("1000")),
            max_daily_notional: Some(money("5000.5")),
            max_orders_per_minute: Some(10),
            symbols: Some(["AAPL".to_owned()].into())
        },
        expires_at: Some(at(86_400))
    });
    say!(TokenFirstUsed { token_id, interface: Face::Mcp });
    say!(TokenHalted { token_id });
    say!(TokenResumed { token_id });
    say!(TokenRevoked { token_id, reason: TokenEnd::Revoked });
    say!(AccessDenied {
        act: "place_order".into(),
        account_id: Some(account_id(1)),
        reason: Denial::Scope,
        token_id: Some(token_id)
    });
    say!(UserForgotten { by: By::User });
    // Came after the examples of the others were kept.
    let invited = (user_id(1), at(604_800), fact_id(100), at(0));
    let (user_id, expires_at, fact_id, at) = invited;
    events.insert(0, UserEvent::UserInvited { fact_id, at, user_id, expires_at });
    events
}

pub fn writer() -> Vec<WriterEvent> {
    vec![WriterEvent::WriterTookOver {
        epoch: 1,
        key_name: "blotter/1".into(),
        public_key: "AeAd4t4lOCTUDEmhBAm45pVGDp1ERfKsLTvSFFg3pQWl".into(),
    }]
}

/// Every sample with the type of its aggregate.
pub fn all() -> Vec<(&'static str, Event)> {
    let account = account().into_iter().map(|event| ("account", Event::Account(event)));
    let order = order().into_iter().map(|event| ("order", Event::Order(event)));
    let position = position().into_iter().map(|event| ("position", Event::Position(event)));
    let instrument = instrument().into_iter().chain(expiry());
    let instrument = instrument.map(|event| ("instrument", Event::Instrument(event)));
    let user = user().into_iter().map(|event| ("user", Event::User(event)));
    let writer = writer().into_iter().map(|event| ("writer", Event::Writer(event)));
    account.chain(order).chain(position).chain(instrument).chain(user).chain(writer).collect()
}
