//! Who showed what: a principal is known, and nothing is permitted yet.
//!
//! [`Principal::may`] says what can be said without looking at any account; whose account it is, and the role of a grant
//! on it, come after that. A refusal names what would be needed, and says nothing of what there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregates::id::{
    AccountId, ActorId, ClientId, OPERATOR, OPERATOR_TENANT, SessionId, TenantId, TokenId, UserId,
};
use aggregates::user::{GrantRole, Scope, TokenLimits};

use super::acts::{Act, Reach, Showing};
use super::usage::LimitHit;

/// What the operator's token is called in the metadata of events.
const OPERATOR_TOKEN: &str = "operator";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Who runs the server.
    Operator,
    /// A user who logged in.
    User(UserSession),
    /// An agent, by the token that a user gave it.
    Token(Arc<AgentToken>),
}

/// A user who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSession {
    /// Who.
    pub user_id: UserId,
    /// The user's own tenant.
    pub tenant: TenantId,
    /// The session.
    pub session_id: SessionId,
    /// The browser or program that logged in.
    pub client_id: ClientId,
}

/// A token, as far as it matters to who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentToken {
    /// Which one, never the token itself.
    pub token_id: TokenId,
    /// Whose it is.
    pub user_id: UserId,
    /// That user's own tenant.
    pub tenant: TenantId,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The accounts that it may be used on; all of the user's if absent.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// What it may do at the most.
    pub limits: TokenLimits,
    /// It was halted: it may still read.
    pub halted: bool,
}

/// Why a principal may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is for the operator.
    #[error("{} is for the operator alone", .0.doing())]
    OperatorOnly(Act),
    /// It is for a user who logged in.
    #[error(
        "{} is for a user who logged in: POST /v1/sessions, and show the access token of its answer",
        .0.doing()
    )]
    UsersOnly(Act),
    /// The token has not the scope.
    #[error(
        "{} needs a token with the scope {scope}: have one made with it, or use another", .act.doing()
    )]
    Scope {
        /// What was asked for.
        act: Act,
        /// What it needs.
        scope: Scope,
    },
    /// The role on the account is too small.
    #[error(
        "{} needs the role {} on this account, and yours is {role}: ask its owner for it",
        .act.doing(),
        one_of(.act.rule().roles)
    )]
    Role {
        /// What was asked for.
        act: Act,
        /// The role that there is.
        role: GrantRole,
    },
    /// It goes beyond a limit of the token.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// The token is for the accounts that it names.
    #[error(
        "this token is for the accounts that it names, and {} makes another: use one that names none",
        .0.doing()
    )]
    Elsewhere(Act),
    /// The token was halted.
    #[error("this token was halted: it may read, and {} is more than that", .0.doing())]
    Halted(Act),
}

fn one_of(roles: &[GrantRole]) -> String {
    let words: Vec<_> = roles.iter().map(|role| role.word()).collect();
    words.join(" or ")
}

impl Denied {
    /// The machine word, the same over REST and MCP.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OperatorOnly(_) | Self::UsersOnly(_) | Self::Role { .. } | Self::Elsewhere(_) => {
                "forbidden"
            }
            Self::Limit(_) => "token_limit",
            Self::Scope { .. } => "insufficient_scope",
            Self::Halted(_) => "token_halted",
        }
    }
}

impl Principal {
    /// Who acts.
    pub fn actor(&self) -> ActorId {
        match self {
            Self::Operator => OPERATOR,
            Self::User(session) => session.user_id.actor(),
            Self::Token(token) => token.user_id.actor(),
        }
    }

    /// The id of what it showed, never the thing itself.
    pub fn token_id(&self) -> String {
        match self {
            Self::Operator => OPERATOR_TOKEN.to_owned(),
            Self::User(session) => session.session_id.to_string(),
            Self::Token(token) => token.token_id.to_string(),
        }
    }

    /// The browser or program that logged in; empty where nobody logged in.
    pub fn client(&self) -> String {
        match self {
            Self::User(session) => session.client_id.to_string(),
            Self::Operator | Self::Token(_) => String::new(),
        }
    }

    /// The tenant whose rows are the principal's own.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Operator => OPERATOR_TENANT,
            Self::User(session) => session.tenant,
            Self::Token(token) => token.tenant,
        }
    }

    /// Whether it may do this at all, on some account or other.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, act: Act) -> Result<(), Denied> {
        let rule = act.rule();
        match self {
            Self::Operator | Self::Token(_) if rule.reach == Reach::Own => {
                return Err(Denied::UsersOnly(act));
            }
            Self::Operator => return Ok(()),
            _ if rule.reach == Reach::Operator => return Err(Denied::OperatorOnly(act)),
            Self::User(_) => return Ok(()),
            Self::Token(token) => {
                match rule.token {
                    Showing::Nothing => return Err(Denied::UsersOnly(act)),
                    Showing::Scope(scope) if !token.scopes.contains(&scope) => {
                        return Err(Denied::Scope { act, scope });
                    }
                    Showing::Scope(_) | Showing::Anything => {}
                }
                if token.halted && act.writes() {
                    return Err(Denied::Halted(act));
                }
                if act == Act::OpenAccount && token.accounts.is_some() {
                    return Err(Denied::Elsewhere(act));
                }
            }
        }
        Ok(())
    }

    /// Whether it may be used on this account, if its user may.
    pub fn admits(&self, account: AccountId) -> bool {
        match self {
            Self::Operator | Self::User(_) => true,
            Self::Token(token) => {
                token.accounts.as_ref().is_none_or(|accounts| accounts.contains(&account))
            }
        }
    }

    /// The account that it is used on if it names none: none in particular, or a token's only one.
    ///
    /// # Errors
    /// It is a token for so many accounts.
    pub fn only_account(&self) -> Result<Option<AccountId>, usize> {
        let Self::Token(token) = self else { return Ok(None) };
        let Some(accounts) = &token.accounts else { return Ok(None) };
        match accounts.iter().collect::<Vec<_>>().as_slice() {
            [only] => Ok(Some(**only)),
            several => Err(several.len()),
        }
    }
}

