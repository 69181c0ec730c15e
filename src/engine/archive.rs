//! What the tape says of bars, splits and depth: the archive of markets whose lines come from outside.
//!
//! Guarantees: nothing is shown that was not worked, so nothing is shown early; it is the same in every process and
//! after a restart. A tape that lacks lines of symbols that nobody works shows none. Bars that were told are shown as they are; lengths that were not told are joined from the longest
//! shorter ones that were, else from trades; a daily bar that is joined has what lies in its session.
//!
//! Costs: the first question reads the last [`WINDOW`] lines of the tape, later ones what came since. Kept in memory:
//! [`KEPT`] bars of a symbol and length.

use std::collections::BTreeMap;

use aggregates::id::MARKET_TENANT;
use aggregates::market::MarketTime;
use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::Mutex;

use super::core::Record;
use super::history::{RecoveryError, read_blocks};
use super::tape::{TapeError, TapeLine, decode};
use crate::database::ReaderPool;
use crate::market::archive::{Archive, ArchiveError, DailyCloses};
use crate::market::bars::{BarQuery, Bars, Candle, Joined, Timeframe};
use crate::market::calendar::Calendar;
use crate::market::tick::{Depth, Split, Tick};

/// Lines of the tape that are looked back on.
const WINDOW: u64 = 200_000;
/// Bars of a symbol and length that are kept: the latest.
const KEPT: usize = 20_000;

const TAPE_END: &str = "SELECT tape_place FROM ledger_head WHERE shard = $1";

/// What the tape says.
pub struct TapeArchive {
    pool: ReaderPool,
    shard: u16,
    source: &'static str,
    calendar: Calendar,
    record: Record,
    kept: Mutex<Kept>,
}

/// What was read of it so far.
#[derive(Default)]
struct Kept {
    /// The last line read; `None` before the first question.
    place: Option<u64>,
    /// The time of the first line read.
    since: Option<MarketTime>,
    /// Lines are missing at its end: of symbols that nobody worked or held.
    partial: bool,
    symbols: BTreeMap<String, Series>,
}

/// What is kept of one symbol.
#[derive(Default)]
struct Series {
    told: BTreeMap<Timeframe, Shelf>,
    /// Of trades, by minute.
    traded: Shelf,
    /// By the id of the corporate action.
    splits: BTreeMap<String, Split>,
    depth: Option<Depth>,
}

/// Bars of one length.
#[derive(Default)]
struct Shelf {
    bars: BTreeMap<MarketTime, Candle>,
    /// Older ones were dropped.
    cut: bool,
}

impl TapeArchive {
    /// The archive of a shard's tape, whose lines come from `source`; `record` says which are on it, where the tape
    /// does not.
    pub fn new(
        pool: ReaderPool,
        shard: u16,
        source: &'static str,
        calendar: Calendar,
        record: Record,
    ) -> Self {
        Self { pool, shard, source, calendar, record, kept: Mutex::default() }
    }

    /// Reads what came since the last question, and lets `look` at all of it.
    async fn asked<T>(
        &self,
        look: impl FnOnce(&Kept) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut kept = self.kept.lock().await;
        let mut reader = self.pool.begin(MARKET_TENANT, None).await.map_err(unavailable)?;
        self.catch_up(&mut kept, &mut reader).await.map_err(unavailable)?;
        if kept.partial {
            let what = "bars and depth that nothing is missing of: only lines of symbols with open orders or holders are \
                        recorded (--record working)";
            return Err(ArchiveError::Lacks { source_name: self.source, what: what.to_owned() });
        }
        look(&kept)
    }

    async fn catch_up(
        &self,
        kept: &mut Kept,
        reader: &mut PgConnection,
    ) -> Result<(), RecoveryError> {
        let mut place = match kept.place {
            Some(place) => place,
            None => {
                kept.partial = self.record == Record::Working;
                let end: i64 = sqlx::query_scalar(TAPE_END)
                    .bind(self.shard.cast_signed())
                    .fetch_one(&mut *reader)
                    .await?;
                end.cast_unsigned().saturating_sub(WINDOW)
            }
        };
        loop {
            let blocks = read_blocks(reader, self.shard, place).await?;
            if blocks.is_empty() {
                kept.place = Some(place);
                return Ok(());
            }
            let decoded = tokio::task::spawn_blocking(move || {
                blocks.iter().map(decode).collect::<Result<Vec<_>, TapeError>>()
            });
            // a panic of the decoder is a defect: it is met again where it is not caught
            let lines = decoded.await.map_err(|panic| {
                RecoveryError::Database(sqlx::Error::Io(std::io::Error::other(panic)))
            })??;
            for TapeLine { place: at, by, stood, tick, .. } in lines.into_iter().flatten() {
                if at > place {
                    kept.see(by.map(|by| by.record), stood.is_some());
                    kept.take_in(tick);
                    place = at;
                }
            }
            kept.place = Some(place);
        }
    }

    fn bars_of(&self, kept: &Kept, query: &BarQuery, now: MarketTime) -> Option<Bars> {
        let series = kept.symbols.get(&query.symbol)?;
        let (told, shelf) = series.best(query.timeframe)?;
        let wanted = |candle: &Candle| {
            query.wants(candle.at) && query.timeframe.end_of(self.calendar, candle.at) <= now
        };
        let candles: Vec<Candle> = if told == Some(query.timeframe) {
            let from = shelf.bars.range(query.start..).map(|(_, candle)| candle);
            from.filter(|candle| wanted(candle)).take(query.limit).cloned().collect()
        } else {
            let mut joined = Joined::default();
            for candle in shelf.bars.values().filter(|candle| self.counts(query, candle)) {
                joined.add(query.timeframe, candle);
            }
            joined.into_candles().filter(wanted).take(query.limit).collect()
        };
        let first = shelf.bars.keys().next().copied().filter(|_| shelf.cut);
        Some(Bars { candles, covers_from: first.or(kept.since) })
    }

