//! A user: what was done with an identity, in the order in which it was done. Stream id: `<user_id>`.
//!
//! Who may log in, sessions, tokens and grants are decided and kept in tables, strongly consistent; this stream holds
//! the facts about them, written in the same transaction and carried to the log after it. So a fact is never refused:
//! it has happened. It holds ids alone, neither a secret nor personal data.

mod access;
mod aggregate;
mod command;
mod event;

pub use access::{Denial, GrantRole, OfferEnd, Scope, TokenLimits, UnknownWord};
pub use aggregate::{FACTS_REMEMBERED, User, UserState};
pub use command::{UserCommand, UserError};
pub use event::{By, Door, Face, LogInRefusal, SessionEnd, TokenEnd, UserEvent};
