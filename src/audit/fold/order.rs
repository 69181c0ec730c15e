//! Orders, folded again: the life of an order, its sums, and the price of each fill.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::act::{Act, Fill};
use super::amount::{Amount, Residue};
use super::evidence::{self, Triggered};
use super::fields::{Fault, Fields};
use super::options::{self, Leg, Piece, Terms, shares_of};
use crate::audit::report::{Code, Findings};

/// One order.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Order {
    pub(in crate::audit) account: Uuid,
    pub(in crate::audit) instrument: Uuid,
    /// The order that it was placed with.
    pub(super) parent: Option<Uuid>,
    pub(in crate::audit) spec: Value,
    pub(in crate::audit) symbol: String,
    pub(in crate::audit) is_buy: bool,
    pub(in crate::audit) order_type: String,
    /// Of an order of one option, the contract.
    pub(in crate::audit) contract: Option<Terms>,
    /// Of an mleg order.
    pub(in crate::audit) legs: Vec<Leg>,
    pub(in crate::audit) client_order_id: String,
    pub(in crate::audit) status: &'static str,
    pub(in crate::audit) qty: Amount,
    pub(in crate::audit) limit_price: Option<Amount>,
    pub(in crate::audit) stop_price: Option<Amount>,
    pub(in crate::audit) reserve_price: Option<Amount>,
    pub(in crate::audit) filled_qty: Amount,
    pub(in crate::audit) filled_amount: Amount,
    /// What its last fill left open.
    open_shares: Option<Amount>,
    /// That is less than its dollars would sell: there are no more shares to sell.
    pub(super) sold_out: bool,
    /// What rounding the cash of its fills left off.
    pub(in crate::audit) filled_residue: Residue,
    pub(in crate::audit) fees: Amount,
    pub(in crate::audit) fills: u64,
    pub(in crate::audit) revision: u64,
    pub(in crate::audit) tape_place: u64,
    pub(in crate::audit) reject: Option<Value>,
    pub(in crate::audit) reason: Option<String>,
    pub(in crate::audit) expires_at: Option<i64>,
    pub(in crate::audit) created_at: i64,
    pub(in crate::audit) updated_at: i64,
    pub(in crate::audit) triggered_at: Option<i64>,
    triggered: Option<Triggered>,
    /// The mark of a trailing stop when it was triggered.
    pub(in crate::audit) mark: Option<Amount>,
    /// The price that it was accepted by; none once its owner has it follow the market from another price on.
    pub(super) reference: Option<Amount>,
    pub(in crate::audit) replaced_at: Option<i64>,
    pub(in crate::audit) ended_at: Option<i64>,
    pub(in crate::audit) created_position: u64,
    /// The splits that it has followed: each cut its reservation down, never up.
    pub(in crate::audit) splits: BTreeSet<String>,
    /// Shares of an exit that another order has closed.
    pub(super) lost: Amount,
}

impl Order {
    pub(in crate::audit) fn is_terminal(&self) -> bool {
        matches!(self.status, "filled" | "canceled" | "expired" | "rejected")
    }

    /// Which other orders it belongs with.
    pub(super) fn class(&self) -> &str {
        self.spec["order_class"].as_str().unwrap_or_default()
    }

    /// Whether it is of one option or of several legs.
    pub(in crate::audit) fn is_of_options(&self) -> bool {
        self.contract.is_some() || self.class() == "mleg"
    }

    /// Whether an order of options opens a position.
    pub(super) fn opens_options(&self) -> bool {
        let intent = self.spec["position_intent"].as_str();
        intent.is_some_and(|intent| intent.ends_with("_to_open"))
            || self.legs.iter().any(Leg::opens)
    }

    /// The shares that the price of so many of it is paid for.
    fn priced(&self, qty: Amount) -> Option<Amount> {
        match self.class() {
            "mleg" => qty.times(Amount::whole(100)),
            _ => shares_of(self.contract.as_ref(), qty),
        }
    }

    /// Whether it closes what an entry has opened, or what is held.
    pub(super) fn is_exit(&self) -> bool {
        match self.class() {
            "bracket" | "oto" => self.parent.is_some(),
            class => class == "oco",
        }
    }

    /// Whether its fills open what others that were placed with it close.
    pub(super) fn is_entry(&self) -> bool {
        matches!(self.class(), "bracket" | "oto") && self.parent.is_none()
    }

    /// The tick that triggered it.
    pub(super) fn triggered(&self) -> Option<&Triggered> {
        self.triggered.as_ref()
    }

    /// A price among what was asked for, as a split has left it.
    pub(in crate::audit) fn price_of(&self, field: &str) -> Option<Amount> {
        self.spec.get(field)?.as_str().and_then(Amount::read)
    }

