//! Who is calling, who may act, and what the log is told of it.

pub mod access;
pub mod facts;
mod operator;
pub mod passwords;
pub mod secret;

pub use operator::OperatorToken;
pub use secret::SecretError;
