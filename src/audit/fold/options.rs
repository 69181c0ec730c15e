//! Options in orders and in their fills: what a contract is on, what legs there are, and what a fill of them comes to.

use chrono::NaiveDate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::amount::{Amount, Residue};
use super::fields::{Fault, Fields};
use super::order::is_buy;
use crate::market::calendar::options_expire_at;

/// What an option is, as far as sums depend on it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::audit) struct Terms {
    /// As events have it.
    pub(in crate::audit) told: Value,
    pub(super) underlying: Uuid,
    pub(super) expiration: String,
    pub(super) is_call: bool,
    pub(super) strike: Amount,
    /// Shares that one contract is on.
    pub(super) shares: Amount,
}

impl Terms {
    /// When it is traded last, in microseconds; `None` where its expiration is no date.
    pub(super) fn close(&self) -> Option<i64> {
        let expiration: NaiveDate = self.expiration.parse().ok()?;
        Some(options_expire_at(expiration).timestamp_micros())
    }

    /// The contract in a field that may be absent.
    pub(super) fn of(body: Fields<'_>, name: &str) -> Result<Option<Self>, Fault> {
        if body.get(name).is_none() {
            return Ok(None);
        }
        let terms = body.object(name)?;
        let is_call = match terms.text("right")? {
            "call" => true,
            "put" => false,
            other => return Err(format!("an option is a {other}")),
        };
        Ok(Some(Self {
            told: body.value(name)?.clone(),
            underlying: terms.uuid("underlying_id")?,
            expiration: terms.text("expiration")?.to_owned(),
            is_call,
            strike: terms.amount("strike")?,
            shares: terms.amount("shares")?,
        }))
    }

    /// What one share of it is in the money by.
    pub(in crate::audit) fn intrinsic(&self, price: Amount) -> Amount {
        let gain = if self.is_call { price - self.strike } else { self.strike - price };
        gain.max(Amount::ZERO)
    }

    /// What the exercise of so many contracts pays for the shares.
    pub(super) fn exercise(&self, contracts: Amount) -> Option<Amount> {
        contracts.times(self.shares)?.cash(self.strike)
    }
}

/// The shares that so many of something are on.
pub(super) fn shares_of(terms: Option<&Terms>, qty: Amount) -> Option<Amount> {
    terms.map_or(Some(qty), |terms| qty.times(terms.shares))
}

/// One leg of an order.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Leg {
    pub(super) instrument: Uuid,
    symbol: String,
    pub(super) is_buy: bool,
    ratio: u64,
    intent: Option<String>,
    pub(super) terms: Option<Terms>,
    filled: Amount,
    amount: Amount,
    residue: Residue,
}

/// What one execution of an order did in one instrument.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Piece {
    pub(super) id: Uuid,
    pub(super) instrument: Uuid,
    pub(super) is_buy: bool,
    pub(super) qty: Amount,
    pub(super) price: Amount,
    pub(super) amount: Amount,
    /// What the order takes it as, if it is an option.
    pub(super) contract: Option<Terms>,
}

impl Leg {
    /// The legs of an order as it was asked for.
    pub(super) fn all(spec: Fields<'_>) -> Result<Vec<Self>, Fault> {
        if spec.get("legs").is_none() {
            return Ok(Vec::new());
        }
        let read = |leg: Fields<'_>| {
            let intent = leg.get("position_intent").and_then(Value::as_str).map(str::to_owned);
            Ok(Self {
                instrument: leg.uuid("instrument_id")?,
                symbol: leg.text("symbol")?.to_owned(),
                is_buy: is_buy(leg)?,
                ratio: leg.whole("ratio_qty")?,
                intent,
                terms: Terms::of(leg, "contract")?,
                filled: Amount::ZERO,
                amount: Amount::ZERO,
                residue: Residue::default(),
            })
        };
        spec.list("legs")?.into_iter().map(read).collect()
    }

    /// Whether it opens a position.
    pub(super) fn opens(&self) -> bool {
        self.intent.as_deref().is_some_and(|intent| intent.ends_with("_to_open"))
    }

    /// How many of it so many packages have.
    pub(super) fn qty_of(&self, packages: Amount) -> Option<Amount> {
        packages.times(Amount::whole(self.ratio))
    }

    /// As the view has it.
    pub(in crate::audit) fn shown(&self) -> Value {
        json!({
            "instrument_id": self.instrument,
            "symbol": self.symbol,
            "side": if self.is_buy { "buy" } else { "sell" },
            "ratio_qty": self.ratio,
            "position_intent": self.intent,
            "contract": self.terms.as_ref().map(|terms| &terms.told),
            "filled_qty": self.filled.to_string(),
            "filled_amount": self.amount.dollars(),
            "filled_residue": self.residue.to_string(),
        })
    }

    /// Takes what a fill of so many packages says of it. Whether that is right comes back, what it moved, and what it adds
    /// to the price of one package.
    fn fill(&mut self, packages: Amount, told: Fields<'_>) -> Result<(bool, Piece, Amount), Fault> {
        let unbounded = "a leg is beyond every bound";
        let (qty, price, amount) =
            (told.amount("qty")?, told.amount("price")?, told.money("amount")?);
        let shares = shares_of(self.terms.as_ref(), qty).ok_or(unbounded)?;
        let right = told.uuid("instrument_id")? == self.instrument
            && told.text("symbol")? == self.symbol
            && Some(told.text("position_intent")?) == self.intent.as_deref()
            && Some(qty) == self.qty_of(packages)
            && shares.cash(price) == Some(amount)
            && price.sign() >= 0;
        self.filled += qty;
        self.amount += amount;
        let residue = shares.residue(price, amount).and_then(|rest| rest.plus(self.residue));
        self.residue = residue.ok_or(unbounded)?;
        let each = shares_of(self.terms.as_ref(), Amount::whole(self.ratio)).ok_or(unbounded)?;
        let each = each.hundredth().and_then(|part| part.times(price)).ok_or(unbounded)?;
        let piece = Piece {
            id: told.uuid("fill_id")?,
            instrument: self.instrument,
            is_buy: self.is_buy,
            qty,
            price,
            amount,
            contract: self.terms.clone(),
        };
        Ok((right, piece, if self.is_buy { each } else { -each }))
    }
}

/// A fill of several legs.
pub(super) struct Filled {
    pub(super) pieces: Vec<Piece>,
    /// The legs are those of the order, each for its part and to the cent.
    pub(super) right: bool,
    /// What one package costs by the prices of its legs.
    pub(super) net_price: Amount,
    /// What the legs cost less what they brought.
    pub(super) net_amount: Amount,
}

/// Takes a fill of so many packages.
pub(super) fn fill(
    legs: &mut [Leg],
    packages: Amount,
    told: &[Fields<'_>],
) -> Result<Filled, Fault> {
    let mut filled = Filled {
        pieces: Vec::new(),
        right: legs.len() == told.len(),
        net_price: Amount::ZERO,
        net_amount: Amount::ZERO,
    };
    for (leg, told) in legs.iter_mut().zip(told) {
        let (right, piece, part) = leg.fill(packages, *told)?;
        filled.right &= right;
        filled.net_price += part;
        filled.net_amount += if piece.is_buy { piece.amount } else { -piece.amount };
        filled.pieces.push(piece);
    }
    Ok(filled)
}
