//! Whatever an account holds when its stock is split: it is worth as much as before, and has to back as much.

use aggregates::account::AccountKind;
use aggregates::instrument::InstrumentCommand;
use aggregates::margin::{Mark, Marks, Standing};
use aggregates::market::Reference;
use aggregates::money::Price;
use aggregates::trading::{Command, standing};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::adjusting::{begin, follow};
use crate::book::*;
use crate::examples::me;
use crate::invariants::refold;
use crate::option_life::*;
use crate::option_orders::*;

/// Strikes of the calls and puts after a whole split, in dollars.
const STRIKES: [u32; 4] = [30, 35, 36, 40];

#[derive(Clone, Debug)]
struct Case {
    margin: bool,
    /// New shares for one, or a ratio that makes no whole contracts.
    times: Option<u32>,
    /// The price of the stock, in cents after a split into so many.
    spot: u32,
    /// Hundreds of shares.
    shares: i64,
    /// Of each option the contracts, what they cost, and their price in cents after a split into so many.
    options: Vec<(i64, u32, u32)>,
}

fn case() -> impl Strategy<Value = Case> {
    let option = (-3i64..4, 0u32..200_000, 1u32..1_500);
    let options = prop::collection::vec(option, STRIKES.len() * 2);
    let times = prop_oneof![Just(Some(2)), Just(Some(3)), Just(Some(4)), Just(None)];
    (any::<bool>(), times, 2_500u32..5_000, -3i64..5, options).prop_map(
        |(margin, times, spot, shares, options)| Case {
            margin,
            times,
            spot,
            shares: if margin { shares } else { shares.abs() },
            options,
        },
    )
}

/// What the prices of a case are multiplied by before its split.
fn factor(case: &Case) -> u32 {
    case.times.unwrap_or(3)
}

fn symbol(index: usize, factor: u32) -> String {
    let (right, strike) = (["C", "P"][index % 2], STRIKES[index / 2] * factor);
    format!("AAPL231215{right}{strike:05}000")
}

fn cents(value: u32) -> Decimal {
    Decimal::new(value.into(), 2)
}

/// The stock and every option at a price, the option of a strike at that of its place.
fn priced(case: &Case, factor: u32, spot: Decimal) -> Marks {
    let mark = |at_price: Decimal| {
        let seen =
            Reference { price: Price::new(at_price).unwrap(), source: "feed".into(), at: at(0) };
        Mark { long: seen.clone(), short: seen }
    };
    let options = case.options.iter().enumerate();
    options
        .map(|(n, (.., price))| (stock(&symbol(n, factor)), mark(cents(price * factor))))
        .chain([(stock("AAPL"), mark(spot))])
        .collect()
}

fn stands(book: &Book, marks: &Marks) -> Standing {
    standing(book, me(), marks).unwrap()
}

/// Cash, shares and options at these prices: by arithmetic of its own.
fn worth(book: &Book, marks: &Marks) -> Decimal {
    let mut worth = book.accounts[&me()].cash().decimal();
    for ((_, instrument_id), position) in &book.positions {
        let qty = position.qty().decimal();
        if !qty.is_zero() {
            let each = if position.contract().is_some() { 100 } else { 1 };
            worth += qty * Decimal::from(each) * marks[instrument_id].long.price.decimal();
        }
    }
    worth
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_split_changes_neither_what_options_are_worth_nor_what_they_need(case in case()) {
        let factor = factor(&case);
        let kind = if case.margin { AccountKind::Margin } else { AccountKind::Cash };
        let mut book = desk(kind, if case.margin { 4 } else { 2 }, "100000");
        if case.shares != 0 {
            hold(&mut book, "AAPL", &(case.shares * 100).to_string(), "9000");
        }
        let mut contracts = Vec::new();
        for (index, (qty, cost, price)) in case.options.iter().enumerate() {
            let qty = if case.margin { *qty } else { (*qty).max(0) };
            if qty != 0 {
                let symbol = symbol(index, factor);
                hold(&mut book, &symbol, &qty.to_string(), &cents(*cost).to_string());
                contracts.push((symbol, cents(price * factor).to_string()));
            }
        }
        let spot = cents(case.spot * factor);
        let before = priced(&case, factor, spot);
        let (worth_before, stood) = (worth(&book, &before), stands(&book, &before));
        let costs = |book: &Book| -> Decimal {
            book.positions.values().map(|it| it.cost().unwrap().decimal()).sum()
        };
        let (cost_before, cash_before) = (costs(&book), book.cash(me()));

        let contracts: Vec<(&str, Option<&str>)> =
            contracts.iter().map(|(symbol, price)| (symbol.as_str(), Some(price.as_str()))).collect();
        let names: Vec<&str> = contracts.iter().map(|(symbol, _)| *symbol).collect();
        let whole = case.times.map(|times| times.to_string());
        let ratio = whole.as_deref().map_or(("3", "2"), |times| (times, "1"));
        begin(&mut book, ratio, &spot.to_string(), &names);
        book.submit(&follow(&contracts, &[])).unwrap();
        let command = InstrumentCommand::CompleteSplit { action_id: "s1".into(), at: at(5) };
        book.submit(&Command::Instrument { instrument_id: stock("AAPL"), command }).unwrap();

        let after = match case.times {
            Some(_) => priced(&case, 1, cents(case.spot)),
            None => priced(&case, factor, cents(case.spot * 2)),
        };
        prop_assert_eq!(worth(&book, &after), worth_before);
        for name in names {
            prop_assert_eq!(held(&book, name), "0");
        }
        prop_assert!(refold(&book) == book);
        if case.times.is_some() {
            prop_assert_eq!(costs(&book), cost_before);
            prop_assert_eq!(book.cash(me()), cash_before);
            let stands = stands(&book, &after);
            prop_assert_eq!(stands.equity, stood.equity);
            prop_assert_eq!((stands.initial, stands.maintenance), (stood.initial, stood.maintenance));
        }
    }
}
