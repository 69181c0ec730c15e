//! The fields of one line, taken one by one with an error that names the field and what was expected.
//!
//! Guarantees: a field is read once or refused as unknown; a field given twice is refused; no text with control,
//! NUL or bidirectional characters gets past. Costs one parse into a small list (lines have at most a dozen fields).

use std::collections::BTreeSet;
use std::fmt;

use aggregates::instrument::{Contract, ContractError};
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity, parse_decimal};
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use rust_decimal::Decimal;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// Why a line is not a tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Not a JSON object with each field once.
    #[error("not a JSON object with each field once: {0}")]
    Unreadable(String),
    /// Longer than any tick is.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// One line more than is taken at once.
    #[error("more than {0} lines")]
    TooMany(usize),
    /// A time so far ahead that it is a mistake.
    #[error(
        "field 'at': expected a time up to {latest}, ten years ahead of today and of the market's clock, found {at}; a clock line before it takes the market there"
    )]
    TooFarAhead {
        /// Its time.
        at: MarketTime,
        /// The latest that would do.
        latest: MarketTime,
    },
    /// A field that its kind needs is absent.
    #[error("field '{field}' is missing, expected {expected}")]
    Missing {
        /// The field.
        field: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field holds something else than it should.
    #[error("field '{field}': expected {expected}, found {found}")]
    Unfit {
        /// The field.
        field: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds, cut to a few characters.
        found: String,
    },
    /// A field that its kind does not have.
    #[error("field '{0}' is not one of this kind of line")]
    Unknown(String),
    /// The symbol of an option is no OCC symbol.
    #[error("field 'symbol': {0}")]
    NoContract(ContractError),
    /// An option's symbol and its underlying contradict each other.
    #[error(
        "field 'underlying': expected one that the symbol's root '{root}' begins with, found {underlying}"
    )]
    NotItsUnderlying {
        /// The root of the symbol.
        root: String,
        /// The underlying that the line names.
        underlying: String,
    },
}

/// What is left of a line's fields.
pub(super) struct Fields(Vec<(String, Value)>);

const PRICE: &str =
    "a price as a string, at most 10000000 with at most 4 decimals, such as \"187.25\"";
const POSITIVE_PRICE: &str = "a price above zero as a string with at most 4 decimals";
const SIZE: &str = "a number that is not negative, as a string";
const SYMBOL: &str = "a symbol of 1 to 32 characters of A-Z, 0-9, '.', '-', '/' and space";
const SYMBOL_OR_EVERY: &str =
    "a symbol of 1 to 32 characters of A-Z, 0-9, '.', '-', '/' and space, or \"*\" for all of them";
const TIME: &str = "a time with zone as RFC 3339 has it, in the years 1900 to 2199";
const DATE: &str = "a date such as \"2004-11-15\", in the years 1900 to 2199";

type Read<T> = Result<T, LineProblem>;

impl Fields {
    pub(super) fn of(line: &[u8]) -> Read<Self> {
        if !line.trim_ascii_start().starts_with(b"{") {
            // The parser would quote all of a string that stands in an object's place.
            return Err(LineProblem::Unreadable("it does not begin with {".to_owned()));
        }
        let unreadable = |error: serde_json::Error| LineProblem::Unreadable(error.to_string());
        let mut reader = serde_json::Deserializer::from_slice(line);
        let fields = reader.deserialize_map(EachOnce).map_err(unreadable)?;
        reader.end().map_err(unreadable)?;
        Ok(Self(fields))
    }

