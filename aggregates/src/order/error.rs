//! Why an order refuses.

use super::state::OrderStatus;
use crate::money::{AmountError, Quantity};
use crate::refusal::{Refusal, RefusalCode};

/// What is wrong with a command to an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A field that the type lacks, does not take, or that is out of its range.
    #[error("{message}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and the next step.
        message: String,
    },
    /// The order exists already.
    #[error("the order exists already")]
    Exists,
    /// There is no such order.
    #[error("there is no such order")]
    NotFound,
    /// The order has ended.
    #[error("the order is {} and cannot be changed any more", .0.word())]
    NotOpen(OrderStatus),
    /// The command was decided on an older state of the order.
    #[error("the order has changed: revision {revision} with {fills} fills now")]
    Stale {
        /// The revision now.
        revision: u32,
        /// The number of fills now.
        fills: u32,
    },
    /// More than is open.
    #[error("{asked} shares are more than the {leaves} that are open")]
    Overfill {
        /// Shares asked for.
        asked: Quantity,
        /// Shares open.
        leaves: Quantity,
    },
    /// Part of an order that fills whole or not at all.
    #[error(
        "{asked} shares are not all of the {leaves} that are open, and a fok order fills whole"
    )]
    AllOrNothing {
        /// Shares asked for.
        asked: Quantity,
        /// Shares open.
        leaves: Quantity,
    },
    /// Nothing that can happen to an order in this state.
    #[error("that cannot happen to an order that is {}", .0.word())]
    OutOfTurn(OrderStatus),
    /// A replacement below what has filled.
    #[error(
        "qty {qty} is not more than the {filled} shares that have filled: cancel the order instead"
    )]
    BelowFilled {
        /// The quantity asked for.
        qty: Quantity,
        /// Shares filled.
        filled: Quantity,
    },
    /// An execution whose legs are not the order's, or whose net price is not theirs.
    #[error("the legs of the execution are not those of the order")]
    OtherLegs,
    /// A split that the order has followed before.
    #[error("the order has followed the split {0} before")]
    AlreadyAdjusted(String),
    /// A trigger by a tick that has not reached the order's stop.
    #[error("the tick has not reached the order's stop")]
    NotReached,
    /// A price beyond the order's limit.
    #[error("a fill at this price would break the order's limit")]
    BeyondLimit,
    /// An amount that cannot be held.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        let code = match &error {
            OrderError::Malformed { .. } | OrderError::BelowFilled { .. } => {
                RefusalCode::InvalidOrder
            }
            OrderError::NotFound => RefusalCode::OrderNotFound,
            OrderError::NotOpen(_) => RefusalCode::OrderNotOpen,
            OrderError::Exists
            | OrderError::Stale { .. }
            | OrderError::Overfill { .. }
            | OrderError::AllOrNothing { .. }
            | OrderError::OtherLegs
            | OrderError::OutOfTurn(_)
            | OrderError::NotReached
            | OrderError::BeyondLimit => RefusalCode::OrderChanged,
            OrderError::AlreadyAdjusted(_) => RefusalCode::AlreadyApplied,
            OrderError::Amount(_) => RefusalCode::InvalidAmount,
        };
        let refusal = Refusal::new(code, error.to_string());
        match error {
            OrderError::Malformed { field, .. } => refusal.field(field),
            OrderError::BelowFilled { qty, filled } => {
                refusal.field("qty").figure("qty", qty).figure("filled_qty", filled)
            }
            OrderError::NotOpen(status) => refusal.figure("status", status.word()),
            _ => refusal,
        }
    }
}
