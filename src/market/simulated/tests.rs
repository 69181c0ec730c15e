//! The properties that the simulated market declares, on its lines as they are written.

#![expect(clippy::float_arithmetic, reason = "statistics of a simulation")]

use std::collections::BTreeMap;

use chrono::Days;
use rust_decimal::prelude::ToPrimitive;

use super::universe::{STOCKS, Sector};
use super::*;
use crate::market::bars::{Candle, Joined, Timeframe};
use crate::market::calendar::Calendar;
use crate::market::tick::{Luld, Trade, TradingState};

fn at(text: &str) -> MarketTime {
    text.parse().unwrap()
}

fn model(seed: u64) -> Arc<Model> {
    Arc::new(Model::new(seed, Calendar::always()))
}

/// A market that was begun at an instant.
fn begun(model: &Arc<Model>, at: MarketTime) -> Simulated {
    let mut market = Simulated::new(Arc::clone(model), at);
    assert_eq!(market.begin(None), Some(at));
    market
}

/// Its lines up to an instant.
fn lines(market: &mut Simulated, until: MarketTime) -> Vec<Tick> {
    let mut lines = Vec::new();
    while market.peek().unwrap().is_some_and(|tick| tick.at().is_none_or(|at| at <= until)) {
        lines.extend(market.take().unwrap());
    }
    lines
}

fn text(lines: &[Tick]) -> String {
    lines.iter().map(|tick| tick.to_line() + "\n").collect()
}

