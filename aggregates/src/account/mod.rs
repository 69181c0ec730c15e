//! An account: its cash, what of it is reserved for which order, fees, policy. Stream id: `<account_id>`.

mod aggregate;
mod command;
mod error;
mod event;
mod grants;

pub use aggregate::Account;
pub use command::{AccountCommand, PolicyChange};
pub use error::AccountError;
pub use event::{
    AccountEvent, AccountKind, Policy, ReleaseReason, ReservationChange, TradingState,
};
pub use grants::Grant;
