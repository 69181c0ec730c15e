//! What a user's stream is asked to record, and what it refuses.

use super::event::UserEvent;
use crate::id::UserId;
use crate::refusal::{Refusal, RefusalCode};

/// Commands of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum UserCommand {
    /// Record a fact. Recorded once, however often it is sent.
    Record(UserEvent),
}

impl UserCommand {
    /// Lets a command pass that does not name another user than the one whom it is sent to.
    pub(crate) fn is_of(&self, id: UserId) -> Result<(), UserError> {
        match self {
            Self::Record(
                UserEvent::UserInvited { user_id, .. } | UserEvent::UserRegistered { user_id, .. },
            ) if *user_id != id => Err(UserError::NotRegistered),
            Self::Record(_) => Ok(()),
        }
    }
}

/// What is wrong with a command to a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A fact of somebody who never registered.
    #[error("there is no such user")]
    NotRegistered,
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        Self::new(RefusalCode::UserNotFound, error.to_string())
    }
}
