//! Who is calling, what they may do, and what the log is told of it.

pub mod access;
pub mod acts;
pub mod facts;
mod operator;
pub mod passwords;
mod principal;
mod rates;
pub mod secret;

pub use acts::{Act, Reach, Rule, Showing};
pub use operator::OperatorToken;
pub use principal::{AgentToken, Denied, Principal, UserSession, suffices};
pub use rates::{Rates, Slow};
pub use secret::SecretError;