fn stamped_from(lines: &[Tick], from: MarketTime) -> Vec<Tick> {
    lines.iter().filter(|tick| tick.at().is_some_and(|at| at >= from)).cloned().collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let start = at("2026-11-23T15:00:07Z");
    let run = |seed| text(&lines(&mut begun(&model(seed), start), at("2026-11-23T15:20:00Z")));
    let first = run(1);
    assert!(first.lines().count() > 6_000);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

#[test]
fn a_market_begun_in_the_middle_goes_on_with_the_lines_of_one_that_ran_through() {
    for calendar in [Calendar::always(), Calendar::nyse()] {
        let one = Arc::new(Model::new(5, calendar));
        let (start, end) = (at("2026-11-23T20:30:00Z"), at("2026-11-24T15:00:00Z"));
        let whole = lines(&mut begun(&one, start), end);
        for middle in ["2026-11-23T20:44:07.5Z", "2026-11-24T05:00:00Z", "2026-11-24T13:00:00Z"] {
            let (middle, other) = (at(middle), Arc::new(Model::new(5, calendar)));
            let mut market = Simulated::new(other, at("2020-01-01T00:00:00Z"));
            assert_eq!(market.begin(Some(middle)), Some(middle), "the clock wins");
            let rest = stamped_from(&lines(&mut market, end), middle);
            assert!(!rest.is_empty());
            assert_eq!(text(&stamped_from(&whole, middle)), text(&rest), "{middle}");
        }
    }
}

#[test]
fn it_opens_with_every_stock_and_a_quote_of_each_before_its_beginning() {
    let start = at("2026-11-25T18:11:03.250Z");
    for calendar in [Calendar::always(), Calendar::nyse()] {
        for start in [start, at("2026-11-28T12:00:00Z")] {
            let opening = lines(&mut begun(&Arc::new(Model::new(1, calendar)), start), start);
            let listed = opening.iter().filter(|tick| matches!(tick, Tick::Instrument(_))).count();
            let quoted: BTreeSet<&str> = opening
                .iter()
                .filter(|tick| matches!(tick, Tick::Quote(_)))
                .filter_map(Tick::symbol)
                .filter(|symbol| STOCKS.iter().any(|stock| stock.symbol == *symbol))
                .collect();
            assert_eq!((listed, quoted.len()), (51, 51), "{start}");
        }
    }
}

#[test]
fn quotes_are_never_crossed_on_the_tick_positive_and_times_never_go_back() {
    for seed in 0..3 {
        let start = at("2026-03-07T23:50:00Z");
        let (mut last, mut market) = (None, begun(&model(seed), start));
        for tick in lines(&mut market, at("2026-03-08T10:00:00Z")) {
            assert!(tick.at() >= last || tick.at().is_none(), "{tick:?} after {last:?}");
            last = tick.at().or(last);
            match tick {
                Tick::Quote(quote) => {
                    assert!(quote.bid < quote.ask, "{quote:?}");
                    assert!(quote.bid.is_positive() && quote.bid.is_on_tick(), "{quote:?}");
                    assert!(quote.ask.is_on_tick(), "{quote:?}");
                    for size in [quote.bid_size, quote.ask_size] {
                        assert!(size.is_positive() && size.is_whole(), "{quote:?}");
                    }
                }
                Tick::Trade(trade) => {
                    assert!(trade.price.is_positive() && trade.price.is_on_tick(), "{trade:?}");
                    assert!(trade.size.is_positive() && trade.size.is_whole(), "{trade:?}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_line_reads_back_as_the_same_tick() {
    let start = at("2026-11-23T15:00:00Z");
    for tick in lines(&mut begun(&model(1), start), start) {
        let read = crate::market::reading::parse_line(tick.to_line().as_bytes(), 1).unwrap();
        assert_eq!(read, Some(tick));
    }
}

#[test]
fn bars_are_those_of_the_trades_that_were_told() {
    let model = model(3);
    let (start, end) = (at("2026-11-23T05:00:00Z"), at("2026-11-24T05:00:00Z"));
    let told = lines(&mut begun(&model, start), end);
    for timeframe in [Timeframe::Minute, Timeframe::QuarterHour, Timeframe::Hour, Timeframe::Day] {
        let mut joined = Joined::default();
        for tick in &told {
            if let Tick::Trade(Trade { symbol, price, size, at }) = tick
                && symbol == "MSFT"
                && (start..end).contains(at)
            {
                joined.add(timeframe, &Candle::of_trade(*at, *price, *size));
            }
        }
        let symbol = "MSFT".to_owned();
        let query = BarQuery { symbol, timeframe, start, end, limit: 10_000 };
        let found = model.candles(&query, end).unwrap();
        let expected: Vec<Candle> = joined.into_candles().collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{}", timeframe.word());
    }
}

#[test]
fn daily_closes_are_those_of_the_daily_bars_however_often_and_with_whomever_they_are_asked_for() {
    for calendar in [Calendar::always(), Calendar::nyse()] {
        let model = Model::new(3, calendar);
        // a start amid a session, whose bar has begun before it
        let (since, now) = (at("2026-10-19T15:07:30Z"), at("2026-11-28T15:07:30Z"));
        let symbols = ["MSFT", "NOPE", "SPY", "KO"].map(str::to_owned);
        let alone = model.daily_closes(&symbols[3..], since, now);
        let found = model.daily_closes(&symbols, since, now);
        assert_eq!((found.len(), &found[3]), (4, &alone[0]), "KO was made before the others");
        assert_eq!(found[1], DailyCloses::default(), "there is no such symbol");
        for (symbol, told) in symbols.iter().zip(&found) {
            let Some(splits) = model.splits(symbol, now) else { continue };
            let (timeframe, limit) = (Timeframe::Day, 1_000);
            let query =
                BarQuery { symbol: symbol.clone(), timeframe, start: since, end: now, limit };
            let bars = model.candles(&query, now).unwrap();
            let closes: Vec<_> = bars.iter().map(|bar| (bar.at, bar.close)).collect();
            assert!(closes.len() >= 28, "{symbol}: {}", closes.len());
            assert_eq!((&told.closes, &told.splits), (&closes, &splits), "{symbol}");
        }
        assert_eq!(model.daily_closes(&symbols, since, now), found, "they are remembered");
    }
}

#[test]
fn daily_closes_cost_a_fraction_of_the_bars_that_they_are_of() {
    let (since, now) = (at("2026-10-28T00:00:00Z"), at("2026-11-28T00:00:00Z"));
    let model = model(3);
    let _folded = model.day_from(now);
    // the best of several, since other programs of the machine take their time too
    let best = |of: &dyn Fn(&str)| {
        let took = ["AAPL", "MSFT", "KO", "JPM"].map(|symbol| {
            let begun = std::time::Instant::now();
            of(symbol);
            begun.elapsed()
        });
        took.into_iter().min().unwrap()
    };
    let closes = best(&|symbol| {
        assert_eq!(model.daily_closes(&[symbol.to_owned()], since, now)[0].closes.len(), 30);
    });
    let bars = best(&|symbol| {
        let (symbol, timeframe) = (symbol.to_owned(), Timeframe::Day);
        let query = BarQuery { symbol, timeframe, start: since, end: now, limit: 1_000 };
        assert_eq!(model.candles(&query, now).unwrap().len(), 30);
    });
    assert!(closes * 3 < bars, "{closes:?} and {bars:?} for thirty days of a stock");
}

#[test]
fn no_bar_is_shown_before_it_is_over() {
    let model = model(3);
    let now = at("2026-11-23T15:07:30Z");
    for timeframe in Timeframe::ALL {
        let query = BarQuery {
            symbol: "KO".to_owned(),
            timeframe,
            start: at("2026-11-22T00:00:00Z"),
            end: at("2026-12-22T00:00:00Z"),
            limit: 10_000,
        };
        let bars = model.candles(&query, now).unwrap();
        let last = bars.last().unwrap();
        assert!(timeframe.end_of(Calendar::always(), last.at) <= now, "{last:?}");
        // and asked later it is the same
        let later = model.candles(&query, now + TimeDelta::days(3)).unwrap();
        assert_eq!(bars, later[..bars.len()]);
        assert!(later.len() > bars.len());
    }
}

#[test]
fn the_book_begins_with_the_standing_quote_and_gets_worse_level_by_level() {
    let model = model(1);
    let now = at("2026-11-23T15:07:31Z");
    let opening = lines(&mut begun(&model, now), now);
    for stock in STOCKS {
        let quote = opening.iter().rev().find_map(|tick| match tick {
            Tick::Quote(quote) if quote.symbol == stock.symbol => Some(quote),
            _ => None,
        });
        let (quote, book) = (quote.unwrap(), model.book(stock.symbol, now).unwrap());
        assert_eq!((book.bids[0], book.at), ((quote.bid, quote.bid_size), quote.at));
        assert_eq!(book.asks[0], (quote.ask, quote.ask_size));
        assert_eq!((book.bids.len(), book.asks.len()), (10, 10));
        assert!(book.bids.windows(2).all(|pair| pair[0].0 > pair[1].0), "{book:?}");
        assert!(book.asks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{book:?}");
    }
    assert_eq!(model.book("NOPE", now), None);
}

/// The returns of each stock from open to open, those over a split left out.
fn returns(model: &Model, from: &str, days: usize) -> Vec<Vec<Option<f64>>> {
    let mut day = model.day_from(at(from)).unwrap();
    let mut returns = vec![Vec::new(); STOCKS.len()];
    for _ in 0..days {
        let next = model.day_from(day.session.close).unwrap();
        for (stock, of) in returns.iter_mut().enumerate() {
            let split = next.actions.contains(&(stock, days::Action::Split));
            of.push((!split).then(|| next.opens[stock] / day.opens[stock] - 1.0));
        }
        day = next;
    }
    returns
}

fn deviation(of: &[f64]) -> f64 {
    let mean = of.iter().sum::<f64>() / of.len() as f64;
    (of.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / of.len() as f64).sqrt()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let both = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum::<f64>() / a.len() as f64;
    both / (deviation(a) * deviation(b))
}

#[test]
fn stocks_move_as_much_as_declared_and_with_the_market() {
    for (calendar, days) in [(Calendar::always(), 365_u16), (Calendar::nyse(), 252)] {
        let model = Model::new(1, calendar);
        let returns = returns(&model, "2024-10-01T12:00:00Z", 2 * usize::from(days));
        let index = &returns[0];
        let mut correlations = Vec::new();
        for (stock, of) in STOCKS.iter().zip(&returns) {
            let both: Vec<(f64, f64)> =
                of.iter().zip(index).filter_map(|(of, index)| of.zip(*index)).collect();
            let (of, index): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
            let ratio = deviation(&of) * f64::from(days).sqrt() / stock.volatility;
            assert!((0.8..1.25).contains(&ratio), "{}: {ratio}", stock.symbol);
            if stock.sector != Sector::Index {
                correlations.push(correlation(&of, &index));
            }
        }
        let mean = correlations.iter().sum::<f64>() / correlations.len() as f64;
        assert!((0.3..0.9).contains(&mean), "{mean}: {correlations:?}");
    }
}

#[test]
fn volume_has_the_shape_of_a_u() {
    let query = BarQuery {
        symbol: "AAPL".to_owned(),
        timeframe: Timeframe::Hour,
        start: at("2026-11-02T05:00:00Z"),
        end: at("2026-11-09T05:00:00Z"),
        limit: 10_000,
    };
    let bars = model(1).candles(&query, at("2026-12-01T00:00:00Z")).unwrap();
    assert_eq!(bars.len(), 7 * 24);
    let of = |hours: std::ops::Range<usize>| -> f64 {
        let volumes = bars.iter().enumerate().filter(|(hour, _)| hours.contains(&(hour % 24)));
        let sum: f64 = volumes.map(|(_, bar)| bar.volume.decimal().to_f64().unwrap()).sum();
        sum / hours.len() as f64
    };
    let (open, noon, close) = (of(0..3), of(10..14), of(21..24));
    assert!(open > 1.8 * noon && close > 1.8 * noon, "{open} {noon} {close}");
}

#[test]
fn now_and_then_there_is_a_halt_a_split_and_a_dividend() {
    let model = model(1);
    let mut day = model.day_from(at("2026-01-01T12:00:00Z")).unwrap();
    let (mut splits, mut dividends, mut halts) = (0, 0, 0);
    for _ in 0..365 {
        for (_, action) in &day.actions {
            match action {
                days::Action::Split => splits += 1,
                days::Action::Dividend(declared) => {
                    dividends += 1;
                    let known = day.session.date;
                    assert!(declared.ex >= known.checked_add_days(Days::new(14)).unwrap());
                    assert!(declared.pay > declared.ex && declared.cents > 0);
                }
            }
        }
        let noon = day.session.open + TimeDelta::hours(12);
        halts += model.halts(noon).len();
        day = model.day_from(day.session.close).unwrap();
    }
    assert!((1..40).contains(&splits), "{splits}");
    assert!((120..200).contains(&dividends), "{dividends}: of about 40 stocks, quarterly");
    assert!(halts < 20, "{halts} at noon");
    let halted = (0..40).find_map(|day| {
        let from = at("2026-01-01T05:00:00Z") + TimeDelta::days(day);
        let mut market = begun(&model, from);
        let of_day = lines(&mut market, from + TimeDelta::days(1));
        let halt = of_day.iter().position(
            |tick| matches!(tick, Tick::Status(status) if status.state == TradingState::Halted),
        )?;
        Some((of_day, halt))
    });
    let (of_day, halt) = halted.unwrap();
    let (symbol, from) = (of_day[halt].symbol().unwrap(), of_day[halt].at().unwrap());
    let ended = of_day.iter().find(|tick| {
        matches!(tick, Tick::Status(status) if status.symbol == symbol && status.at > from && status.state == TradingState::Trading)
    });
    let until = ended.unwrap().at().unwrap();
    assert_eq!(until - from, TimeDelta::minutes(5));
    let traded = of_day.iter().any(|tick| {
        matches!(tick, Tick::Trade(trade) if trade.symbol == symbol && from <= trade.at && trade.at < until)
    });
    assert!(!traded, "nothing trades during a halt");
}

#[test]
fn bands_are_five_percent_around_where_a_stock_was_and_everything_trades_within_them() {
    let (open, late, close) =
        (at("2026-11-23T14:30:00Z"), at("2026-11-23T20:35:00Z"), at("2026-11-23T21:00:00Z"));
    let model = Arc::new(Model::new(4, Calendar::nyse()));
    let mut bands: BTreeMap<String, Luld> = BTreeMap::new();
    let (mut told, mut trades) = (0, 0);
    for tick in lines(&mut begun(&model, open), close) {
        match tick {
            Tick::Luld(luld) => {
                assert_eq!(luld.at.timestamp() % 60, 0, "{luld:?}");
                let [down, up] = [&luld.down, &luld.up].map(|it| it.decimal().to_f64().unwrap());
                let part = (up - down) / (up + down);
                let width = if luld.at < late { 0.05 } else { 0.1 };
                assert!((part - width).abs() < 0.001, "{luld:?}");
                told += 1;
                bands.insert(luld.symbol.clone(), luld);
            }
            Tick::Trade(trade) if trade.at >= open => {
                let held = &bands[&trade.symbol];
                assert!(held.down < trade.price && trade.price < held.up, "{trade:?} in {held:?}");
                trades += 1;
            }
            _ => {}
        }
    }
    assert_eq!(bands.len(), STOCKS.len());
    assert!((2 * 51..20 * 51).contains(&told), "{told} in a day");
    assert!(trades > 10_000);
    let before = model.bands_before(late + TimeDelta::minutes(1));
    assert_eq!(before.len(), STOCKS.len());
    assert!(before.iter().all(|tick| tick.at() <= Some(late + TimeDelta::minutes(1))));
    assert!(model.bands_before(close).is_empty(), "none holds between sessions");
}

#[test]
fn a_split_halves_the_price_and_nothing_falls_to_the_floor() {
    let model = model(1);
    let mut day = model.day_from(at("2001-01-01T12:00:00Z")).unwrap();
    let mut splits = 0;
    while day.session.open < at("2045-01-01T00:00:00Z") {
        let next = model.day_from(day.session.close).unwrap();
        for (stock, action) in &next.actions {
            if *action == days::Action::Split {
                splits += 1;
                let ratio = day.opens[*stock] / next.opens[*stock];
                assert!((1.5..2.7).contains(&ratio), "{ratio}");
                let told = |at| model.splits(STOCKS[*stock].symbol, at).unwrap();
                let by_then = told(next.session.open);
                assert_eq!(by_then.last().map(|split| split.at), Some(next.session.open));
                let before = told(next.session.open - TimeDelta::milliseconds(1));
                assert_eq!(before[..], by_then[..by_then.len() - 1]);
            }
        }
        for (stock, open) in next.opens.iter().enumerate() {
            let start = STOCKS[stock].price;
            assert!((0.15 * start..4.0 * start).contains(open), "{}: {open}", STOCKS[stock].symbol);
        }
        day = next;
    }
    assert!(splits > 50, "{splits}");
}

#[test]
fn the_calendar_ends_the_market() {
    let model = Arc::new(Model::new(1, Calendar::nyse()));
    let mut market = begun(&model, at("2050-12-30T20:59:50Z"));
    let all = lines(&mut market, at("2060-01-01T00:00:00Z"));
    assert!(all.len() > 100);
    assert!(market.take().unwrap().is_none());
}
