//! Orders of several legs: each is a package that fills as a whole, against the standing quotes of all its legs.
//!
//! One is evaluated when it arrives, and at each quote of one of its legs, after the orders of that leg's own book and in
//! the order of arrival. What it costs now is the natural price: the asks of what it buys less the bids of what it sells. It
//! fills there, never at its limit, as many packages as the sizes left at every leg have. Costs O(k log n), k the orders
//! that have the leg.

use std::collections::BTreeMap;

use aggregates::id::InstrumentId;
use aggregates::market::Evidence;
use aggregates::money::{Price, Quantity};
use aggregates::order::{Execution, Leg, LegExecution, OrderClass, OrderSpec, Side, net_price};
use aggregates::trading::{Command, Offer};
use serde::{Deserialize, Serialize};

use super::book::Working;
use super::families::Proposals;
use super::matching::{Showing, left_of};
use super::rounds::{Proposal, Round};
use super::state::{Issue, Standing};
use super::{Core, Settings};
use aggregates::market::MarketTime;

/// What an order of options is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// What its options are on.
    pub underlying_id: InstrumentId,
    /// Its legs; none of an order of one option, which works in the option's own book.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<Leg>,
    /// It came when one of its symbols was another contract to those who are in it: it fills nothing, and ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradicts: bool,
}

impl Package {
    /// That of an order; `None` of an order of a stock.
    pub(super) fn of(spec: &OrderSpec) -> Option<Self> {
        if spec.order_class == OrderClass::Mleg {
            let legs = spec.legs.clone().unwrap_or_default();
            return Some(Self { underlying_id: spec.instrument_id, legs, contradicts: false });
        }
        let underlying_id = spec.contract.as_ref()?.underlying_id;
        Some(Self { underlying_id, legs: Vec::new(), contradicts: false })
    }
}

/// What proposals of one round take of displayed sizes, by instrument and side.
#[derive(Debug, Default)]
pub(super) struct Spent(BTreeMap<(InstrumentId, Side), Quantity>);

impl Spent {
    /// What is taken of one side.
    pub(super) fn of(&self, instrument_id: InstrumentId, side: Side) -> Quantity {
        self.0.get(&(instrument_id, side)).copied().unwrap_or_default()
    }

    /// So much more is taken.
    pub(super) fn add(&mut self, instrument_id: InstrumentId, side: Side, qty: Quantity) {
        let spent = self.0.entry((instrument_id, side)).or_default();
        // Beyond the bound of a quantity there is nothing left of any size.
        *spent = spent.plus(qty).unwrap_or(Quantity::MAX);
    }

    /// Whether anything is taken that an order needs.
    pub(super) fn touches(&self, order: &Working) -> bool {
        let own = [(order.instrument_id, order.side)];
        let legs = order.legs().iter().map(|leg| (leg.instrument_id, leg.side));
        legs.chain(own).any(|(instrument_id, side)| !self.of(instrument_id, side).is_zero())
    }
}

/// The quote that a leg meets: itself, its touch and what is left there.
type Met<'a> = (&'a Standing, Price, Quantity);

/// What packages of these legs can be had for now.
struct Natural {
    /// The net price.
    price: Price,
    /// Whole packages that the sizes left have.
    left: Quantity,
    /// The latest of the quotes.
    evidence: Evidence,
    legs: Vec<LegExecution>,
}

impl Natural {
    /// That of legs which meet these quotes, if its price is within the limit.
    fn of<'a>(
        legs: &[Leg],
        limit: Option<Price>,
        mut met: impl FnMut(&Leg) -> Option<Met<'a>>,
    ) -> Option<Self> {
        let met: Vec<Met<'a>> = legs.iter().map(&mut met).collect::<Option<_>>()?;
        let price = net_price(legs, met.iter().map(|(_, touch, _)| *touch)).ok()?;
        if limit.is_some_and(|limit| price > limit) {
            return None;
        }
        let whole = legs.iter().zip(&met).map(|(leg, (_, _, left))| {
            left.whole_times(Quantity::new(leg.ratio_qty.into()).ok()?).ok()
        });
        let left = whole.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        let (latest, ..) = met.iter().max_by_key(|(quote, ..)| quote.place)?;
        let executed = legs.iter().zip(&met).map(|(leg, (quote, touch, _))| LegExecution {
            instrument_id: leg.instrument_id,
            price: *touch,
            evidence: quote.evidence(),
        });
        Some(Self { price, left, evidence: latest.evidence(), legs: executed.collect() })
    }
}

/// What an order of several legs would fill at the moment it arrives, when its legs and what they are on show so.
pub(super) fn offer<'a>(
    spec: &OrderSpec,
    underlying_trades: bool,
    (now, settings): (MarketTime, &Settings),
    showing: impl Fn(&str) -> Option<Showing<'a>>,
) -> Option<Offer> {
    let legs = spec.legs.as_deref().filter(|_| underlying_trades)?;
    let natural = Natural::of(legs, spec.limit_price, |leg| {
        showing(&leg.symbol)?.met_by(leg.side, None, now, settings)
    })?;
    let Natural { price, left, evidence, legs } = natural;
    Some(Offer { price, left, evidence, legs })
}

impl Core {
    /// The fills of orders that have the instrument of the round's quote as a leg.
    pub(super) fn match_packages(&self, round: &Round, proposals: &mut Proposals<'_>) {
        let Some((instrument_id, issue)) = self.trading(round) else { return };
        if issue.quote_at(round.place).is_none() {
            return;
        }
        let mut spent = Spent::default();
        for order in self.state.orders.packages(instrument_id) {
            if proposals.is_full() {
                return;
            }
            if order.is_over(self.state.clock) || self.is_arriving(order.order_id) {
                continue;
            }
            if let Some(fill) = self.fill_package(order, &mut spent) {
                proposals.push(order, fill);
            }
        }
    }

    /// The fill of an order of several legs at the standing quotes of all of them, when so much of these is taken: all legs
    /// or none. Nothing in any of these hours but the regular ones.
    pub(super) fn fill_package(&self, order: &Working, spent: &mut Spent) -> Option<Command> {
        let (package, clock) = (order.package.as_deref()?, self.state.clock?);
        let underlying = self.state.issues.get(&package.underlying_id);
        let open = self.is_open(clock) && underlying.is_none_or(Issue::trades);
        let natural = Natural::of(&package.legs, order.limit, |leg| {
            let issue = self.state.issues.get(&leg.instrument_id)?;
            let bands = self.bands(issue, clock);
            let showing = Showing { bands, ..Showing::of(issue, open, false) };
            let met = showing.met_by(leg.side, None, clock, &self.settings)?;
            let (quote, touch, left) = met;
            Some((quote, touch, left_of(left, spent.of(leg.instrument_id, leg.side))))
        })?;
        let Natural { price, left, evidence, legs } = natural;
        let qty = left.min(order.leaves);
        let Working { order_id, revision, fills, .. } = *order;
        if !qty.is_positive() || self.is_tried(&Proposal::Fill(order_id, revision, fills, qty)) {
            return None;
        }
        for leg in &package.legs {
            let of_leg = leg.qty_of(qty).unwrap_or(Quantity::MAX);
            spent.add(leg.instrument_id, leg.side, of_leg);
        }
        let execution = Execution { revision, after_fills: fills, qty, price, evidence, legs };
        let marks = self.marks(order.account_id, Some(order));
        Some(Command::Fill { order_id, execution, marks, at: clock })
    }
}
