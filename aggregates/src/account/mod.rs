//! An account: its cash, what orders reserve of it (of a margin account: of its margin), fees, policy. Stream id: `<account_id>`.

mod aggregate;
mod command;
mod error;
mod event;
mod grants;
mod paying;

pub use aggregate::Account;
pub use command::{AccountCommand, Opening, PolicyChange};
pub use error::AccountError;
pub use event::{
    AccountEvent, AccountKind, Policy, ReleaseReason, ReservationChange, TradingState,
};
pub use grants::Grant;
