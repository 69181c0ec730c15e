//! Which orders a tick fills, at what price and how much: the rules of `docs/rules.md`, Fills.
//!
//! A round of proposals supposes that each is accepted. A size is shared by the orders of one side in price-time
//! order; what earlier fills took of the same tick is not there any more. Costs O(log n + k), k the orders filled.

use aggregates::account::AccountKind;
use aggregates::id::OrderId;
use aggregates::instrument::InstrumentKind;
use aggregates::market::{BarPoint, Evidence, EvidenceTick, MarketTime};
use aggregates::money::{Price, Quantity};
use aggregates::order::{CancelReason, Execution, Side, TimeInForce};
use aggregates::trading::{Arrival, Command, arrival, takeable};

use super::book::{Reach, Reached, Working};
use super::families::Proposals;
use super::packages::Spent;
use super::rounds::{Proposal, Round};
use super::state::{Bands, Issue, Kinds, Print, Standing, Taken};
use super::{Core, FillModel, Settings};
use crate::market::tick::{Bar, Tick, Trade};

/// The most commands of one round: the rest follow in the next.
pub(super) const ROUND_CAP: usize = 256;

/// What becomes of an order that has arrived.
enum Evaluated {
    /// It fills, is triggered or ends.
    Does(Box<Command>),
    /// It is in the book, and met nothing.
    Rests,
    /// It is to be evaluated again when those before it are done.
    Waits,
}

/// One price that one side of a book meets.
#[derive(Clone, Copy)]
struct Meeting<'a> {
    issue_id: aggregates::id::InstrumentId,
    side: Side,
    price: Price,
    reach: Reach,
    /// Limits get the price itself, not their limit.
    improved: bool,
    /// So do those of orders of extended hours.
    improved_extended: bool,
    /// The bands that hold: a limit beyond them gets the price itself.
    bands: Option<&'a Bands>,
    /// It is in regular hours: outside them orders of extended hours fill alone.
    regular: bool,
    /// Market orders fill here too.
    market_orders: bool,
    /// Orders that were accepted later do not fill.
    began: Option<MarketTime>,
    /// The shares that are left; `None` is without limit.
    left: Option<Quantity>,
    evidence: &'a Evidence,
}

/// What is left of a displayed size after what was taken of it.
pub(super) fn left_of(size: Quantity, taken: Quantity) -> Quantity {
    if taken >= size { Quantity::ZERO } else { size.minus(taken).unwrap_or_default() }
}

/// The last point of a bar's path.
pub(super) const LAST_POINT: usize = 3;

/// The points of a bar's path: open, then the nearer of high and low, then the other, then close. The low is first when
/// both are as near. What is new at the close is what the last extreme has triggered.
pub(super) fn path(bar: &Bar) -> [BarPoint; 4] {
    let up = bar.high.minus(bar.open).unwrap_or_default();
    let down = bar.open.minus(bar.low).unwrap_or_default();
    if up < down {
        [BarPoint::Open, BarPoint::High, BarPoint::Low, BarPoint::Close]
    } else {
        [BarPoint::Open, BarPoint::Low, BarPoint::High, BarPoint::Close]
    }
}

impl Core {
    /// The fills of the round's tick at its present point.
    pub(super) fn matches(&self, round: &Round, point: usize) -> Vec<Command> {
        let mut proposals = Proposals::new(&self.state);
        self.match_all(round, point, &mut proposals);
        // What the orders of a book leave of a quote is there for those that have it as a leg.
        if proposals.is_empty() {
            self.match_packages(round, &mut proposals);
        }
        proposals.into_commands()
    }