    /// Shares still open; 0 of a notional order.
    pub(in crate::audit) fn leaves(&self) -> Amount {
        if self.left().is_some() { Amount::ZERO } else { self.qty - self.filled_qty }
    }

    /// The shares that it sells of those that are held, for dollars: what its last fill left open, and before that no more
    /// than they come to at the price that it was accepted by. `None` of another order.
    pub(super) fn sells_for_dollars(&self) -> Option<(Option<Amount>, Option<Amount>)> {
        let left = self.left().filter(|_| !self.is_buy)?;
        let at_most = self.reference.and_then(|price| left.shares_at(price));
        Some((self.open_shares, at_most))
    }

    /// What is left of the dollars of a notional order.
    pub(super) fn left(&self) -> Option<Amount> {
        Some(self.price_of("notional")? - self.filled_amount)
    }

    /// When its time is over: of one of options no later than at the close of its first contract, also where it was taken
    /// until later, as orders were whose options were traded until midnight.
    fn ends(&self) -> Option<i64> {
        let legs = self.legs.iter().filter_map(|leg| leg.terms.as_ref());
        let contracts = self.contract.iter().chain(legs);
        self.expires_at.into_iter().chain(contracts.filter_map(Terms::close)).min()
    }

    /// Takes one event of the order `id`.
    pub(super) fn apply(
        &mut self,
        id: Uuid,
        event_type: &str,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        let begins = matches!(event_type, "OrderPlaced" | "OrderRejected");
        findings.expect(
            begins == self.status.is_empty() && !self.is_terminal(),
            position,
            Code::Order,
            || {
                let status = if self.status.is_empty() { "not placed" } else { self.status };
                format!("{event_type} of an order that is {status}")
            },
        );
        let at = body.time("at")?;
        findings.expect(at >= self.updated_at, position, Code::Order, || {
            "the market time of the event is before that of the order's last one".into()
        });
        act.touched.insert(id);
        match event_type {
            "OrderPlaced" => {
                self.begin(body, at, act)?;
                self.status = if body.flag("held")? { "held" } else { "accepted" };
                self.reserve_price = body.amount_or_none("reserve_price")?;
                self.expires_at = body.time_or_none("expires_at")?;
                let reference = body.get("reference").is_some();
                self.reference =
                    if reference { Some(body.object("reference")?.amount("price")?) } else { None };
            }
            "OrderRejected" => {
                self.begin(body, at, act)?;
                self.status = "rejected";
                let reject = body.object("reject")?;
                reject.text("code")?;
                self.reject = Some(body.value("reject")?.clone());
            }
            "OrderActivated" => {
                self.must_be(&["held"], event_type, position, findings);
                self.status = "accepted";
                self.qty = body.amount("qty")?;
            }
            "OrderTriggered" => {
                self.must_be(&["accepted"], event_type, position, findings);
                self.status = "triggered";
                self.triggered_at = Some(at);
                self.triggered = Some(evidence::trigger(self, body, at, position, findings)?);
                self.mark = body.amount_or_none("mark")?;
                self.stop_price = Some(body.amount("stop_price")?);
                self.limit_price = body.amount_or_none("limit_price")?.or(self.limit_price);
            }
            "OrderFilled" => self.fill(id, body, at, act, findings)?,
            "OrderResized" => {
                let (revision, qty) = (body.whole("revision")?, body.amount("qty")?);
                let cause = body.text("cause")?;
                let held = self.status == "held";
                let right = revision == self.revision + 1
                    && qty > self.filled_qty
                    && (self.parent.is_some() || self.class() == "oco")
                    && match cause {
                        "entry_filled" => !held && qty > self.qty,
                        "entry_replaced" => held,
                        "sibling_filled" => !held && qty < self.qty,
                        "position_reduced" => {
                            self.lost += self.qty - qty;
                            !held && qty < self.qty && !act.fills.is_empty()
                        }
                        _ => false,
                    };
                findings.expect(right, position, Code::Order, || {
                    format!(
                        "it goes from {} to {qty} shares by {cause}, revision {revision}",
                        self.qty
                    )
                });
                (self.revision, self.qty) = (revision, qty);
            }
            "OrderReplaced" | "OrderAdjusted" => {
                let revision = body.whole("revision")?;
                findings.expect(revision == self.revision + 1, position, Code::Order, || {
                    format!("revision {revision} comes after {}", self.revision)
                });
                if event_type == "OrderReplaced" {
                    self.replaced_at = Some(at);
                    self.live_on(body)?;
                    self.reference =
                        self.reference.filter(|_| body.get("activation_price").is_none());
                } else {
                    self.follow_split(body, position, findings)?;
                    let first = self.splits.insert(body.text("action_id")?.to_owned());
                    findings.expect(first, position, Code::Order, || {
                        "it follows one split twice".into()
                    });
                }
                self.revision = revision;
                self.qty = body.amount("qty")?;
                self.limit_price = body.amount_or_none("limit_price")?;
                let trails = self.spec.get("trail").is_some();
                let triggered = self.stop_price.filter(|_| trails);
                self.stop_price = body.amount_or_none("stop_price")?.or(triggered);
                for field in ["trail", "limit_offset", "activation_price"] {
                    if let Some(value) = body.get(field) {
                        self.spec[field] = value.clone();
                    }
                }
                self.reserve_price = body.amount_or_none("reserve_price")?;
                findings.expect(self.leaves().sign() > 0, position, Code::Order, || {
                    format!("{} of {} are filled after {event_type}", self.filled_qty, self.qty)
                });
            }
            "OrderCanceled" | "OrderExpired" => {
                let leaves = body.amount("leaves_qty")?;
                findings.expect(leaves == self.leaves(), position, Code::Order, || {
                    format!("it ends with {leaves} open, and has {} open", self.leaves())
                });
                self.status = if event_type == "OrderCanceled" { "canceled" } else { "expired" };
                let reason = body.text("reason")?;
                let closed = reason == "position_closed";
                let may_be = !closed
                    || self.is_of_options()
                    || act.ends.any()
                    || self.is_exit() && !act.fills.is_empty();
                findings.expect(may_be, position, Code::Order, || {
                    format!("it ends by {reason}, and no fill took its shares")
                });
                self.reason = Some(reason.to_owned());
                self.ended_at = Some(at);
                let early =
                    event_type == "OrderExpired" && self.ends().is_none_or(|time| at < time);
                findings
                    .expect(!early, position, Code::Order, || "it expires before its time".into());
            }
            other => return Err(format!("an order has no event {other}")),
        }
        self.updated_at = at;
        Ok(())
    }

