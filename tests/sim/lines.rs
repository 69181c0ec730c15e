//! The lines of the simulated market: stocks that trade, halt and split; and where options are traded, those and the ends
//! of their sessions.

use blotter::ledger::memory::Dice;
use chrono::{NaiveDate, SecondsFormat, TimeDelta};

use crate::market::{IN_CASH, OPTIONS, SYMBOLS, UNDERLYING, listed, noon, pick, price};

/// Quarters of a minute from the noon on which everything begins to the close of its session.
const TO_CLOSE: i64 = 12 * 60 * 4;
/// Those to the close of the exchange, at which options end.
const TO_END: i64 = 4 * 60 * 4;
/// Those of a session.
const SESSION: i64 = 24 * 60 * 4;
/// So far the market goes: beyond the last session in which an option ends.
const END: i64 = TO_CLOSE + 3 * SESSION;

/// What the market says next.
#[derive(Default)]
pub struct Lines {
    options: bool,
    quarter: i64,
    actions: u64,
    /// The last lines that were told.
    told: u32,
}

impl Lines {
    pub fn new(options: bool) -> Self {
        Self { options, ..Self::default() }
    }

    /// Something that there are lines of.
    pub fn symbol(&self, dice: &mut Dice) -> &'static str {
        let all: Vec<_> = listed().collect();
        pick(dice, if self.options { &all } else { &SYMBOLS }).unwrap()
    }

    /// How many lines come together.
    pub fn company(&self, dice: &mut Dice) -> u64 {
        if self.options { 1 + dice.below(12) } else { 1 }
    }

    fn at(&self) -> String {
        let at = noon() + TimeDelta::seconds(15 * self.quarter);
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The next instant that comes once a session, the first time after so many quarters.
    fn next_after(&self, first: i64) -> i64 {
        let sessions = (self.quarter - first).div_euclid(SESSION) + 1;
        first + SESSION * sessions
    }

    /// How many sessions are over.
    fn session(&self) -> i64 {
        (self.quarter - TO_CLOSE).div_euclid(SESSION) + 1
    }

    /// The close of the session that is under way.
    fn close(&self) -> i64 {
        self.next_after(TO_CLOSE)
    }

    /// The next line.
    pub fn next(&mut self, dice: &mut Dice) -> String {
        self.quarter += dice.below(12) as i64;
        if self.options && dice.permille(850) {
            return self.of_options(dice);
        }
        let at = self.at();
        let symbol = SYMBOLS[dice.below(2) as usize];
        let cents = 9_000 + dice.below(2_000) as i64;
        let (mid, high) = (price(cents + 20), price(cents + 50));
        let low = price(cents);
        let size = 1 + dice.below(6);
        match dice.below(20) {
            0 => clock(&at),
            1..4 => format!(
                r#"{{"t":"bar","symbol":"{symbol}","open":"{mid}","high":"{high}","low":"{low}","close":"{mid}","volume":"{size}","span":"1m","at":"{at}"}}"#
            ),
            4 => {
                let symbol = if dice.permille(300) { "*" } else { symbol };
                status(dice, symbol, &at)
            }
            5 => {
                let ratio = if dice.permille(700) { (2, 1) } else { (1, 2) };
                self.split(symbol, ratio, &at)
            }
            6 => trade(symbol, cents + 20, size, &at),
            _ => quote(symbol, (cents, cents + 50), size, &at),
        }
    }

    fn split(&mut self, symbol: &str, (new, old): (u32, u32), at: &str) -> String {
        self.actions += 1;
        let id = self.actions;
        format!(
            r#"{{"t":"split","symbol":"{symbol}","numerator":"{new}","denominator":"{old}","id":"split {id}","at":"{at}"}}"#
        )
    }

    /// A line of the options, or of what they are on.
    fn of_options(&mut self, dice: &mut Dice) -> String {
        let at = self.at();
        let cents = 9_000 + dice.below(2_000) as i64;
        let size = 1 + dice.below(8);
        match dice.below(40) {
            0 if self.quarter < END => {
                self.quarter = self.close().min(self.next_after(TO_END)) + dice.below(2) as i64;
                clock(&self.at())
            }
            1 => {
                let others = OPTIONS.map(|symbol| format!(r#""{symbol}""#));
                let others: Vec<_> =
                    others.into_iter().filter(|symbol| !symbol.contains(IN_CASH)).collect();
                let contracts = others.join(",");
                format!(
                    r#"{{"t":"chain","underlying":"{UNDERLYING}","style":"american","settlement":"physical","contracts":[{contracts}]}}"#
                )
            }
            2 => format!(
                r#"{{"t":"instrument","symbol":"{IN_CASH}","kind":"option","underlying":"{UNDERLYING}","style":"european","settlement":"cash"}}"#
            ),
            3 => {
                let symbol = if dice.permille(300) { "*" } else { UNDERLYING };
                status(dice, symbol, &at)
            }
            4..8 => trade(UNDERLYING, cents, 100 * size, &at),
            // Whole contracts come of some, and of others none.
            8 if dice.permille(700) => {
                let ratio = *pick(dice, &[(2, 1), (4, 1), (2, 1), (3, 2), (1, 2)]).unwrap();
                // Some are told late.
                let late = if dice.permille(200) { dice.below(SESSION as u64) as i64 } else { 0 };
                let at = noon() + TimeDelta::seconds(15 * (self.quarter - late));
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                self.split(UNDERLYING, ratio, &at)
            }
            8 => {
                // Of this session or of one before.
                let day =
                    noon().date_naive() + TimeDelta::days(self.session() - dice.below(3) as i64);
                daily_bar(day, cents, size)
            }
            9..15 => quote(UNDERLYING, (cents, cents + 20), 100 * size, &at),
            _ => {
                let bid = 5 + dice.below(900) as i64;
                let ask = bid + dice.below(30) as i64;
                quote(pick(dice, &OPTIONS).unwrap(), (bid, ask), size, &at)
            }
        }
    }

    /// The lines that come when no more orders do: what options are on has a close, and the session is over.
    pub fn last(&mut self) -> Option<String> {
        self.told += 1;
        match self.told {
            _ if !self.has_last() => None,
            1 => {
                self.quarter += 1;
                Some(trade(UNDERLYING, 10_000, 100, &self.at()))
            }
            // Contracts may have had no price up to their end.
            2..5 => {
                let days = (i64::from(self.told) - 2).min(self.session());
                Some(daily_bar(noon().date_naive() + TimeDelta::days(days), 10_000, 100))
            }
            _ => {
                self.quarter = self.close() + 1;
                Some(clock(&self.at()))
            }
        }
    }

    /// Whether there are more of these.
    pub fn has_last(&self) -> bool {
        self.options && self.told < 6
    }

    /// They may not have come.
    pub fn last_again(&mut self) {
        self.told = 0;
    }
}

fn clock(at: &str) -> String {
    format!(r#"{{"t":"clock","at":"{at}"}}"#)
}

fn status(dice: &mut Dice, symbol: &str, at: &str) -> String {
    let state = if dice.permille(400) { "halted" } else { "trading" };
    format!(r#"{{"t":"status","symbol":"{symbol}","state":"{state}","at":"{at}"}}"#)
}

fn trade(symbol: &str, cents: i64, size: u64, at: &str) -> String {
    let price = price(cents);
    format!(r#"{{"t":"trade","symbol":"{symbol}","price":"{price}","size":"{size}","at":"{at}"}}"#)
}

fn daily_bar(day: NaiveDate, cents: i64, size: u64) -> String {
    let price = price(cents);
    format!(
        r#"{{"t":"bar","symbol":"{UNDERLYING}","open":"{price}","high":"{price}","low":"{price}","close":"{price}","volume":"{size}","span":"1d","at":"{day}T17:00:00Z"}}"#
    )
}

fn quote(symbol: &str, (bid, ask): (i64, i64), size: u64, at: &str) -> String {
    let (bid, ask) = (price(bid), price(ask));
    format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"{size}","ask":"{ask}","ask_size":"{size}","at":"{at}"}}"#
    )
}
