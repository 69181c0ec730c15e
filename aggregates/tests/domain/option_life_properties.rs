//! Whatever an account holds when options expire: nothing of its worth comes or goes, and the books add up.

use aggregates::account::AccountKind;
use aggregates::instrument::{OptionEnd, OptionTerms, Settlement};
use aggregates::position::PositionEvent;
use aggregates::stream::Event;
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::book::*;
use crate::examples::me;
use crate::invariants::refold;
use crate::option_life::*;
use crate::option_orders::*;

/// Strikes of the calls and puts, in dollars.
const STRIKES: [u32; 4] = [90, 95, 100, 105];

#[derive(Clone, Debug)]
struct Case {
    margin: bool,
    cash: u32,
    close: u32,
    shares: i64,
    /// Of each option the contracts, what they cost, whether they are settled in cash, and the last bid.
    options: Vec<(i64, u32, bool, Option<u32>)>,
    /// Shares that an open sell has set aside.
    sells: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let option =
        (-4i64..5, 0u32..200_000, prop::bool::weighted(0.2), prop::option::of(0u32..3_000));
    let options = prop::collection::vec(option, STRIKES.len() * 2);
    let close = prop_oneof![8_800u32..10_700, Just(9_000), Just(9_501), Just(9_999), Just(10_001)];
    (any::<bool>(), 0u32..6_000_000, close, -300i64..500, options, 0u32..400).prop_map(
        |(margin, cash, close, shares, options, sells)| Case {
            margin,
            cash,
            close,
            shares: if margin { shares } else { shares.abs() },
            options,
            sells,
        },
    )
}

fn symbol(index: usize) -> String {
    let (right, strike) = (["C", "P"][index % 2], STRIKES[index / 2]);
    format!("AAPL231215{right}{strike:05}000")
}

fn cents(value: u32) -> String {
    Decimal::new(value.into(), 2).to_string()
}

/// The account of a case before the expiry, and the symbols of what it holds.
fn before(case: &Case) -> (Book, Vec<String>) {
    let kind = if case.margin { AccountKind::Margin } else { AccountKind::Cash };
    let level = if case.margin { 4 } else { 2 };
    let mut book = desk(kind, level, &cents(case.cash));
    if case.shares != 0 {
        hold(&mut book, "AAPL", &case.shares.to_string(), "9000");
    }
    if case.shares > 0 && case.sells > 0 && i64::from(case.sells) <= case.shares {
        let qty = case.sells.to_string();
        let sell = spec(me(), "AAPL", aggregates::order::Side::Sell, &qty, Some("200"));
        book.place(1, &sell, &shown(&[]));
    }
    let mut symbols = Vec::new();
    for (index, (qty, cost, in_cash, _)) in case.options.iter().enumerate() {
        let symbol = symbol(index);
        let settlement = if *in_cash { Settlement::Cash } else { Settlement::Physical };
        // A cash account is short of nothing here but what it can cover.
        let qty = if case.margin { *qty } else { (*qty).max(0) };
        if qty != 0 {
            let contract = OptionTerms { settlement, ..terms(&symbol) };
            hold_as(&mut book, (&symbol, Some(contract)), &qty.to_string(), &cents(*cost));
            symbols.push(symbol);
        }
    }
    (book, symbols)
}

/// Cash, shares at this price, and options at what they are in the money by: by arithmetic of its own.
fn worth(book: &Book, close: Decimal) -> Decimal {
    let mut worth = book.accounts[&me()].cash().decimal();
    for position in book.positions.values() {
        worth += match position.contract() {
            None => position.qty().decimal() * close,
            Some(terms) => {
                let gain = close - terms.strike.decimal();
                let gain = if terms.right.word() == "call" { gain } else { -gain };
                position.qty().decimal() * Decimal::ONE_HUNDRED * gain.max(Decimal::ZERO)
            }
        };
    }
    worth
}