    /// What a replacement may change besides quantity and prices.
    fn live_on(&mut self, body: Fields<'_>) -> Result<(), Fault> {
        let Some(spec) = self.spec.as_object_mut() else { return Ok(()) };
        let mut set = |name: &str, value: Option<&Value>| match value {
            Some(value) => spec.insert(name.into(), value.clone()),
            None => spec.remove(name),
        };
        set("trail", body.value("trail").ok());
        if let Ok(lifetime) = body.object("lifetime") {
            let (rule, end) = (lifetime.value("time_in_force")?, lifetime.value("expires_at").ok());
            set("time_in_force", Some(rule));
            set("good_till", end.filter(|_| rule == "gtd"));
            self.expires_at = lifetime.time_or_none("expires_at")?;
        }
        Ok(())
    }

    fn must_be(&self, states: &[&str], event_type: &str, position: u64, findings: &mut Findings) {
        findings.expect(states.contains(&self.status), position, Code::Order, || {
            format!("{event_type} of an order that is {}", self.status)
        });
    }

    fn begin(&mut self, body: Fields<'_>, at: i64, act: &Act) -> Result<(), Fault> {
        let spec = body.object("order")?;
        self.spec = body.value("order")?.clone();
        self.account = spec.uuid("account_id")?;
        self.instrument = spec.uuid("instrument_id")?;
        self.symbol = spec.text("symbol")?.to_owned();
        self.parent =
            spec.get("parent_order_id").map(|_| spec.uuid("parent_order_id")).transpose()?;
        self.is_buy = is_buy(spec)?;
        self.order_type = spec.text("type")?.to_owned();
        self.contract = Terms::of(spec, "contract")?;
        self.legs = Leg::all(spec)?;
        self.client_order_id = spec.text("client_order_id")?.to_owned();
        self.qty = spec.amount("qty")?;
        self.limit_price = spec.amount_or_none("limit_price")?;
        self.stop_price = spec.amount_or_none("stop_price")?;
        self.tape_place = body.whole("tape_place")?;
        self.created_at = at;
        self.created_position = act.position;
        let notional = self.price_of("notional").is_some_and(|notional| notional.sign() > 0);
        let asks = if notional { self.qty.is_zero() } else { self.qty.sign() > 0 };
        if asks { Ok(()) } else { Err(format!("qty is {}", self.qty)) }
    }

