//! From lines of text to ticks, strictly.
//!
//! Guarantees: a line is one well-formed tick or an error that names the line, the field and what was expected;
//! unknown fields, fields given twice, numbers in place of strings and hidden characters are refused; no input
//! panics. Costs about two microseconds a line and no more memory than the line.

use aggregates::instrument::{Contract, ExerciseStyle, InstrumentKind, Settlement};
use aggregates::market::{AuctionKind, MarketTime};
use chrono::Months;

use super::fields::{Fields, LineProblem, unfit};
use super::tick::{
    Auction, Bar, Chain, Clock, Depth, Dividend, Instrument, Luld, OpenInterest, Quote, Rate,
    RateKind, Span, Split, Status, Tick, Trade, TradingState,
};

/// The most lines that the feed takes at once.
pub const MAX_FEED_LINES: usize = 50_000;
/// How far ahead of what is known a line may be that is no `clock`: ten years.
const AHEAD: Months = Months::new(120);
/// The longest line, in bytes: a depth of 100 levels a side fits several times.
pub const MAX_LINE_BYTES: usize = 32 * 1024;

/// A line that is not a tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TickError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// Reads all lines from outside or none: the first malformed one is the error. Blank lines are skipped but numbered.
///
/// At most `max_lines` ticks, of times up to [`AHEAD`] of `now` and of the `clock` lines among them. The market's clock
/// never goes back: one line of a wrong year would take the market there for good.
pub fn parse_lines(
    bytes: &[u8],
    max_lines: usize,
    now: MarketTime,
) -> Result<Vec<Tick>, TickError> {
    let ahead = |of: MarketTime| of.checked_add_months(AHEAD).unwrap_or(MarketTime::MAX_UTC);
    let (mut ticks, mut latest) = (Vec::new(), ahead(now));
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let Some(tick) = parse_told(line, number)? else { continue };
        if ticks.len() == max_lines {
            return Err(TickError { line: number, problem: LineProblem::TooMany(max_lines) });
        }
        match tick.at() {
            Some(at) if matches!(tick, Tick::Clock(_)) => latest = latest.max(ahead(at)),
            Some(at) if at > latest => {
                let problem = LineProblem::TooFarAhead { at, latest };
                return Err(TickError { line: number, problem });
            }
            _ => {}
        }
        ticks.push(tick);
    }
    Ok(ticks)
}

/// Reads the line of this number, which somebody outside tells; `None` if it is blank. What a line says of an
/// option agrees with the option's symbol.
pub fn parse_told(line: &[u8], number: u64) -> Result<Option<Tick>, TickError> {
    let tick = parse_line(line, number)?;
    let agreed = match &tick {
        Some(Tick::Instrument(Instrument { symbol, underlying: Some(underlying), .. })) => {
            agrees(symbol, underlying)
        }
        Some(Tick::Chain(Chain { contracts, underlying, .. })) => {
            contracts.iter().try_for_each(|symbol| agrees(symbol, underlying))
        }
        _ => Ok(()),
    };
    agreed.map_err(|problem| TickError { line: number, problem })?;
    Ok(tick)
}

/// Reads the line of this number as a tape has it; `None` if it is blank.
pub fn parse_line(line: &[u8], number: u64) -> Result<Option<Tick>, TickError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let tick = if line.len() > MAX_LINE_BYTES {
        Err(LineProblem::TooLong(MAX_LINE_BYTES))
    } else {
        read_tick(line)
    };
    tick.map(Some).map_err(|problem| TickError { line: number, problem })
}

fn read_tick(line: &[u8]) -> Result<Tick, LineProblem> {
    let mut fields = Fields::of(line)?;
    let kind = fields.word("t", KINDS, |word| Some(word.to_owned()))?;
    let f = &mut fields;
    let tick = match kind.as_str() {
        "clock" => Tick::Clock(Clock { at: f.at()? }),
        "quote" => Tick::Quote(Quote {
            symbol: f.symbol()?,
            bid: f.price("bid")?,
            bid_size: f.size("bid_size")?,
            ask: f.price("ask")?,
            ask_size: f.size("ask_size")?,
            at: f.at()?,
        }),
        "trade" => Tick::Trade(Trade {
            symbol: f.symbol()?,
            price: f.positive_price("price")?,
            size: f.size("size")?,
            at: f.at()?,
        }),
        "bar" => Tick::Bar(read_bar(f)?),
        "status" => Tick::Status(Status {
            symbol: f.symbol_or_every(Status::EVERY)?,
            state: f.word("state", "\"halted\" or \"trading\"", trading_state)?,
            reason: f.optional_text("reason", 64)?,
            at: f.at()?,
        }),
        "split" => Tick::Split(Split {
            symbol: f.symbol()?,
            numerator: f.positive_size("numerator")?,
            denominator: f.positive_size("denominator")?,
            id: f.text("id", 64)?,
            at: f.at()?,
        }),
        "dividend" => Tick::Dividend(read_dividend(f)?),
        "instrument" => Tick::Instrument(read_instrument(f)?),
        "chain" => Tick::Chain(read_chain(f)?),
        "luld" => Tick::Luld(read_luld(f)?),
        "auction" => Tick::Auction(Auction {
            symbol: f.symbol()?,
            kind: f.word("kind", "\"open\" or \"close\"", auction_kind)?,
            price: f.positive_price("price")?,
            size: f.size("size")?,
            at: f.at()?,
        }),
        "depth" => Tick::Depth(Depth {
            symbol: f.symbol()?,
            bids: f.levels("bids", Depth::MAX_LEVELS)?,
            asks: f.levels("asks", Depth::MAX_LEVELS)?,
            at: f.at()?,
        }),
        "open_interest" => Tick::OpenInterest(OpenInterest {
            symbol: f.symbol()?,
            value: f.size("value")?,
            volume: f.optional_size("volume")?,
            at: f.at()?,
        }),
        "rate" => Tick::Rate(Rate {
            kind: f.word("kind", "\"risk_free\" or \"dividend_yield\"", rate_kind)?,
            symbol: f.nullable_symbol()?,
            value: f.rate("value")?,
            at: f.at()?,
        }),
        other => return Err(unfit("t", KINDS, other)),
    };
    fields.end()?;
    Ok(tick)
}