    fn match_all(&self, round: &Round, point: usize, commands: &mut Proposals<'_>) {
        let Some((issue_id, issue)) = self.trading_extended(round) else { return };
        let bands = self.state.clock.and_then(|clock| self.bands(issue, clock));
        let holds = |price: Price| bands.is_none_or(|bands| bands.hold(price));
        let left = |size: Quantity, side: Side| match self.settings.fill_model {
            FillModel::DisplayedSize => Some(left_of(size, issue.taken.of(round.place, side))),
            FillModel::Unlimited => None,
        };
        match &round.tick {
            Tick::Quote(_) => {
                let Some(quote) = issue.quote_at(round.place) else { return };
                let evidence = quote.evidence();
                for side in [Side::Buy, Side::Sell] {
                    let (price, size) = quote.touch(side);
                    if !holds(price) {
                        continue;
                    }
                    let meeting = Meeting {
                        issue_id,
                        side,
                        price,
                        reach: Reach::Touch,
                        improved: round.first,
                        improved_extended: round.first_extended,
                        bands,
                        regular: round.open,
                        market_orders: true,
                        began: None,
                        left: left(size, side),
                        evidence: &evidence,
                    };
                    self.meet(meeting, commands);
                }
            }
            // Options fill by quotes alone.
            _ if issue.kind == InstrumentKind::Option => {}
            Tick::Trade(trade) if !issue.kinds.quotes && holds(trade.price) => {
                let Trade { price, size, at, .. } = *trade;
                let tick = EvidenceTick::Trade { price, size };
                let evidence = self.evidence(round, at, tick);
                for side in [Side::Buy, Side::Sell] {
                    let meeting = Meeting {
                        issue_id,
                        side,
                        price,
                        reach: Reach::Through,
                        improved: round.first,
                        improved_extended: round.first_extended,
                        bands,
                        regular: round.open,
                        market_orders: true,
                        began: Some(at),
                        left: left(size, side),
                        evidence: &evidence,
                    };
                    self.meet(meeting, commands);
                }
            }
            Tick::Bar(bar) if issue.kinds == Kinds::default() => {
                let point = path(bar)[point];
                let evidence = self.evidence(round, round.began, bar.evidence(point));
                let left = |side| left(bar.volume, side);
                let (price, sides): (Price, &[Side]) = match point {
                    BarPoint::Open => (bar.open, &[Side::Buy, Side::Sell]),
                    BarPoint::High => (bar.high, &[Side::Sell]),
                    BarPoint::Low => (bar.low, &[Side::Buy]),
                    BarPoint::Close => (bar.close, &[Side::Buy, Side::Sell]),
                };
                if point != BarPoint::Open {
                    for side in [Side::Buy, Side::Sell] {
                        self.fill_sprung(round, side, left(side), &evidence, commands);
                    }
                    if !commands.is_empty() {
                        return;
                    }
                }
                for side in sides {
                    let meeting = Meeting {
                        issue_id,
                        side: *side,
                        price,
                        reach: Reach::Through,
                        improved: point == BarPoint::Open,
                        improved_extended: point == BarPoint::Open,
                        bands: None,
                        regular: round.open,
                        market_orders: point == BarPoint::Open,
                        began: Some(round.began),
                        left: left(*side),
                        evidence: &evidence,
                    };
                    self.meet(meeting, commands);
                }
            }
            _ => {}
        }
    }

    /// Fills what this point of a bar has triggered: between its prices at the stop itself, which the path goes
    /// through; at the close, where a stop that has just moved may be beyond it, at the close.
    fn fill_sprung(
        &self,
        round: &Round,
        side: Side,
        mut left: Option<Quantity>,
        evidence: &Evidence,
        commands: &mut Proposals<'_>,
    ) {
        let EvidenceTick::Bar { point, close, .. } = &evidence.tick else { return };
        let point = *point;
        for order_id in &round.sprung {
            if commands.is_full() || left.is_some_and(|left| !left.is_positive()) {
                return;
            }
            let order = self.state.orders.get(*order_id).filter(|order| order.side == side);
            let Some((order, stop)) = order.and_then(|order| Some((order, order.stop.as_ref()?)))
            else {
                continue;
            };
            let here = stop
                .sprung
                .is_some_and(|sprung| sprung.place == round.place && sprung.point == Some(point));
            let price = if point == BarPoint::Close { *close } else { stop.price };
            let within = match (order.limit, side) {
                (None, _) => true,
                (Some(limit), Side::Buy) => price < limit,
                (Some(limit), Side::Sell) => price > limit,
            };
            let over = order.is_over(self.state.clock) || self.is_arriving(*order_id);
            if !here || !within || over || commands.binds(order) {
                continue;
            }
            if commands.unsettles(order) {
                return;
            }
            let qty = self.takes(order, order.leaves, left);
            if let Some(fill) = self.fill(order, qty, price, evidence) {
                commands.push(order, fill);
                left = left.map(|left| left_of(left, qty));
            }
        }
    }

