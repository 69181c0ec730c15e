//! What can be done here, and who may: one row for each [`Act`], read by REST, MCP, the document and the tests alike.
//!
//! Whoever shows nothing may do none of it. The operator may do everything. A user may do on the accounts of its own
//! tenant what their owner may, and on the account of another what the role of its grant may. A token may do what its
//! user may, as far as its scopes, its accounts and its limits go.

use std::fmt;

use aggregates::user::{GrantRole, Scope};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// One thing that can be done.
    Act {
        /// Ask the server how it is and what it offers.
        ReadServer "read_server",
        /// List one's accounts.
        ListAccounts "list_accounts",
        /// Open an account.
        OpenAccount "open_account",
        /// Read an account: cash, orders, positions, what happened to them.
        ReadAccount "read_account",
        /// Follow events as they are committed.
        FollowEvents "follow_events",
        /// Pay money in.
        Deposit "deposit",
        /// Pay money out.
        Withdraw "withdraw",
        /// Let an account begin again.
        ResetAccount "reset_account",
        /// Change the limits of an account.
        ChangePolicy "change_policy",
        /// Preview an order.
        PreviewOrder "preview_order",
        /// Place an order.
        PlaceOrder "place_order",
        /// Close a position.
        ClosePosition "close_position",
        /// Exercise a long option, or say that it is not to be.
        ExerciseOption "exercise_option",
        /// Assign a short option.
        AssignOption "assign_option",
        /// Cancel orders.
        CancelOrder "cancel_order",
        /// Read the market.
        ReadMarket "read_market",
        /// Feed the market.
        FeedMarket "feed_market",
        /// Pause, resume or run the market.
        ControlMarket "control_market",
        /// Read the log as it is stored.
        ReadEvents "read_events",
        /// Verify the log, and read its signed checkpoint.
        VerifyLog "verify_log",
        /// Make and read one's tokens.
        ManageTokens "manage_tokens",
        /// Halt and revoke tokens: one's own, and the operator any.
        StopToken "stop_token",
        /// Offer, list and take roles on an account.
        ManageGrants "manage_grants",
        /// See which roles one is offered and holds; accept, decline, leave.
        AnswerGrants "answer_grants",
        /// Read what the process counts.
        ReadMetrics "read_metrics",
        /// Read and change oneself as a user.
        ManageProfile "manage_profile",
        /// List and end one's sessions.
        ManageSessions "manage_sessions",
        /// List, invite, disable and forget users.
        ManageUsers "manage_users",
    }
}

/// What a token needs to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// Any token does.
    Anything,
    /// A token with this scope.
    Scope(Scope),
    /// No token does: somebody has to have logged in.
    Nothing,
}

/// How far an act reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The server itself; whoever is known.
    Server,
    /// What everyone may read of the market.
    Market,
    /// One account.
    Account,
    /// What belongs to the caller, or one account of it if it is named.
    Tenant,
    /// The user who logged in, and nobody else.
    Own,
    /// Everything: the operator alone.
    Operator,
}

impl Reach {
    /// As the document says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Market => "market",
            Self::Account => "account",
            Self::Tenant => "tenant",
            Self::Own => "own",
            Self::Operator => "operator",
        }
    }
}

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What a token needs.
    pub token: Showing,
    /// Who may do it on an account, by their role on it.
    pub roles: &'static [GrantRole],
    /// How far it reaches.
    pub reach: Reach,
}

/// Who may read an account.
const READERS: &[GrantRole] = GrantRole::ALL;
/// Who may trade on one.
const TRADERS: &[GrantRole] = &[GrantRole::Owner, GrantRole::Trader];
/// Who may read its events as they are stored.
const AUDITORS: &[GrantRole] = &[GrantRole::Owner, GrantRole::Auditor];
/// Who may change what it is.
const OWNERS: &[GrantRole] = &[GrantRole::Owner];

const fn on_account(scope: Scope, roles: &'static [GrantRole]) -> Rule {
    Rule { token: Showing::Scope(scope), roles, reach: Reach::Account }
}

const fn on_tenant(scope: Scope, roles: &'static [GrantRole]) -> Rule {
    Rule { token: Showing::Scope(scope), roles, reach: Reach::Tenant }
}

const OWN: Rule = Rule { token: Showing::Nothing, roles: &[], reach: Reach::Own };
const OPERATOR: Rule = Rule { token: Showing::Anything, roles: &[], reach: Reach::Operator };

