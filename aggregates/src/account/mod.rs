//! An account: its cash, what orders reserve of it (of a margin account: of its margin), fees, policy. Stream id: `<account_id>`.

mod aggregate;
mod command;
mod error;
mod event;
mod grants;
mod losses;
mod paying;
mod policy;
mod stopping;

pub use aggregate::Account;
pub use command::{AccountCommand, Opening};
pub use error::AccountError;
pub use event::{AccountEvent, AccountKind, ReleaseReason, ReservationChange, TradingState};
pub use grants::Grant;
pub use losses::{LossLimit, LossStop, Losses, Reached, Worth};
pub use policy::{Policy, PolicyChange};
