//! What backs an account: margin, buying power, and what is out of the ordinary about it.
//!
//! A cash account pays with its cash. A margin account is told by the prices at hand; without one of them, or with a
//! figure beyond the bound of money, its margin and buying power are absent.

use aggregates::account::AccountKind;
use aggregates::margin::Requirement;
use aggregates::money::{AmountError, Price, Quantity};
use projections::accounts::AccountRow;

use super::Value;

/// What has to back holdings, together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backed {
    initial: Value,
    maintenance: Value,
}

impl Backed {
    /// The same with one more holding; `None` if its figures cannot be held.
    pub(super) fn with(self, qty: Quantity, price: Price) -> Option<Self> {
        let Requirement { initial, maintenance, .. } = Requirement::of(qty, price).ok()?;
        Some(Self {
            initial: self.initial.plus(initial).ok()?,
            maintenance: self.maintenance.plus(maintenance).ok()?,
        })
    }
}

/// How an account is backed.
#[derive(Clone, Debug, Default)]
pub(super) struct Backing {
    pub(super) initial: Option<Value>,
    pub(super) maintenance: Option<Value>,
    pub(super) buying_power: Option<Value>,
    pub(super) flags: Vec<&'static str>,
}

impl Backing {
    /// Of an account with this equity and these requirements, as far as they are known.
    ///
    /// # Errors
    /// A figure cannot be held.
    pub(super) fn of(
        row: &AccountRow,
        equity: Option<Value>,
        backed: Option<Backed>,
    ) -> Result<Self, AmountError> {
        if row.kind == AccountKind::Cash {
            let deficit = row.cash.is_negative();
            return Ok(Self {
                initial: Some(Value::default()),
                maintenance: Some(Value::default()),
                buying_power: Some(row.cash.minus(row.reserved)?.into()),
                flags: deficit.then_some("deficit").into_iter().collect(),
            });
        }
        let Some((equity, Backed { initial, maintenance })) = equity.zip(backed) else {
            return Ok(Self::default());
        };
        let free = equity.minus(initial)?.minus(row.reserved)?.max(Value::default());
        let flags = [
            (equity < maintenance).then_some("margin_call"),
            equity.is_negative().then_some("deficit"),
        ];
        Ok(Self {
            initial: Some(initial),
            maintenance: Some(maintenance),
            buying_power: Some(free.plus(free)?),
            flags: flags.into_iter().flatten().collect(),
        })
    }
}