/// Whether this role on an account suffices.
///
/// # Errors
/// Which one would.
pub fn suffices(role: GrantRole, act: Act) -> Result<(), Denied> {
    if act.rule().roles.contains(&role) { Ok(()) } else { Err(Denied::Role { act, role }) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn token(scopes: &[Scope], halted: bool) -> Principal {
        Principal::Token(Arc::new(AgentToken {
            token_id: TokenId::default(),
            user_id: UserId::new(Uuid::from_u128(1)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            scopes: scopes.iter().copied().collect(),
            accounts: Some(BTreeSet::from([AccountId::new(Uuid::from_u128(3))])),
            limits: TokenLimits::default(),
            halted,
        }))
    }

    /// What these may do, by the words of the acts.
    fn may(principal: &Principal) -> Vec<&'static str> {
        let acts = Act::ALL.iter().filter(|act| principal.may(**act).is_ok());
        acts.map(|act| act.word()).collect()
    }

    #[test]
    fn the_operator_may_do_everything_and_a_user_all_but_what_is_the_operators() {
        for act in Act::ALL {
            let own = act.rule().reach == Reach::Own;
            let expected = if own { Err(Denied::UsersOnly(*act)) } else { Ok(()) };
            assert_eq!(Principal::Operator.may(*act), expected);
        }
        let user = Principal::User(UserSession {
            user_id: UserId::new(Uuid::from_u128(1)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            session_id: SessionId::default(),
            client_id: ClientId::default(),
        });
        for act in Act::ALL {
            let operators = act.rule().reach == Reach::Operator;
            let expected = if operators { Err(Denied::OperatorOnly(*act)) } else { Ok(()) };
            assert_eq!(user.may(*act), expected);
        }
    }

    #[test]
    fn a_token_may_do_what_its_scopes_say_and_no_more() {
        let expected: [(&[Scope], &[&str]); 5] = [
            (&[], &["read_server"]),
            (
                &[Scope::LedgerRead],
                &["read_server", "list_accounts", "read_account", "follow_events"],
            ),
            (
                &[Scope::OrdersWrite],
                &["read_server", "place_order", "close_position", "exercise_option"],
            ),
            (
                &[Scope::OrdersCancel, Scope::OrdersPreview],
                &["read_server", "preview_order", "cancel_order"],
            ),
            (&[Scope::AuditRead], &["read_server", "read_events", "verify_log"]),
        ];
        for (scopes, acts) in expected {
            assert_eq!(may(&token(scopes, false)), acts, "{scopes:?}");
        }
        let all = token(Scope::ALL, false);
        for act in Act::ALL {
            let expected = match (act.rule().reach, act.rule().token) {
                (Reach::Operator, _) => Err(Denied::OperatorOnly(*act)),
                (_, Showing::Nothing) => Err(Denied::UsersOnly(*act)),
                // The token of these tests names an account.
                _ if *act == Act::OpenAccount => Err(Denied::Elsewhere(*act)),
                _ => Ok(()),
            };
            assert_eq!(all.may(*act), expected);
        }
    }

    #[test]
    fn a_halted_token_reads_and_changes_nothing() {
        let halted = token(Scope::ALL, true);
        let scoped = |act: &&Act| matches!(act.rule().token, Showing::Scope(_));
        for act in Act::ALL.iter().filter(scoped) {
            let expected = if act.writes() { Err(Denied::Halted(*act)) } else { Ok(()) };
            assert_eq!(halted.may(*act), expected);
        }
        assert!(halted.may(Act::PreviewOrder).is_ok() && halted.may(Act::CancelOrder).is_err());
    }

    #[test]
    fn a_token_is_for_the_accounts_that_it_names() {
        let token = token(&[], false);
        assert!(token.admits(AccountId::new(Uuid::from_u128(3))));
        assert_eq!(token.only_account(), Ok(Some(AccountId::new(Uuid::from_u128(3)))));
        assert_eq!(Principal::Operator.only_account(), Ok(None));
        assert!(!token.admits(AccountId::new(Uuid::from_u128(4))));
        let admin = self::token(&[Scope::Admin], false);
        assert_eq!(admin.may(Act::OpenAccount), Err(Denied::Elsewhere(Act::OpenAccount)));
    }

    #[test]
    fn a_role_that_is_too_small_is_told_which_one_is_not() {
        let denied = suffices(GrantRole::Viewer, Act::PlaceOrder).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "placing an order needs the role owner or trader on this account, and yours is viewer: ask its owner for it"
        );
        assert_eq!(suffices(GrantRole::Trader, Act::PlaceOrder), Ok(()));
        assert!(suffices(GrantRole::Trader, Act::ReadEvents).is_err());
        assert!(suffices(GrantRole::Auditor, Act::ReadEvents).is_ok());
        assert!(suffices(GrantRole::Trader, Act::Deposit).is_err());
    }
}