const KINDS: &str = "clock, quote, trade, bar, status, split, dividend, instrument, chain, luld, \
                     auction, depth, open_interest or rate";

fn read_bar(f: &mut Fields) -> Result<Bar, LineProblem> {
    let bar = Bar {
        symbol: f.symbol()?,
        open: f.positive_price("open")?,
        high: f.positive_price("high")?,
        low: f.positive_price("low")?,
        close: f.positive_price("close")?,
        volume: f.size("volume")?,
        at: f.at()?,
        span: f.word("span", "\"1m\", \"5m\", \"1h\" or \"1d\"", span)?,
    };
    if bar.high < bar.open.max(bar.close).max(bar.low) {
        return Err(unfit("high", "at least open, low and close", &bar.high.to_string()));
    }
    if bar.low > bar.open.min(bar.close) {
        return Err(unfit("low", "at most open and close", &bar.low.to_string()));
    }
    Ok(bar)
}

fn read_dividend(f: &mut Fields) -> Result<Dividend, LineProblem> {
    let dividend = Dividend {
        symbol: f.symbol()?,
        amount: f.amount("amount")?,
        ex: f.date("ex")?,
        pay: f.date("pay")?,
        id: f.text("id", 64)?,
        at: f.at()?,
    };
    if dividend.pay < dividend.ex {
        return Err(unfit("pay", "a date not before ex", &dividend.pay.to_string()));
    }
    Ok(dividend)
}

fn read_luld(f: &mut Fields) -> Result<Luld, LineProblem> {
    let bands = Luld {
        symbol: f.symbol()?,
        down: f.positive_price("down")?,
        up: f.positive_price("up")?,
        at: f.at()?,
    };
    if bands.up < bands.down {
        return Err(unfit("up", "a price not below down", &bands.up.to_string()));
    }
    Ok(bands)
}

fn read_instrument(f: &mut Fields) -> Result<Instrument, LineProblem> {
    let mut instrument = Instrument {
        symbol: f.symbol()?,
        name: f.optional_text("name", 200)?,
        kind: f.word("kind", "\"stock\" or \"option\"", instrument_kind)?,
        tick: f.optional_positive_price("tick")?,
        underlying: None,
        style: None,
        settlement: None,
    };
    // a stock has none of these: they are left over and refused
    if instrument.kind == InstrumentKind::Option {
        let expected = "the symbol that the option is on";
        instrument.underlying = Some(f.symbol_in("underlying", expected)?);
        (instrument.style, instrument.settlement) = read_manner(f)?;
    }
    Ok(instrument)
}

fn read_chain(f: &mut Fields) -> Result<Chain, LineProblem> {
    let underlying = f.symbol_in("underlying", "the symbol that the options are on")?;
    let (style, settlement) = read_manner(f)?;
    let contracts = f.symbols("contracts", Chain::MAX_CONTRACTS)?;
    Ok(Chain { underlying, style, settlement, contracts })
}

/// When an option may be exercised, and what that delivers.
fn read_manner(f: &mut Fields) -> Result<(Option<ExerciseStyle>, Option<Settlement>), LineProblem> {
    Ok((
        f.optional_word("style", "\"american\" or \"european\"", style)?,
        f.optional_word("settlement", "\"physical\" or \"cash\"", settlement)?,
    ))
}

/// Whether the symbol of an option is one of a contract on its underlying.
fn agrees(symbol: &str, underlying: &str) -> Result<(), LineProblem> {
    let contract: Contract = symbol.parse().map_err(LineProblem::NoContract)?;
    if contract.may_be_on(underlying) && underlying != symbol {
        return Ok(());
    }
    let (root, underlying) = (contract.root().to_owned(), underlying.to_owned());
    Err(LineProblem::NotItsUnderlying { root, underlying })
}

fn span(word: &str) -> Option<Span> {
    Some(match word {
        "1m" => Span::Minute,
        "5m" => Span::FiveMinutes,
        "1h" => Span::Hour,
        "1d" => Span::Day,
        _ => return None,
    })
}

fn trading_state(word: &str) -> Option<TradingState> {
    Some(match word {
        "halted" => TradingState::Halted,
        "trading" => TradingState::Trading,
        _ => return None,
    })
}

fn auction_kind(word: &str) -> Option<AuctionKind> {
    Some(match word {
        "open" => AuctionKind::Open,
        "close" => AuctionKind::Close,
        _ => return None,
    })
}

fn rate_kind(word: &str) -> Option<RateKind> {
    Some(match word {
        "risk_free" => RateKind::RiskFree,
        "dividend_yield" => RateKind::DividendYield,
        _ => return None,
    })
}

fn instrument_kind(word: &str) -> Option<InstrumentKind> {
    [InstrumentKind::Stock, InstrumentKind::Option].into_iter().find(|kind| kind.word() == word)
}

fn style(word: &str) -> Option<ExerciseStyle> {
    Some(match word {
        "american" => ExerciseStyle::American,
        "european" => ExerciseStyle::European,
        _ => return None,
    })
}

fn settlement(word: &str) -> Option<Settlement> {
    Some(match word {
        "physical" => Settlement::Physical,
        "cash" => Settlement::Cash,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
