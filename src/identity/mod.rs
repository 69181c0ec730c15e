//! Who is calling.

mod operator;

pub use operator::{OperatorToken, OperatorTokenError};