    /// Whether a tick comes before the one that triggered an order, so that it does not fill it.
    fn precedes(&self, order: &Working, evidence: &Evidence) -> bool {
        let Some(sprung) = order.sprung() else { return false };
        let earlier_point = match (&evidence.tick, sprung.point, &self.state.round) {
            (EvidenceTick::Bar { point, .. }, Some(triggered), Some(round)) => {
                let Tick::Bar(bar) = &round.tick else { return false };
                let step = |point| path(bar).iter().position(|step| *step == point);
                sprung.place == evidence.tape_place && step(*point) < step(triggered)
            }
            _ => false,
        };
        evidence.at < sprung.at || earlier_point
    }

    /// Whether an order has met no quote yet, or was triggered and has met no quote or trade since: what meets it first is
    /// better than its limit, as for an order that arrives. The points of a bar have rules of their own.
    fn is_new_to(&self, order: &Working, evidence: &Evidence) -> bool {
        let issue = self.state.issues.get(&order.instrument_id);
        let quoted = issue.map(|issue| issue.quoted).unwrap_or_default();
        let quoted = if order.extended { quoted.extended } else { quoted.regular };
        let quote = matches!(evidence.tick, EvidenceTick::Quote { .. });
        if quote && order.unmet.is_some_and(|since| quoted <= since) {
            return true;
        }
        let bar = matches!(evidence.tick, EvidenceTick::Bar { .. });
        let Some(sprung) = order.sprung().filter(|_| !bar) else { return false };
        let met = issue.and_then(|issue| issue.met);
        met.is_none_or(|at| at < sprung.at)
    }

    pub(super) fn evidence(&self, round: &Round, at: MarketTime, tick: EvidenceTick) -> Evidence {
        Evidence { source: round.source.clone(), tape_place: round.place, at, tick }
    }

    /// Lets one side of a book meet one price.
    fn meet(&self, meeting: Meeting<'_>, commands: &mut Proposals<'_>) {
        let Meeting { issue_id, side, price, reach, regular, market_orders, began, .. } = meeting;
        let mut left = meeting.left;
        for order in self.state.orders.reached((issue_id, side), price, reach, regular) {
            if commands.is_full() || left.is_some_and(|left| !left.is_positive()) {
                return;
            }
            let later = began.is_some_and(|began| order.placed_at > began);
            let over = order.is_over(self.state.clock);
            let waits = over
                || later
                || order.limit.is_none() && !market_orders
                || self.precedes(order, meeting.evidence);
            // Immediate orders are done on arrival; one that has not been evaluated yet meets no tick before that.
            if waits || order.time_in_force.is_immediate() || self.is_arriving(order.order_id) {
                continue;
            }
            if commands.binds(order) || self.yields(order, meeting.evidence) {
                continue;
            }
            if commands.unsettles(order) {
                return;
            }
            let improved =
                if order.extended { meeting.improved_extended } else { meeting.improved };
            let improved = improved
                || order.limit.is_some_and(|limit| meeting.bands.is_some_and(|b| !b.hold(limit)));
            let price = match order.limit {
                Some(limit) if !improved && !self.is_new_to(order, meeting.evidence) => limit,
                _ => price,
            };
            let qty = self.takes(order, order.leaves_at(price), left);
            if let Some(fill) = self.fill(order, qty, price, meeting.evidence) {
                commands.push(order, fill);
                left = left.map(|left| left_of(left, qty));
            }
        }
    }

    /// How much of what is left an order may take with `leaves` shares open.
    pub(super) fn takes(
        &self,
        order: &Working,
        leaves: Quantity,
        left: Option<Quantity>,
    ) -> Quantity {
        let kind = self.state.priced.get(&order.account_id);
        let is_margin = kind == Some(&AccountKind::Margin);
        // So are contracts, which come whole in every account.
        let order = (is_margin || order.package.is_some(), order.notional.is_some());
        left.map_or(leaves, |left| takeable(order, leaves, left))
    }