    /// What lies outside the session is no part of a daily bar.
    fn counts(&self, query: &BarQuery, candle: &Candle) -> bool {
        query.timeframe != Timeframe::Day
            || self.calendar.session_at(candle.at).is_ok_and(|session| session.is_some())
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ArchiveError {
    ArchiveError::Unavailable(Box::new(error))
}

impl Kept {
    /// What the tape says of what is on it: bars begin anew where everything is again.
    fn see(&mut self, record: Option<Record>, stood: bool) {
        match record {
            Some(Record::All) if self.partial => {
                *self = Self { place: self.place, ..Self::default() }
            }
            Some(Record::Working) => self.partial = true,
            _ => self.partial |= stood,
        }
    }

    fn splits(&self, symbol: &str, now: MarketTime) -> Vec<Split> {
        let told = self.symbols.get(symbol).into_iter().flat_map(|series| series.splits.values());
        told.filter(|split| split.at <= now).cloned().collect()
    }

    fn take_in(&mut self, tick: Tick) {
        self.since = self.since.or(tick.at());
        let Some(symbol) = tick.symbol() else { return };
        if !matches!(tick, Tick::Bar(_) | Tick::Trade(_) | Tick::Depth(_) | Tick::Split(_)) {
            return;
        }
        let series = self.symbols.entry(symbol.to_owned()).or_default();
        match tick {
            Tick::Bar(bar) => {
                let timeframe = Timeframe::of_span(bar.span);
                let candle = Candle { at: timeframe.start_of(bar.at), ..Candle::of_bar(&bar) };
                series.told.entry(timeframe).or_default().put(candle);
            }
            Tick::Trade(trade) => {
                let at = Timeframe::Minute.start_of(trade.at);
                let next = Candle { at, ..Candle::of_trade(trade.at, trade.price, trade.size) };
                match series.traded.bars.get_mut(&at) {
                    Some(minute) => minute.join(&next),
                    None => series.traded.put(next),
                }
            }
            Tick::Depth(depth) => series.depth = Some(depth),
            Tick::Split(split) => {
                // it is applied once, by its id
                series.splits.entry(split.id.clone()).or_insert(split);
            }
            _ => {}
        }
    }
}

impl Series {
    /// What bars of this length are shown from: the longest told that is not longer, else trades.
    fn best(&self, timeframe: Timeframe) -> Option<(Option<Timeframe>, &Shelf)> {
        let told = self.told.range(..=timeframe).next_back();
        let told = told.map(|(length, shelf)| (Some(*length), shelf));
        told.or_else(|| (!self.traded.bars.is_empty()).then_some((None, &self.traded)))
    }

    /// The lengths that were told, in words.
    fn lengths(&self) -> String {
        let words: Vec<&str> = self.told.keys().map(|timeframe| timeframe.word()).collect();
        words.join(", ")
    }
}

impl Shelf {
    fn put(&mut self, candle: Candle) {
        self.bars.insert(candle.at, candle);
        if self.bars.len() > KEPT {
            self.bars.pop_first();
            self.cut = true;
        }
    }
}

#[async_trait]
impl Archive for TapeArchive {
    fn source(&self) -> &'static str {
        self.source
    }

    async fn bars(&self, query: &BarQuery, now: MarketTime) -> Result<Bars, ArchiveError> {
        self.asked(|kept| {
            self.bars_of(kept, query, now).ok_or_else(|| {
                let (symbol, timeframe) = (&query.symbol, query.timeframe.word());
                let lengths = kept.symbols.get(symbol).map(Series::lengths).unwrap_or_default();
                let instead = match lengths.as_str() {
                    "" => "no bars and no trades of it were told".to_owned(),
                    lengths => format!("its bars are {lengths}"),
                };
                let what = format!("bars of {timeframe} for {symbol}: {instead}");
                ArchiveError::Lacks { source_name: self.source, what }
            })
        })
        .await
    }

    /// One look at the tape, of however many symbols.
    async fn daily_closes(
        &self,
        symbols: &[String],
        since: MarketTime,
        now: MarketTime,
    ) -> Result<Vec<DailyCloses>, ArchiveError> {
        let partial = |error| match error {
            ArchiveError::Lacks { .. } => Ok(vec![DailyCloses::default(); symbols.len()]),
            error => Err(error),
        };
        let look = |kept: &Kept| {
            let of = |symbol: &String| {
                let (symbol, timeframe, limit) = (symbol.clone(), Timeframe::Day, usize::MAX);
                let query = BarQuery { symbol, timeframe, start: since, end: now, limit };
                let candles = self.bars_of(kept, &query, now).map(|bars| bars.candles);
                let closes = candles.into_iter().flatten().map(|candle| (candle.at, candle.close));
                let splits = kept.splits(&query.symbol, now);
                DailyCloses { closes: closes.collect(), splits }
            };
            Ok(symbols.iter().map(of).collect())
        };
        self.asked(look).await.or_else(partial)
    }

    async fn depth(&self, symbol: &str, _: MarketTime) -> Result<Depth, ArchiveError> {
        self.asked(|kept| {
            let told = kept.symbols.get(symbol).and_then(|series| series.depth.clone());
            let what = format!("depth of {symbol}: no depth line of it was told");
            told.ok_or(ArchiveError::Lacks { source_name: self.source, what })
        })
        .await
    }

    /// No line tells it.
    fn sector(&self, _: &str) -> Option<&'static str> {
        None
    }
}
