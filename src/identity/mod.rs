//! Who is calling, what they may do, and what the log is told of it.

pub mod access;
mod access_keys;
pub mod acts;
pub mod bounds;
mod denials;
pub mod desk;
pub mod email;
mod error;
pub mod facts;
pub mod grants;
mod opaque;
mod operator;
pub mod passwords;
mod presence;
mod principal;
mod rates;
mod refusing;
pub mod registering;
mod revocations;
pub mod secret;
pub mod sessions;
mod throttle;
pub mod tokens;
mod turns;
pub mod usage;
pub mod users;

pub use acts::{Act, Reach, Rule, Showing};
pub use denials::Denials;
pub use desk::Identity;
pub use error::{IdentityError, whole_seconds};
pub use operator::OperatorToken;
pub use presence::Held;
pub use principal::{AgentToken, Denied, Principal, UserSession, suffices};
pub use rates::{Rates, Slow};
pub use secret::SecretError;
