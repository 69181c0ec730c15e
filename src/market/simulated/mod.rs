//! A market that is made up from a seed, and says so: everything of it bears the source `simulated`.
//!
//! Guarantees: lines, bars and books are one function of the seed, the hours and the market's time. The same seed
//! gives the same bytes, in another process and after a restart in the middle too; nothing is kept, since everything
//! can be computed again. Times never go back, bids are below asks, prices are whole cents above zero, sizes whole
//! shares above zero. The model is declared in `docs/market.md`; nothing in it is real data.
//!
//! Where it begins comes through the port: the market's clock, or the instant that it was made with if the market has
//! none. It opens with the last minute before that instant, so that every stock has a quote from the first moment on, and
//! every option that is worth quoting.

mod chains;
mod chance;
mod days;
mod expirations;
mod limits;
mod model;
mod moments;
mod paths;
mod surface;
mod universe;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use aggregates::instrument::Contract;
use aggregates::market::MarketTime;
use async_trait::async_trait;
use chrono::{DurationRound, TimeDelta};

pub use model::Model;

use super::archive::{Archive, ArchiveError, DailyCloses};
use super::bars::{BarQuery, Bars};
use super::source::{Capability, MarketData, SourceError};
use super::tick::{Depth, Tick};
use chains::Chains;
use moments::BEAT;
use paths::Paths;

/// The word for this source.
pub const SIMULATED: &str = "simulated";
/// How much of what lies before its beginning is told: every stock has a quote in it.
const OPENING: TimeDelta = TimeDelta::minutes(1);

/// The lines of the simulated market.
pub struct Simulated {
    model: Arc<Model>,
    /// Where a market begins that has no clock.
    first: MarketTime,
    waiting: VecDeque<Tick>,
    /// The beat to make next; `None` before the beginning and after the end.
    next: Option<MarketTime>,
    /// The ways of the day that the next beat is in.
    paths: Option<Paths>,
    /// The bands of that day which were not told yet.
    bands: VecDeque<Tick>,
    /// The option contracts of that day, or of the one before its open.
    chains: Chains,
    /// Lines that list those of them which the day before did not have, until they are told at the open.
    listings: Vec<Tick>,
}

impl Simulated {
    /// The market of a model; it begins at `first` if nothing else has set the market's clock.
    pub fn new(model: Arc<Model>, first: MarketTime) -> Self {
        Self {
            model,
            first,
            waiting: VecDeque::new(),
            next: None,
            paths: None,
            bands: VecDeque::new(),
            chains: Chains::default(),
            listings: Vec::new(),
        }
    }

    fn fill(&mut self) {
        while self.waiting.is_empty() {
            let Some(begins) = self.next else { return };
            let over = |paths: &Paths| begins >= paths.day.session.close;
            if self.paths.as_ref().is_none_or(over) {
                self.paths = self.model.day_from(begins).map(|day| self.model.paths(&day));
                let bands = self.paths.iter().flat_map(|paths| self.model.bands(paths));
                self.bands = bands.filter(|tick| tick.at() >= Some(begins)).collect();
                let chains = self.paths.as_ref().map(|paths| self.model.chains(&paths.day));
                let chains = chains.unwrap_or_default();
                self.listings = chains.listings(&self.chains);
                self.chains = chains;
            }
            let Some(paths) = &self.paths else {
                // the calendar has ended
                self.next = None;
                return;
            };
            if begins == paths.day.session.open {
                self.waiting.append(&mut std::mem::take(&mut self.listings).into());
                self.waiting.extend(chains::rates(begins));
            }
            let beat = self.model.beat(paths, &self.chains, begins);
            // They are told at whole minutes, which nothing of a beat comes before.
            let due = self.bands.partition_point(|band| band.at() < Some(beat.next));
            self.waiting.extend(self.bands.drain(..due));
            self.waiting.extend(beat.lines);
            self.next = Some(beat.next);
        }
    }
}

