//! Who is calling.

pub mod access;
mod operator;
pub mod passwords;
pub mod secret;

pub use operator::OperatorToken;
pub use secret::SecretError;