    /// Refuses what nobody has taken.
    pub(super) fn end(self) -> Read<()> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((field, _)) => Err(LineProblem::Unknown(shown(&field))),
        }
    }

    fn optional(&mut self, field: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| name == field)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Reads a field that must be there.
    pub(super) fn read<T>(
        &mut self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Read<T> {
        let missing = || LineProblem::Missing { field: field.to_owned(), expected };
        let value = self.optional(field).ok_or_else(missing)?;
        read(&value).ok_or_else(|| unfit(field, expected, &value.to_string()))
    }

    /// Reads a field that may be absent.
    pub(super) fn read_optional<T>(
        &mut self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Read<Option<T>> {
        let Some(value) = self.optional(field) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| unfit(field, expected, &value.to_string()))
    }

    pub(super) fn word<T>(
        &mut self,
        field: &str,
        expected: &'static str,
        of: fn(&str) -> Option<T>,
    ) -> Read<T> {
        self.read(field, expected, |value| of(value.as_str()?))
    }

    pub(super) fn optional_word<T>(
        &mut self,
        field: &str,
        expected: &'static str,
        of: fn(&str) -> Option<T>,
    ) -> Read<Option<T>> {
        self.read_optional(field, expected, |value| of(value.as_str()?))
    }

    pub(super) fn at(&mut self) -> Read<MarketTime> {
        self.read("at", TIME, |value| time(value.as_str()?))
    }

    pub(super) fn date(&mut self, field: &str) -> Read<NaiveDate> {
        self.read(field, DATE, |value| date(value.as_str()?))
    }

    pub(super) fn symbol(&mut self) -> Read<String> {
        self.read("symbol", SYMBOL, symbol)
    }

    /// A symbol, or the word that stands for all of them.
    pub(super) fn symbol_or_every(&mut self, every: &str) -> Read<String> {
        let read = |value: &Value| match value.as_str() {
            Some(word) if word == every => Some(word.to_owned()),
            _ => symbol(value),
        };
        self.read("symbol", SYMBOL_OR_EVERY, read)
    }

    /// A symbol in a field of its own; `expected` says what it is of.
    pub(super) fn symbol_in(&mut self, field: &str, expected: &'static str) -> Read<String> {
        self.read(field, expected, symbol)
    }

    /// A list of symbols: at least one, `most` at the most, none twice.
    pub(super) fn symbols(&mut self, field: &str, most: usize) -> Read<Vec<String>> {
        self.read(field, "a list of 1 to 256 symbols, none of them twice", |value| {
            let symbols = value.as_array().filter(|it| (1..=most).contains(&it.len()))?;
            let symbols: Vec<String> = symbols.iter().map(symbol).collect::<Option<_>>()?;
            let different: BTreeSet<&String> = symbols.iter().collect();
            (different.len() == symbols.len()).then_some(symbols)
        })
    }

    /// The symbol of a market-wide line: absent and `null` both mean none.
    pub(super) fn nullable_symbol(&mut self) -> Read<Option<String>> {
        let read =
            |value: &Value| if value.is_null() { Some(None) } else { symbol(value).map(Some) };
        self.read_optional("symbol", SYMBOL, read).map(Option::flatten)
    }

    /// A price of either sign, as quotes may have.
    pub(super) fn price(&mut self, field: &str) -> Read<Price> {
        self.read(field, PRICE, price)
    }

    pub(super) fn positive_price(&mut self, field: &str) -> Read<Price> {
        self.read(field, POSITIVE_PRICE, positive_price)
    }

    pub(super) fn optional_positive_price(&mut self, field: &str) -> Read<Option<Price>> {
        self.read_optional(field, POSITIVE_PRICE, positive_price)
    }

    /// Dollars a share, above zero, to 9 decimals: dividends are finer than prices.
    pub(super) fn amount(&mut self, field: &str) -> Read<Price> {
        let expected = "an amount above zero as a string";
        self.read(field, expected, |value| {
            value.as_str()?.parse().ok().filter(|amount: &Price| amount.is_positive())
        })
    }

    pub(super) fn size(&mut self, field: &str) -> Read<Quantity> {
        self.read(field, SIZE, size)
    }

    pub(super) fn optional_size(&mut self, field: &str) -> Read<Option<Quantity>> {
        self.read_optional(field, SIZE, size)
    }

    pub(super) fn positive_size(&mut self, field: &str) -> Read<Quantity> {
        let expected = "a number above zero, as a string";
        self.read(field, expected, |value| size(value).filter(|size| size.is_positive()))
    }

    pub(super) fn rate(&mut self, field: &str) -> Read<Decimal> {
        let expected = "a yearly rate from -1 to 10 as a string, 0.045 for 4.5 %";
        self.read(field, expected, |value| {
            let rate = parse_decimal(value.as_str()?).ok()?.normalize();
            (rate >= Decimal::NEGATIVE_ONE && rate <= Decimal::TEN).then_some(rate)
        })
    }

    pub(super) fn levels(&mut self, field: &str, most: usize) -> Read<Vec<(Price, Quantity)>> {
        let expected = "a list of at most 100 [price, size] pairs of strings";
        self.read(field, expected, |value| {
            let levels = value.as_array().filter(|levels| levels.len() <= most)?;
            levels.iter().map(level).collect()
        })
    }

    /// A short text of 1 to `most` characters.
    pub(super) fn text(&mut self, field: &str, most: usize) -> Read<String> {
        self.read(field, TEXT, |value| text(value, most))
    }

    pub(super) fn optional_text(&mut self, field: &str, most: usize) -> Read<Option<String>> {
        self.read_optional(field, TEXT, |value| text(value, most))
    }
}