impl MarketData for Simulated {
    fn name(&self) -> &'static str {
        SIMULATED
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        use Capability::{Bars, Calendar, Depth, Events, OptionChain, Quotes, Trades};
        BTreeSet::from([Quotes, Trades, Bars, Depth, OptionChain, Events, Calendar])
    }

    /// With the last minute before the clock; between sessions, with the last one of the session before.
    fn begin(&mut self, clock: Option<MarketTime>) -> Option<MarketTime> {
        let now = clock.unwrap_or(self.first);
        let day = self.model.day_until(now);
        let quoted = day.as_ref().map_or(now, |day| now.min(day.session.close));
        let from = (quoted - OPENING).duration_trunc(TimeDelta::seconds(BEAT));
        let from = from.unwrap_or(quoted);
        let standing = self.model.halts(from).into_iter().chain(self.model.bands_before(from));
        let mut standing: Vec<Tick> = standing.collect();
        standing.sort_by_key(Tick::at);
        self.chains = day.as_ref().map(|day| self.model.chains(day)).unwrap_or_default();
        let interest = day.map(|day| self.model.interest(&day, &self.chains, from));
        self.waiting = self.model.instruments().chain(standing).collect();
        self.waiting.extend(self.chains.listings(&Chains::default()));
        self.waiting.extend(chains::rates(from));
        self.waiting.extend(interest.into_iter().flatten());
        self.next = Some(from);
        self.paths = None;
        Some(now)
    }

    fn peek(&mut self) -> Result<Option<&Tick>, SourceError> {
        self.fill();
        Ok(self.waiting.front())
    }

    fn take(&mut self) -> Result<Option<Tick>, SourceError> {
        self.fill();
        Ok(self.waiting.pop_front())
    }
}

/// What readers may ask of the simulated market. Computing is done off the threads that serve requests.
#[derive(Clone, Debug)]
pub struct SimulatedArchive(Arc<Model>);

impl SimulatedArchive {
    /// Of the model that the lines come from.
    pub const fn new(model: Arc<Model>) -> Self {
        Self(model)
    }

    async fn ask<T: Send + 'static>(
        &self,
        of: impl FnOnce(&Model) -> T + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let model = Arc::clone(&self.0);
        let found = tokio::task::spawn_blocking(move || of(&model)).await;
        found.map_err(|panic| ArchiveError::Unavailable(Box::new(panic)))
    }
}

/// It makes these of its stocks alone; what else the market has listed is an option, or came from another source.
fn lacks(what: &str, symbol: &str) -> ArchiveError {
    let instead = match symbol.parse::<Contract>() {
        Ok(contract) => format!(
            "its quote, last price and valuation are there (option_market_data, GET /v1/market/options/contracts/{symbol}), and \
             the {what} of the stock that it is on, {}",
            contract.root()
        ),
        Err(_) => "it has those of its own stocks alone".to_owned(),
    };
    ArchiveError::Lacks { source_name: SIMULATED, what: format!("{what} of {symbol}: {instead}") }
}

#[async_trait]
impl Archive for SimulatedArchive {
    fn source(&self) -> &'static str {
        SIMULATED
    }

    async fn bars(&self, query: &BarQuery, now: MarketTime) -> Result<Bars, ArchiveError> {
        let asked = query.clone();
        let bars = self.ask(move |model| {
            let candles = model.candles(&asked, now)?;
            Some(Bars { candles, covers_from: model.first_open() })
        });
        bars.await?.ok_or_else(|| lacks("bars", &query.symbol))
    }

    async fn daily_closes(
        &self,
        symbols: &[String],
        since: MarketTime,
        now: MarketTime,
    ) -> Result<Vec<DailyCloses>, ArchiveError> {
        let symbols = symbols.to_vec();
        self.ask(move |model| model.daily_closes(&symbols, since, now)).await
    }

    async fn depth(&self, symbol: &str, now: MarketTime) -> Result<Depth, ArchiveError> {
        let asked = symbol.to_owned();
        let book = self.ask(move |model| model.book(&asked, now)).await?;
        book.ok_or_else(|| lacks("depth", symbol))
    }

    fn sector(&self, symbol: &str) -> Option<&'static str> {
        self.0.sector_of(symbol)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
