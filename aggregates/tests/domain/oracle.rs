//! The books once more, by other means: reads the stored JSON of events, reckons in whole cents and billionths of a
//! share in 128-bit integers, and shares no code with the domain.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

const BILLION: i128 = 1_000_000_000;

/// A decimal string in units of `10^-decimals`.
pub fn units(value: &Value, decimals: u32) -> i128 {
    let text = value.as_str().expect("amounts are strings");
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<width$}", width = decimals as usize);
    let units: i128 = digits.parse().expect("digits");
    if negative { -units } else { units }
}

/// `n / d` to the nearest integer, a tie to the even one.
fn nearest_even(n: i128, d: i128) -> i128 {
    let (sign, n) = if n < 0 { (-1, -n) } else { (1, n) };
    let (q, twice) = (n / d, 2 * (n % d));
    sign * if twice > d || (twice == d && q % 2 == 1) { q + 1 } else { q }
}

struct Terms {
    account: String,
    instrument: String,
    buys: bool,
}

#[derive(Default)]
pub struct Holding {
    pub qty: i128,
    pub lots: VecDeque<(i128, i128)>,
    pub realized: i128,
}

impl Holding {
    pub fn cost(&self) -> i128 {
        self.lots.iter().map(|lot| lot.1).sum()
    }

    fn trade(&mut self, signed: i128, cents: i128) {
        if self.qty == 0 || (self.qty > 0) == (signed > 0) {
            self.lots.push_back((signed, cents));
            self.qty += signed;
            return;
        }
        if signed.abs() > self.qty.abs() {
            // Crossing zero: all lots close, the rest opens at the same price.
            let closes = self.qty.abs();
            let closing = nearest_even(cents * closes, signed.abs());
            self.trade(signed.signum() * closes, closing);
            return self.trade(signed - signed.signum() * closes, cents - closing);
        }
        let (mut left, mut cost) = (signed.abs(), 0);
        while left > 0 {
            let (held, lot_cost) = self.lots.front_mut().expect("shares to deliver");
            let part = left.min(held.abs());
            let part_cost = nearest_even(*lot_cost * part, held.abs());
            cost += part_cost;
            *lot_cost -= part_cost;
            *held -= held.signum() * part;
            left -= part;
            if *held == 0 {
                assert_eq!(*lot_cost, 0, "a spent lot keeps no cost");
                self.lots.pop_front();
            }
        }
        self.realized += if signed < 0 { cents - cost } else { cost - cents };
        self.qty += signed;
    }

    /// Returns the cash in lieu: below zero it is owed.
    fn split(&mut self, n: i128, d: i128, close: i128) -> i128 {
        let whole_before = self.qty % BILLION == 0;
        let cost_before = self.cost();
        let mut running = (0, 0);
        let mut lots: Vec<(i128, i128)> = Vec::new();
        let mut homeless = 0;
        for (qty, cost) in &self.lots {
            let total = (running.0 + qty) * n / d;
            let grown = total - running.1;
            running = (running.0 + qty, total);
            if grown == 0 {
                match lots.last_mut() {
                    Some(last) => last.1 += cost,
                    None => homeless += cost,
                }
            } else {
                lots.push((grown, cost + homeless));
                homeless = 0;
            }
        }
        let fraction = if whole_before { running.1 % BILLION } else { 0 };
        let cents = nearest_even(fraction * close * d, BILLION * 10_000_000 * n);
        let (short, mut fraction) = (self.qty < 0, fraction.abs());
        while fraction > 0 {
            let last = lots.last_mut().expect("a fraction of something");
            let part = fraction.min(last.0.abs());
            let cost = nearest_even(last.1 * part, last.0.abs());
            *last = (last.0 - last.0.signum() * part, last.1 - cost);
            fraction -= part;
            if last.0 == 0 {
                lots.pop();
            }
        }
        self.qty = lots.iter().map(|lot| lot.0).sum();
        self.lots = lots.into();
        let gone = cost_before - self.cost();
        self.realized += if short { gone + cents } else { cents - gone };
        cents
    }
}

#[derive(Default)]
pub struct Oracle {
    terms: BTreeMap<String, Terms>,
    closes: BTreeMap<String, i128>,
    pub cash: BTreeMap<String, i128>,
    /// By stream name: `<account>/<instrument>`.
    pub holdings: BTreeMap<String, Holding>,
    /// By order: shares filled.
    pub filled: BTreeMap<String, i128>,
    accrued: BTreeMap<(String, String), i128>,
}

impl Oracle {
    pub fn read(&mut self, stream: &str, payload: &str) {
        let event: Value = serde_json::from_str(payload).unwrap();
        let (name, body) = event.as_object().unwrap().iter().next().unwrap();
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        match name.as_str() {
            "CashDeposited" => {
                *self.cash.entry(stream.into()).or_default() += units(&body["amount"], 2)
            }
            "AccountReset" => {
                self.cash.insert(stream.into(), units(&body["cash"], 2));
            }
            "PositionReset" => {
                self.holdings.insert(stream.into(), Holding::default());
                self.accrued.retain(|(position, _), _| position != stream);
            }
            "CashWithdrawn" | "FeeCharged" => {
                *self.cash.entry(stream.into()).or_default() -= units(&body["amount"], 2);
            }
            "OrderPlaced" => {
                let order = &body["order"];
                let terms = Terms {
                    account: order["account_id"].as_str().unwrap().into(),
                    instrument: order["instrument_id"].as_str().unwrap().into(),
                    buys: order["side"] == "buy",
                };
                self.terms.insert(stream.into(), terms);
            }
            "OrderFilled" => {
                let terms = &self.terms[stream];
                let (qty, price) = (units(&body["qty"], 9), units(&body["price"], 9));
                let cents = nearest_even(qty * price, 10_000_000 * BILLION);
                let sign = if terms.buys { 1 } else { -1 };
                *self.cash.entry(terms.account.clone()).or_default() -= sign * cents;
                *self.filled.entry(stream.into()).or_default() += qty;
                let holding = format!("{}/{}", terms.account, terms.instrument);
                self.holdings.entry(holding).or_default().trade(sign * qty, cents);
            }
            "SplitBegun" => {
                let close = units(&body["split"]["last_close"], 9);
                self.closes.insert(stream.into(), close);
            }
            "PositionSplit" => {
                let (account, instrument) = stream.split_once('/').unwrap();
                let (n, d) = (units(&body["numerator"], 0), units(&body["denominator"], 0));
                let close = self.closes[instrument];
                let paid = self.holdings.get_mut(stream).unwrap().split(n, d, close);
                *self.cash.entry(account.into()).or_default() += paid;
            }
            "DividendAccrued" => {
                let held = self.holdings[stream].qty;
                let cents = nearest_even(held * units(&body["per_share"], 9), 10_000_000 * BILLION);
                self.accrued.insert((stream.into(), text("action_id")), cents);
            }
            "DividendSettled" => {
                let cents = self.accrued.remove(&(stream.into(), text("action_id"))).unwrap();
                let account = stream.split_once('/').unwrap().0;
                *self.cash.entry(account.into()).or_default() += cents;
            }
            _ => {}
        }
    }
}
