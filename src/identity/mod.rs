//! Who is calling.

mod operator;
pub mod secret;

pub use operator::OperatorToken;
pub use secret::SecretError;