impl Act {
    /// Who may do it.
    pub const fn rule(self) -> Rule {
        match self {
            Self::ReadServer => Rule { token: Showing::Anything, roles: &[], reach: Reach::Server },
            Self::ListAccounts => on_tenant(Scope::LedgerRead, &[]),
            Self::OpenAccount => on_tenant(Scope::Admin, &[]),
            Self::ReadAccount => on_account(Scope::LedgerRead, READERS),
            Self::FollowEvents => on_tenant(Scope::LedgerRead, READERS),
            Self::Deposit | Self::Withdraw | Self::ResetAccount | Self::ChangePolicy => {
                on_account(Scope::Admin, OWNERS)
            }
            Self::PreviewOrder => on_account(Scope::OrdersPreview, TRADERS),
            Self::PlaceOrder | Self::ClosePosition | Self::ExerciseOption => {
                on_account(Scope::OrdersWrite, TRADERS)
            }
            Self::CancelOrder => on_account(Scope::OrdersCancel, TRADERS),
            Self::ReadMarket => {
                Rule { token: Showing::Scope(Scope::MarketRead), roles: &[], reach: Reach::Market }
            }
            Self::ReadEvents => on_tenant(Scope::AuditRead, AUDITORS),
            Self::VerifyLog => on_tenant(Scope::AuditRead, &[]),
            Self::ManageProfile
            | Self::ManageSessions
            | Self::ManageTokens
            | Self::AnswerGrants => OWN,
            Self::StopToken => Rule { token: Showing::Nothing, roles: &[], reach: Reach::Tenant },
            Self::ManageGrants => on_account(Scope::Admin, OWNERS),
            Self::AssignOption
            | Self::FeedMarket
            | Self::ControlMarket
            | Self::ReadMetrics
            | Self::ManageUsers => OPERATOR,
        }
    }

    /// What whoever does it is doing, as people say it.
    pub const fn doing(self) -> &'static str {
        match self {
            Self::ReadServer => "asking the server how it is",
            Self::ListAccounts => "listing accounts",
            Self::OpenAccount => "opening an account",
            Self::ReadAccount => "reading an account",
            Self::FollowEvents => "following events",
            Self::Deposit => "paying money in",
            Self::Withdraw => "paying money out",
            Self::ResetAccount => "resetting an account",
            Self::ChangePolicy => "changing the limits of an account",
            Self::PreviewOrder => "previewing an order",
            Self::PlaceOrder => "placing an order",
            Self::ClosePosition => "closing a position",
            Self::ExerciseOption => "exercising an option",
            Self::AssignOption => "assigning an option",
            Self::CancelOrder => "cancelling orders",
            Self::ReadMarket => "reading the market",
            Self::FeedMarket => "feeding the market",
            Self::ControlMarket => "pausing or running the market",
            Self::ReadEvents => "reading events as they are stored",
            Self::VerifyLog => "verifying the log",
            Self::ManageTokens => "making and reading tokens",
            Self::StopToken => "halting or revoking a token",
            Self::ManageGrants => "giving and taking roles on an account",
            Self::AnswerGrants => "seeing and answering what one is offered",
            Self::ReadMetrics => "reading metrics",
            Self::ManageProfile => "reading and changing oneself as a user",
            Self::ManageSessions => "listing and ending sessions",
            Self::ManageUsers => "managing users and invitations",
        }
    }

    /// Whether it changes anything: what a token that was halted may not do any more.
    pub const fn writes(self) -> bool {
        matches!(self, Self::StopToken)
            || matches!(
                self.rule().token,
                Showing::Scope(Scope::OrdersWrite | Scope::OrdersCancel | Scope::Admin)
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_do_all_that_can_be_done_on_an_account_and_others_less() {
        let on_accounts =
            Act::ALL.iter().map(|act| act.rule()).filter(|rule| !rule.roles.is_empty());
        for Rule { roles, token, .. } in on_accounts {
            assert!(roles.contains(&GrantRole::Owner));
            let reads = matches!(token, Showing::Scope(Scope::LedgerRead));
            assert_eq!(roles.contains(&GrantRole::Viewer), reads);
        }
    }

    #[test]
    fn an_account_is_reached_by_roles_and_nothing_else_is() {
        for act in Act::ALL {
            let Rule { roles, reach, .. } = act.rule();
            match reach {
                Reach::Account => assert!(!roles.is_empty(), "nobody may {act}"),
                Reach::Server | Reach::Market | Reach::Own | Reach::Operator => {
                    assert!(roles.is_empty(), "{act} is on no account");
                }
                Reach::Tenant => {}
            }
        }
    }
}
