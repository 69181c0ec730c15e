//! Why a position refuses.

use crate::money::{AmountError, Quantity};
use crate::refusal::{Refusal, RefusalCode};

/// What is wrong with a command to a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// More shares than are held and free.
    #[error(
        "the order needs {asked} shares, {available} are available ({held} held, {reserved} of them reserved for open orders): lower the quantity, or cancel open orders first"
    )]
    InsufficientShares {
        /// Shares asked for.
        asked: Quantity,
        /// Held less reserved.
        available: Quantity,
        /// Shares held.
        held: Quantity,
        /// Shares reserved.
        reserved: Quantity,
    },
    /// No such reservation, or a second one.
    #[error("no such reservation of shares")]
    NoReservation,
    /// Nothing is held that could end so, or be instructed about.
    #[error("{held} contracts are held: they cannot end as {how}")]
    CannotEnd {
        /// Contracts held; negative is short.
        held: Quantity,
        /// How it was to end.
        how: &'static str,
    },
    /// Another contract is held under the same symbol.
    #[error(
        "{symbol} is held as {held}, which the order did not take: close it by an order of what is held"
    )]
    OtherContract {
        /// The symbol.
        symbol: String,
        /// What it is held as.
        held: String,
    },
    /// A difference is paid in cash and its price is not known.
    #[error("the option is settled at a price that is not known")]
    NoSettlementPrice,
    /// The corporate action was applied before.
    #[error("the corporate action {0} was applied to this position before")]
    AlreadyApplied(String),
    /// A fraction has to be paid and there is no price to pay it at.
    #[error("a fraction of a share has to be paid out and there is no last close to pay it at")]
    NoLastClose,
    /// An amount that cannot be held.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

impl From<PositionError> for Refusal {
    fn from(error: PositionError) -> Self {
        let code = match &error {
            PositionError::InsufficientShares { .. } => RefusalCode::InsufficientShares,
            PositionError::CannotEnd { .. } => RefusalCode::InsufficientShares,
            PositionError::NoSettlementPrice => RefusalCode::NoMark,
            PositionError::NoReservation => RefusalCode::OrderChanged,
            PositionError::OtherContract { .. } => RefusalCode::InvalidOrder,
            PositionError::AlreadyApplied(_) => RefusalCode::AlreadyApplied,
            PositionError::NoLastClose => RefusalCode::NoReferencePrice,
            PositionError::Amount(_) => RefusalCode::InvalidAmount,
        };
        let refusal = Self::new(code, error.to_string());
        match error {
            PositionError::InsufficientShares { asked, available, held, reserved } => refusal
                .figure("asked", asked)
                .figure("available", available)
                .figure("held", held)
                .figure("reserved", reserved),
            _ => refusal,
        }
    }
}
