//! Why an instrument refuses.

use crate::money::{AmountError, Price};
use crate::refusal::{Refusal, RefusalCode};

/// Why an instrument refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// Nobody has listed it.
    #[error("there is no such instrument")]
    NotListed,
    /// It is in that state already.
    #[error("{0}")]
    AlreadyApplied(String),
    /// Only an option expires, or closes without a trade.
    #[error("{0} is no option: only options expire, or close at the middle of a quote")]
    NotAnOption(String),
    /// A close of a quote that is not its middle.
    #[error("{price} is not the middle of {bid} and {ask}")]
    NotTheMiddle {
        /// The close.
        price: Price,
        /// The bid.
        bid: Price,
        /// The ask.
        ask: Price,
    },
    /// A side of a split, a dividend or a close that is not above zero.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

impl From<InstrumentError> for Refusal {
    fn from(error: InstrumentError) -> Self {
        let code = match &error {
            InstrumentError::NotListed => RefusalCode::InstrumentNotFound,
            InstrumentError::NotAnOption(_) => RefusalCode::InvalidOrder,
            InstrumentError::AlreadyApplied(_) => RefusalCode::AlreadyApplied,
            InstrumentError::NotTheMiddle { .. } | InstrumentError::Amount(_) => {
                RefusalCode::InvalidAmount
            }
        };
        Self::new(code, error.to_string())
    }
}
