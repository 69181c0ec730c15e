//! Why a change of identity was not made, in words that tell a stranger nothing of who is registered.

use std::time::Duration;

use super::access::AccessError;
use super::email::NoEmail;
use super::passwords::{HashError, Unfit};
use super::secret::SecretError;

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// An address that is none.
    #[error(transparent)]
    Email(#[from] NoEmail),
    /// A password that is not taken.
    #[error(transparent)]
    Password(#[from] Unfit),
    /// Somebody has the address already.
    #[error("a user with this address is registered: log in, or use another address")]
    EmailTaken,
    /// Nobody may register.
    #[error(
        "registration is closed: the operator makes users, by `blotter user add` where the server runs"
    )]
    RegistrationClosed,
    /// Only who is invited may register.
    #[error(
        "registration is by invitation: send as invitation the code of one; none was sent, or it is unknown, used or over: ask the operator for another"
    )]
    NotInvited,
    /// Address or password are wrong, or the user may not log in: the three read the same.
    #[error("address or password are wrong")]
    WrongCredentials,
    /// The password of somebody who is logged in is wrong.
    #[error("the password is wrong: send your present one")]
    WrongPassword,
    /// A new password that is the present one.
    #[error("the new password is the present one: choose another")]
    SamePassword,
    /// Too many tries.
    #[error("too many tries: come back in {} s", whole_seconds(*.0))]
    Throttled(Duration),
    /// A refresh token that was used, is over, or was never made: they read the same.
    #[error("the session is over: log in again")]
    SessionOver,
    /// No such user.
    #[error("there is no such user")]
    NoUser,
    /// No such session, or not the caller's.
    #[error("there is no such session")]
    NoSession,
    /// Too many passwords are being checked.
    #[error("too many log-ins at once: try again in a second")]
    Busy,
    /// What is ended elsewhere cannot be known now.
    #[error("sessions cannot be checked now: try again in a second")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A defect of this program, or of its secrets.
    #[error("{0}")]
    Defect(String),
}

/// Seconds until a wait is over, never less than it takes.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl IdentityError {
    /// The machine word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Email(_) => "invalid_email",
            Self::Password(_) => "unfit_password",
            Self::EmailTaken => "email_taken",
            Self::RegistrationClosed => "registration_closed",
            Self::NotInvited => "not_invited",
            Self::WrongCredentials => "wrong_credentials",
            Self::WrongPassword => "wrong_password",
            Self::SamePassword => "same_password",
            Self::Throttled(_) => "throttled",
            Self::SessionOver => "session_over",
            Self::NoUser => "user_not_found",
            Self::NoSession => "session_not_found",
            Self::Busy => "busy",
            Self::Stale | Self::Database(_) => "unavailable",
            Self::Defect(_) => "defect",
        }
    }
}

impl From<HashError> for IdentityError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed(message) => Self::Defect(message),
        }
    }
}

impl From<getrandom::Error> for IdentityError {
    fn from(error: getrandom::Error) -> Self {
        Self::Defect(format!("the system gives no random bytes: {error}"))
    }
}

impl From<AccessError> for IdentityError {
    /// Of signing: reading says only that a token is invalid.
    fn from(error: AccessError) -> Self {
        Self::Defect(error.to_string())
    }
}

impl From<SecretError> for IdentityError {
    fn from(error: SecretError) -> Self {
        Self::Defect(error.to_string())
    }
}
