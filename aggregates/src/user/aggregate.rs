//! The User aggregate: registered, disabled or forgotten, and which facts it has.

use serde::{Deserialize, Serialize};

use super::command::{UserCommand, UserError};
use super::event::UserEvent;
use crate::id::{FactId, UserId};
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// How many of its last facts a user remembers, to know one that is carried again. Whoever carries facts has at most
/// so many of one user under way.
pub const FACTS_REMEMBERED: usize = 64;

/// One user. `Default` is somebody who has not registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    user_id: Option<UserId>,
    state: UserState,
    recent_facts: Vec<FactId>,
}

/// Whether a user may log in. Somebody who has not registered may not, whatever it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// Yes.
    #[default]
    Active,
    /// Not until the operator says so.
    Disabled,
    /// Not before registering, which an invitation lets one person do.
    Invited,
    /// Never again: nothing is known of the person any more.
    Forgotten,
}

event_sourced!(User, "user", UserCommand, UserEvent {
    UserInvited "1.0",
    UserRegistered "1.0",
    LoggedIn "1.0",
    LogInRefused "1.0",
    SessionRefreshed "1.0",
    RefreshReused "1.0",
    SessionEnded "1.0",
    EmailChanged "1.0",
    PasswordChanged "1.0",
    PasswordRehashed "1.0",
    UserDisabled "1.0",
    UserEnabled "1.0",
    UserForgotten "1.0",
    TokenMade "1.0",
    TokenFirstUsed "1.0",
    TokenHalted "1.0",
    TokenResumed "1.0",
    TokenRevoked "1.0",
    AccessDenied "1.0",
}, UserError);

impl User {
    /// The id, once registered.
    pub fn user_id(&self) -> Option<UserId> {
        self.user_id
    }

    /// Whether the user may log in.
    pub fn state(&self) -> UserState {
        self.state
    }
}

impl Decide for User {
    fn decide(&self, command: &UserCommand, _: &Rules) -> Result<Vec<UserEvent>, UserError> {
        let UserCommand::Record(fact) = command;
        let begins =
            matches!(fact, UserEvent::UserInvited { .. } | UserEvent::UserRegistered { .. });
        if self.user_id.is_none() && !begins {
            return Err(UserError::NotRegistered);
        }
        let so_already = match fact {
            UserEvent::UserInvited { .. } => {
                self.user_id.is_some() || self.state == UserState::Invited
            }
            UserEvent::UserRegistered { .. } => self.user_id.is_some(),
            UserEvent::UserDisabled { .. } => self.state != UserState::Active,
            UserEvent::UserEnabled { .. } => self.state != UserState::Disabled,
            UserEvent::UserForgotten { .. } => self.state == UserState::Forgotten,
            _ => false,
        };
        if so_already || self.recent_facts.contains(&fact.fact_id()) {
            return Ok(Vec::new());
        }
        Ok(vec![fact.clone()])
    }

    fn evolve(&mut self, event: &UserEvent) -> Result<(), Impossible> {
        let fact_id = event.fact_id();
        if self.recent_facts.contains(&fact_id) {
            return Err(Impossible(format!("fact {fact_id} was recorded twice")));
        }
        match (event, self.user_id, self.state) {
            (UserEvent::UserInvited { .. }, None, UserState::Active) => {
                self.state = UserState::Invited;
            }
            (UserEvent::UserInvited { .. }, _, _) => {
                return Err(Impossible("a user was invited twice, or after registering".into()));
            }
            (UserEvent::UserRegistered { user_id, .. }, None, _) => {
                (self.user_id, self.state) = (Some(*user_id), UserState::Active);
            }
            (UserEvent::UserRegistered { .. }, Some(_), _) => {
                return Err(Impossible("a user registered twice".into()));
            }
            (_, None, _) => return Err(Impossible("an event before UserRegistered".into())),
            (UserEvent::UserDisabled { .. }, _, UserState::Active) => {
                self.state = UserState::Disabled;
            }
            (UserEvent::UserEnabled { .. }, _, UserState::Disabled) => {
                self.state = UserState::Active;
            }
            (UserEvent::UserForgotten { .. }, _, UserState::Active | UserState::Disabled) => {
                self.state = UserState::Forgotten;
            }
            (
                UserEvent::UserDisabled { .. }
                | UserEvent::UserEnabled { .. }
                | UserEvent::UserForgotten { .. },
                _,
                state,
            ) => return Err(Impossible(format!("{event:?} of a user who is {state:?}"))),
            _ => {}
        }
        self.recent_facts.push(fact_id);
        if self.recent_facts.len() > FACTS_REMEMBERED {
            self.recent_facts.remove(0);
        }
        Ok(())
    }
}