    fn fill(
        &mut self,
        id: Uuid,
        body: Fields<'_>,
        at: i64,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        self.must_be(
            &["accepted", "triggered", "partially_filled"],
            "OrderFilled",
            position,
            findings,
        );
        let (qty, price) = (body.amount("qty")?, body.amount("price")?);
        let (amount, fees) = (body.money("amount")?, body.money("fees")?);
        let (filled, leaves) = (body.amount("filled_qty")?, body.amount("leaves_qty")?);
        let before = self.filled_qty;
        self.filled_qty += qty;
        self.filled_amount += amount;
        let shares = self.priced(qty).ok_or("the fill is of more shares than there are")?;
        let residue = shares.residue(price, amount).and_then(|rest| rest.plus(self.filled_residue));
        self.filled_residue = residue.ok_or("the cash of the fill is beyond every bound")?;
        self.fees += fees;
        self.fills += 1;
        let open = match self.left() {
            Some(left) => left.shares_at(price),
            None => Some(self.leaves()),
        };
        self.open_shares = Some(leaves);
        self.sold_out =
            self.sells_for_dollars().is_some() && open.is_some_and(|open| leaves < open);
        let sums = qty.sign() > 0
            && leaves.sign() >= 0
            && filled == self.filled_qty
            && (Some(leaves) == open || self.sold_out)
            && body.whole("n")? == self.fills
            && body.whole("revision")? == self.revision;
        findings.expect(sums, position, Code::Order, || {
            format!(
                "fill {} is of {qty} after {before} of {}, and states {filled} filled and {leaves} open",
                self.fills, self.qty
            )
        });
        let fill_id = body.uuid("fill_id")?;
        let pieces = self.pieces(fill_id, body, position, findings)?;
        findings.expect(fees.sign() >= 0, position, Code::Order, || format!("fees of {fees}"));
        let waits = self.order_type.contains("stop") && self.triggered.is_none();
        findings.expect(!waits, position, Code::Order, || "a stop fills before its trigger".into());
        if self.legs.is_empty() {
            evidence::check(self, price, body.object("evidence")?, at, position, findings)?;
        } else {
            evidence::check_legs(self, price, body, at, position, findings)?;
        }
        let rest = leaves.is_zero();
        if rest {
            self.qty = self.filled_qty;
        }
        self.status = if rest { "filled" } else { "partially_filled" };
        self.ended_at = rest.then_some(at);
        act.fills.push(Fill {
            id: fill_id,
            order: id,
            account: self.account,
            is_buy: self.is_buy,
            of_options: self.is_of_options(),
            amount,
            fees,
            pieces,
        });
        Ok(())
    }

    /// What a fill did, instrument by instrument: its amount is that of its price to the cent, or the sum of its legs.
    fn pieces(
        &mut self,
        id: Uuid,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<Vec<Piece>, Fault> {
        let (qty, price, amount) =
            (body.amount("qty")?, body.amount("price")?, body.money("amount")?);
        let told = if body.get("legs").is_some() { body.list("legs")? } else { Vec::new() };
        if self.legs.is_empty() {
            let exact = self.priced(qty).and_then(|shares| shares.cash(price));
            findings.expect(
                exact == Some(amount) && told.is_empty(),
                position,
                Code::Order,
                || format!("{qty} at {price} are {amount}"),
            );
            let (instrument, is_buy) = (self.instrument, self.is_buy);
            let contract = self.contract.clone();
            return Ok(vec![Piece { id, instrument, is_buy, qty, price, amount, contract }]);
        }
        let filled = options::fill(&mut self.legs, qty, &told)?;
        let right = filled.right && filled.net_price == price && filled.net_amount == amount;
        findings.expect(right, position, Code::Order, || {
            let (net, cash) = (filled.net_price, filled.net_amount);
            format!("{qty} at {price} are {amount}; the legs come to {net} and {cash}")
        });
        Ok(filled.pieces)
    }

    fn follow_split(
        &self,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let (numerator, denominator) = (body.amount("numerator")?, body.amount("denominator")?);
        let (leaves, qty) = (self.leaves(), body.amount("qty")?);
        let exact = leaves.scaled(numerator, denominator).ok_or("the split's ratio is none")?;
        // A sell out of a position that was whole stays whole, even if a fraction of it was open.
        let (open, whole) = (qty - self.filled_qty, exact - exact.fraction());
        let right = open == whole || (open == exact && !leaves.is_whole());
        findings.expect(right, position, Code::Order, || {
            format!("{leaves} open become {open} by {numerator} for {denominator}")
        });
        Ok(())
    }
}

/// Whether `side` is buy.
pub(super) fn is_buy(body: Fields<'_>) -> Result<bool, Fault> {
    match body.text("side")? {
        "buy" => Ok(true),
        "sell" => Ok(false),
        other => Err(format!("side is {other}")),
    }
}