    /// The proposal to fill, unless it is of nothing or the ledger refused the same one in this round.
    fn fill(
        &self,
        order: &Working,
        qty: Quantity,
        price: Price,
        evidence: &Evidence,
    ) -> Option<Command> {
        self.fill_at(order, (qty, price), evidence, self.state.clock)
    }

    /// The same at an instant of its own.
    pub(super) fn fill_at(
        &self,
        order: &Working,
        (qty, price): (Quantity, Price),
        evidence: &Evidence,
        at: Option<MarketTime>,
    ) -> Option<Command> {
        let Working { order_id, revision, fills, .. } = *order;
        if qty.is_zero() || self.is_tried(&Proposal::Fill(order_id, revision, fills, qty)) {
            return None;
        }
        let evidence = evidence.clone();
        let execution =
            Execution { revision, after_fills: fills, qty, price, evidence, legs: Vec::new() };
        let marks = self.marks(order.account_id, Some(order));
        Some(Command::Fill { order_id, execution, marks, at: at? })
    }

    /// The proposals for the orders that have arrived: each is evaluated once against the standing quote, in the
    /// order of arrival. Empty once all of them were; call it again after its commands have committed.
    pub fn arrivals(&mut self) -> Vec<Command> {
        let mut proposals = Proposals::new(&self.state);
        let mut done = Vec::new();
        let mut spent = Spent::default();
        for order_id in self.state.arrivals.iter() {
            if proposals.is_full() {
                break;
            }
            let Some(order) = self.state.orders.get(order_id) else {
                done.push(order_id);
                continue;
            };
            if proposals.binds(order) {
                continue;
            }
            if proposals.unsettles(order) {
                break;
            }
            match self.arrival(order, &mut spent) {
                Evaluated::Does(command) => proposals.push(order, *command),
                Evaluated::Rests => done.push(order_id),
                Evaluated::Waits => {}
            }
        }
        let commands = proposals.into_commands();
        for order_id in done {
            self.state.arrivals.remove(order_id);
        }
        self.try_all(&commands);
        if self.state.arrivals.is_empty() && self.state.round.is_none() {
            self.tried.clear();
        }
        commands
    }

    /// What one order does on arrival, when those before it take so much of what is displayed.
    fn arrival(&self, order: &Working, spent: &mut Spent) -> Evaluated {
        let supposed = spent.touches(order);
        match self.on_arrival(order, spent) {
            Some(command @ Command::Fill { .. }) => Evaluated::Does(Box::new(command)),
            // Those before it may come too late, and leave something for this one.
            _ if supposed => Evaluated::Waits,
            Some(command) => Evaluated::Does(Box::new(command)),
            None => Evaluated::Rests,
        }
    }