/// What all positions cost (short ones brought), and the profit that was taken.
fn books(book: &Book) -> Decimal {
    let positions = book.positions.values();
    let sums = positions.map(|position| {
        let cost = position.cost().unwrap().decimal();
        let signed = if position.qty().is_negative() { -cost } else { cost };
        position.realized_pl().decimal() - signed
    });
    sums.sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_expiry_moves_worth_and_neither_makes_nor_loses_any(case in case()) {
        let (mut book, symbols) = before(&case);
        let close = cents(case.close);
        let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
        expire(&mut book, &close, &names);
        let bids: Vec<Option<String>> = case.options.iter().map(|option| option.3.map(cents)).collect();
        let contracts: Vec<(&str, Option<&str>)> = (0..case.options.len())
            .filter_map(|index| {
                let name = *names.iter().find(|name| **name == symbol(index))?;
                Some((name, bids[index].as_deref()))
            })
            .collect();
        let at_close: Decimal = close.parse().unwrap();
        let (worth_before, books_before) = (worth(&book, at_close), books(&book));
        let cash_before = book.accounts[&me()].cash().decimal();
        let command = settlement(&contracts, &[], &[]);
        let mut unbacked = false;
        let done = book.submit_checked(&command, |book| {
            for position in book.positions.values() {
                let lots: Decimal = position.lots().map(|lot| lot.qty.decimal()).sum();
                unbacked |= lots != position.qty().decimal()
                    || position.lots().any(|lot| lot.cost.is_negative())
                    || position.reserved_qty() > position.qty().abs();
            }
        });
        let done = done.unwrap();
        prop_assert!(!unbacked, "lots and reservations add up after every event");

        // What is sold or abandoned loses what the bid is below its worth, and no more.
        let mut given_up = Decimal::ZERO;
        for (_, event) in &done.events {
            let Event::Position(PositionEvent::OptionEnded { how, qty, proceeds, .. }) = event else { continue };
            if matches!(how, OptionEnd::SoldOut | OptionEnd::Abandoned) {
                given_up -= proceeds.decimal();
                prop_assert!(qty.is_positive());
            }
        }
        let options: Decimal = {
            let mut given = Decimal::ZERO;
            for (stream, event) in &done.events {
                let Event::Position(PositionEvent::OptionEnded { how, qty, .. }) = event else { continue };
                if matches!(how, OptionEnd::SoldOut | OptionEnd::Abandoned) {
                    let aggregates::stream::StreamId::Position(_, option) = stream else { continue };
                    let terms = book.positions[&(me(), *option)].contract().unwrap();
                    let gain = (at_close - terms.strike.decimal()).abs();
                    given += qty.decimal() * Decimal::ONE_HUNDRED * gain;
                }
            }
            given
        };
        prop_assert_eq!(worth(&book, at_close), worth_before - options - given_up);

        // Cash that went is in what positions cost or in profit: nothing is counted twice.
        let cash = book.accounts[&me()].cash().decimal();
        prop_assert_eq!(books(&book) - books_before, cash - cash_before);

        // Nothing of what expired is left, a cash account holds no shorts, and the log tells it all.
        for name in &names {
            prop_assert_eq!(held(&book, name), "0");
        }
        let shares = book.positions.get(&(me(), stock("AAPL")));
        prop_assert!(case.margin || shares.is_none_or(|shares| !shares.qty().is_negative()));
        let free = book.accounts[&me()].available().unwrap();
        prop_assert!(case.margin || !free.is_negative(), "an exercise left {} free", free);
        prop_assert!(refold(&book) == book);
        prop_assert_eq!(book.submit(&command).unwrap().events, vec![]);
    }

    #[test]
    fn what_can_be_paid_in_full_is_exercised_in_full(case in case()) {
        let rich = Case { margin: true, cash: u32::MAX, ..case };
        let (mut book, symbols) = before(&rich);
        let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
        expire(&mut book, &cents(rich.close), &names);
        let contracts: Vec<(&str, Option<&str>)> = names.iter().map(|name| (*name, Some("1"))).collect();
        let done = book.submit(&settlement(&contracts, &[], &[])).unwrap();
        let unpaid = |how: &OptionEnd| matches!(how, OptionEnd::SoldOut | OptionEnd::Abandoned);
        prop_assert!(ways(&done).iter().all(|(how, _)| !unpaid(how)));
    }
}
