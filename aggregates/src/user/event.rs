//! What has happened to a user. Neither a secret nor personal data stands in here.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Denial, Scope, TokenLimits};
use crate::id::{AccountId, ClientId, FactId, SessionId, TokenId, UserId};

/// On whose word something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The user's own.
    User,
    /// The operator's.
    Operator,
}

/// By which way somebody registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Registration was open.
    Open,
    /// An invitation, which is used up by it.
    Invitation,
    /// The operator did it.
    Operator,
}

/// Why a log-in was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogInRefusal {
    /// The password was wrong.
    WrongPassword,
    /// The user is disabled.
    Disabled,
    /// There were too many tries before it. Recorded once a minute at the most.
    Throttled,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// It logged itself out.
    LoggedOut,
    /// The user ended it from another session, or by logging in too often.
    EndedByUser,
    /// A refresh token of it was used twice.
    Reuse,
    /// The password changed.
    PasswordChanged,
    /// The user was disabled.
    Disabled,
    /// The user was forgotten.
    Forgotten,
    /// Its time was over.
    Expired,
}

/// Why a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenEnd {
    /// Its user revoked it.
    Revoked,
    /// The operator revoked it.
    RevokedByOperator,
    /// The user was forgotten.
    Forgotten,
}

/// The face that a token was shown over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Face {
    /// REST.
    Rest,
    /// MCP.
    Mcp,
}

macro_rules! user_events {
    ($($(#[$doc:meta])* $variant:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* })+) => {
        /// Facts of a user, written as `{"LoggedIn": {…}}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum UserEvent {
            $(
                $(#[$doc])*
                $variant {
                    /// The fact: recorded once, however often it is carried to the log.
                    fact_id: FactId,
                    /// When it happened, by the wall clock.
                    at: DateTime<Utc>,
                    $($(#[$about])* $field: $type,)*
                },
            )+
        }

        impl UserEvent {
            /// The fact.
            pub fn fact_id(&self) -> FactId {
                match self { $(Self::$variant { fact_id, .. })|+ => *fact_id }
            }
        }
    };
}

user_events! {
    /// The operator made a code that lets one person register, as this user.
    UserInvited {
        /// The id that whoever registers by it will have.
        user_id: UserId,
        /// When it is over.
        expires_at: DateTime<Utc>,
    }
    /// Somebody registered and has a tenant.
    UserRegistered {
        /// The id, also the actor's in metadata.
        user_id: UserId,
        /// By which way.
        by: Door,
    }
    /// A session began.
    LoggedIn {
        /// The session.
        session_id: SessionId,
        /// The browser or program.
        client_id: ClientId,
    }
    /// A log-in was refused.
    LogInRefused {
        /// Why.
        reason: LogInRefusal,
    }
    /// A session went on by its refresh token.
    SessionRefreshed {
        /// The session.
        session_id: SessionId,
    }
    /// A refresh token was used a second time: somebody may have stolen it.
    RefreshReused {
        /// The session, which ends by it.
        session_id: SessionId,
    }
    /// A session ended, with its access tokens.
    SessionEnded {
        /// The session.
        session_id: SessionId,
        /// Why.
        reason: SessionEnd,
    }
    /// The address that the user logs in with is another.
    EmailChanged {}
    /// The password is another.
    PasswordChanged {
        /// On whose word.
        by: By,
    }
    /// The same password is kept under stronger parameters.
    PasswordRehashed {}
    /// The user may not log in or act any more.
    UserDisabled {
        /// On whose word.
        by: By,
    }
    /// The user may log in again.
    UserEnabled {
        /// On whose word.
        by: By,
    }
    /// What was known of the person is erased.
    UserForgotten {
        /// On whose word.
        by: By,
    }
    /// The user made a token for an agent.
    TokenMade {
        /// The token.
        token_id: TokenId,
        /// What it may be used for.
        scopes: BTreeSet<Scope>,
        /// The only accounts that it reaches; absent for all that the user reaches.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accounts: Option<BTreeSet<AccountId>>,
        /// What it may do at the most.
        limits: TokenLimits,
        /// When it stops; absent for never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
    }
    /// A token was shown for the first time.
    TokenFirstUsed {
        /// The token.
        token_id: TokenId,
        /// Over which face.
        interface: Face,
    }
    /// A token may not write any more.
    TokenHalted {
        /// The token.
        token_id: TokenId,
    }
    /// A halted token may write again.
    TokenResumed {
        /// The token.
        token_id: TokenId,
    }
    /// A token ended.
    TokenRevoked {
        /// The token.
        token_id: TokenId,
        /// Why.
        reason: TokenEnd,
    }
    /// Something that the user could reach was not permitted.
    AccessDenied {
        /// What was tried.
        act: String,
        /// On which account, if on one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_id: Option<AccountId>,
        /// Why.
        reason: Denial,
        /// By which token, if by one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_id: Option<TokenId>,
    }
}