    /// Fills at the touch, or ends if it may not rest or its time is over.
    fn on_arrival(&self, order: &Working, spent: &mut Spent) -> Option<Command> {
        let clock = self.state.clock?;
        // It was placed by a clock that has gone on since, beyond its close.
        let over = order.is_over(Some(clock));
        match order.time_in_force {
            // Whether its auction has a price the next line finds out.
            TimeInForce::Cls => return None,
            _ if over => return self.expire(order),
            TimeInForce::Opg => return None,
            _ => {}
        }
        if order.package.as_ref().is_some_and(|package| package.contradicts) {
            return self.end(order, CancelReason::ContradictsHeld, clock);
        }
        if !order.legs().is_empty() {
            return self.fill_package(order, spent);
        }
        let issue = self.state.issues.get(&order.instrument_id)?;
        let open = if order.extended { self.is_extended(clock) } else { self.is_open(clock) };
        let showing = Showing::of(issue, open, order.extended);
        let showing = Showing { bands: self.bands(issue, clock), ..showing };
        if let Some(stop) = order.waits_for() {
            let (side, settings) = (order.side, &self.settings);
            let (stop_price, mark) = match &stop.trailing {
                None => (stop.price, None),
                // One that follows the market begins at it, and may be beyond it once it was changed.
                Some(_) if order.revision == 0 => return None,
                Some(trailing) => {
                    let mark = self.state.orders.mark(order.order_id)?;
                    (trailing.trail.stop(side, mark), Some(mark))
                }
            };
            let evidence = showing.reaches(side, stop_price, stop.by, clock, settings)?;
            return self.trigger(&Reached { order, stop_price, mark }, evidence);
        }
        let met = showing.met_by(order.side, order.limit, clock, &self.settings);
        let since = order.sprung().map(|sprung| sprung.at);
        let met = met.filter(|(quote, ..)| since.is_none_or(|since| quote.at >= since));
        let left = met.map_or(Quantity::ZERO, |(_, _, left)| {
            left_of(left, spent.of(order.instrument_id, order.side))
        });
        let leaves = met.map_or(order.leaves, |(_, price, _)| order.leaves_at(price));
        let takes = self.takes(order, leaves, Some(left));
        let mut next = arrival(order.time_in_force, leaves, takes);
        if let (Arrival::Fill(qty), Some((quote, price, _))) = (next, met) {
            if let Some(fill) = self.fill(order, qty, price, &quote.evidence()) {
                spent.add(order.instrument_id, order.side, qty);
                return Some(fill);
            }
            next = arrival(order.time_in_force, leaves, Quantity::ZERO);
        }
        match next {
            Arrival::End(reason) => self.end(order, reason, clock),
            Arrival::Fill(_) | Arrival::Rest => None,
        }
    }

    pub(super) fn end(
        &self,
        order: &Working,
        reason: CancelReason,
        at: MarketTime,
    ) -> Option<Command> {
        let (account_id, order_id): (_, OrderId) = (order.account_id, order.order_id);
        if self.is_tried(&Proposal::Cancel(order_id)) {
            return None;
        }
        Some(Command::Cancel { account_id, order_id, reason, at })
    }
}

/// What an instrument shows to an order that arrives.
#[derive(Clone, Copy)]
pub(super) struct Showing<'a> {
    pub quote: Option<&'a Standing>,
    pub print: Option<&'a Print>,
    pub kinds: Kinds,
    pub taken: Taken,
    /// It trades: it is neither halted nor being split, and the market is open in hours in which the order fills.
    pub trades: bool,
    /// The bands that hold.
    pub bands: Option<&'a Bands>,
    /// The order is one of extended hours.
    pub extended: bool,
}

impl<'a> Showing<'a> {
    pub(super) fn of(issue: &'a Issue, open: bool, extended: bool) -> Self {
        let trades = open && issue.trades();
        let (quote, print) = (issue.quote.as_ref(), issue.print.as_ref());
        Self { quote, print, kinds: issue.kinds, taken: issue.taken, trades, bands: None, extended }
    }

    /// The standing quote, if it may be used now.
    pub(super) fn standing(self, clock: MarketTime, settings: &Settings) -> Option<&'a Standing> {
        let may_fill =
            |quote: &Standing| if self.extended { quote.extended } else { quote.eligible };
        let quote = self.quote.filter(|quote| self.trades && may_fill(quote))?;
        settings.is_fresh(quote.at, clock).then_some(quote)
    }

    /// The standing quote, its touch and the shares that are left at it, if it may fill an order of `side` now and
    /// its price reaches the order's limit.
    pub(super) fn met_by(
        self,
        side: Side,
        limit: Option<Price>,
        clock: MarketTime,
        settings: &Settings,
    ) -> Option<(&'a Standing, Price, Quantity)> {
        let quote = self.standing(clock, settings)?;
        let (touch, size) = quote.touch(side);
        let reaches = match (side, limit) {
            (_, None) => true,
            (Side::Buy, Some(limit)) => touch <= limit,
            (Side::Sell, Some(limit)) => touch >= limit,
        };
        let reaches = reaches && self.bands.is_none_or(|bands| bands.hold(touch));
        let left = match settings.fill_model {
            FillModel::Unlimited => Quantity::MAX,
            FillModel::DisplayedSize => left_of(size, self.taken.of(quote.place, side)),
        };
        reaches.then_some((quote, touch, left))
    }
}
