//! An instrument and what is true of it for everyone: listed, halted, resumed, split, dividend, official close, expiry.
//! Stream id: `<instrument_id>`, in the market's tenant.

mod adjustment;
mod aggregate;
mod command;
mod contract;
mod error;
mod event;
mod terms;

pub use adjustment::Adjustment;
pub use aggregate::Instrument;
pub use command::InstrumentCommand;
pub use contract::{Contract, ContractError, MULTIPLIER, Right};
pub use error::InstrumentError;
pub use event::{
    ClosingQuote, Dividend, DividendStage, Expired, InstrumentEvent, InstrumentKind, Split,
};
pub use terms::{ExerciseStyle, OptionEnd, OptionTerms, Settlement};