const TEXT: &str = "a short text without control or bidirectional characters";

pub(super) fn unfit(field: &str, expected: &'static str, found: &str) -> LineProblem {
    LineProblem::Unfit { field: field.to_owned(), expected, found: shown(found) }
}

/// A few characters of what came in, fit to be shown.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(|c| if is_hidden(c) { vec!['?'] } else { vec![c] }).collect()
}

/// Control and NUL characters, and those that reorder or hide text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn symbol(value: &Value) -> Option<String> {
    let symbol = value.as_str()?;
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b".-/ ".contains(&b);
    let trimmed = symbol.trim() == symbol;
    let fits = (1..=32).contains(&symbol.len()) && trimmed && symbol.bytes().all(fits);
    // The padded spelling of a contract is the same contract.
    let contract = || symbol.parse::<Contract>().ok().filter(|_| symbol.contains(' '));
    fits.then(|| contract().map_or_else(|| symbol.to_owned(), |contract| contract.to_string()))
}

fn text(value: &Value, most: usize) -> Option<String> {
    let text = value.as_str()?;
    ((1..=most).contains(&text.chars().count()) && !text.chars().any(is_hidden))
        .then(|| text.to_owned())
}

fn price(value: &Value) -> Option<Price> {
    let price: Price = value.as_str()?.parse().ok()?;
    // "-0" is written back as zero
    let price = if price.is_zero() { Price::ZERO } else { price };
    (price.decimal().scale() <= 4).then_some(price)
}

fn positive_price(value: &Value) -> Option<Price> {
    price(value).filter(|price| price.is_positive())
}

fn size(value: &Value) -> Option<Quantity> {
    let size: Quantity = value.as_str()?.parse().ok()?;
    if size.is_zero() { Some(Quantity::ZERO) } else { (!size.is_negative()).then_some(size) }
}

fn level(value: &Value) -> Option<(Price, Quantity)> {
    match value.as_array()?.as_slice() {
        [at, of] => Some((price(at)?, size(of)?)),
        _ => None,
    }
}

fn in_range(year: i32) -> bool {
    (1900..2200).contains(&year)
}

/// Leap seconds are refused: the market's clock has none.
fn time(text: &str) -> Option<MarketTime> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (in_range(time.year()) && time.nanosecond() < 1_000_000_000).then_some(time)
}

fn date(text: &str) -> Option<NaiveDate> {
    let plain = text.len() == 10;
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|d| plain && in_range(d.year()))
}

/// An object's fields in order; a field given twice is an error, where a map would keep the last.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.iter().any(|(known, _)| *known == name) {
                let name = shown(&name);
                return Err(A::Error::custom(format_args!("field '{name}' is given twice")));
            }
            if fields.len() == 32 {
                return Err(A::Error::custom("more fields than any line has"));
            }
            fields.push((name, value));
        }
        Ok(fields)
    }
}
