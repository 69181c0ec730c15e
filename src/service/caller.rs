//! From a visitor to a caller: the one place where it is decided who may do what on which account.
//!
//! A [`Visitor`] is known and may do nothing yet. [`Service::permit`] is the only maker of a [`Caller`], which every use
//! case asks for: permitted one act, on one account where the act is about one. An account that a visitor does not reach
//! reads as one that does not exist. Costs nothing for an account of one's own that was reached before, else one or two
//! short reads: grants are looked up at each request, so that one that was taken is over at once.

use std::sync::Arc;
use std::time::Duration;

use aggregates::id::{AccountId, ActorId, OPERATOR, RequestId, TenantId, UserId};
use aggregates::stream::StreamId;
use aggregates::user::{Denial, GrantRole};
use projections::log::{self, Wanted};

use super::{Fault, Service, ServiceError};
use crate::identity::facts::Cause;
use crate::identity::grants::Giver;
use crate::identity::{Act, AgentToken, Denied, Principal, Reach, UserSession, suffices};
use crate::ledger::{Interface, Key, SHARD};

/// How often it is asked whether an answer that stays open may.
pub(super) const WATCH: Duration = Duration::from_millis(500);

/// Who sent a request and how; nothing is permitted yet.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who.
    pub principal: Principal,
    /// The face.
    pub interface: Interface,
    /// The request.
    pub request: RequestId,
}

/// On whose behalf a use case runs, and how it was asked for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose rows it sees and writes.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: ActorId,
    /// The id of the token that was shown, never the token.
    pub token_id: String,
    /// The id of the browser or program, where a user logged in.
    pub client: String,
    /// The face.
    pub interface: Interface,
    /// The request.
    pub request: RequestId,
    /// The user who logged in, if one did.
    pub(super) user: Option<UserSession>,
    /// The tenant of who acts.
    home: TenantId,
    /// The role on the account, where it is another's.
    role: Option<GrantRole>,
    /// What it was permitted.
    act: Act,
    /// The account that it was permitted for, if the act is about one.
    account: Option<AccountId>,
    /// The token by which an agent calls.
    agent: Option<Arc<AgentToken>>,
}

impl Visitor {
    /// What the log says of what the visitor does.
    pub fn cause(&self) -> Cause {
        Cause {
            actor: self.principal.actor(),
            token: self.principal.token_id(),
            client: self.principal.client(),
            interface: self.interface,
            request: self.request,
        }
    }
}

impl Caller {
    fn new(
        visitor: &Visitor,
        act: Act,
        (tenant, role): (TenantId, Option<GrantRole>),
        account: Option<AccountId>,
    ) -> Self {
        let agent = match &visitor.principal {
            Principal::Token(token) => Some(Arc::clone(token)),
            Principal::Operator | Principal::User(_) => None,
        };
        Self {
            tenant,
            actor: visitor.principal.actor(),
            token_id: visitor.principal.token_id(),
            client: visitor.principal.client(),
            interface: visitor.interface,
            request: visitor.request,
            user: match &visitor.principal {
                Principal::User(session) => Some(session.clone()),
                Principal::Operator | Principal::Token(_) => None,
            },
            home: visitor.principal.tenant(),
            role,
            act,
            account,
            agent,
        }
    }

    /// The key of a request of the caller's on a route: nobody else's, though it be the same.
    pub(super) fn key(&self, route: &str, key: &str, request: &[u8]) -> Key {
        let other = (self.tenant != self.home).then_some(self.actor);
        Key::request(self.tenant, other, route, key, request)
    }

    /// Whether this is the operator.
    pub fn is_operator(&self) -> bool {
        self.actor == OPERATOR
    }

    /// Who gives what the caller gives.
    pub(super) fn giver(&self) -> Giver {
        if self.is_operator() { Giver::Operator } else { Giver::User(self.home) }
    }

    /// The user that acts. Of the operator, one that nobody is.
    pub(super) fn user_id(&self) -> UserId {
        UserId::new(self.actor.uuid())
    }

    /// The account that it was permitted for, if the act is about one.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The token by which an agent calls.
    pub(super) fn limited(&self) -> Option<&AgentToken> {
        self.agent.as_deref()
    }

    /// Sees that it was permitted for this account.
    ///
    /// # Errors
    /// It was not: the account reads as one that does not exist.
    pub(super) fn on(&self, account_id: AccountId) -> Result<(), ServiceError> {
        if self.account == Some(account_id) { Ok(()) } else { Err(ServiceError::no_account()) }
    }

    /// The role on the account, where it is another's that was granted to the caller.
    pub(super) fn granted(&self) -> Option<GrantRole> {
        self.role
    }

    /// The same caller on an account of its own, which it may have just opened.
    pub(super) fn at_own(&self, account_id: AccountId) -> Self {
        Self { tenant: self.home, role: None, account: Some(account_id), ..self.clone() }
    }

    /// The same caller on an account of `tenant` that is granted to it.
    pub(super) fn at_granted(
        &self,
        tenant: TenantId,
        account_id: AccountId,
        role: GrantRole,
    ) -> Self {
        Self { tenant, role: Some(role), account: Some(account_id), ..self.clone() }
    }
}

impl Service {
    /// Lets a visitor do something, on one account if it is about one.
    ///
    /// # Errors
    /// It may not: [`ServiceError::Denied`] names what it needs; or it does not reach the account, which then reads as one
    /// that does not exist; or it is a token for several accounts and names none; or the account cannot be looked up now.
    pub async fn permit(
        &self,
        visitor: &Visitor,
        act: Act,
        account: Option<AccountId>,
    ) -> Result<Caller, ServiceError> {
        let permitted = self.decide(visitor, act, account).await;
        if let Err(ServiceError::Denied(denied)) = &permitted {
            let (principal, cause) = (&visitor.principal, visitor.cause());
            self.parts.denials.note(principal, &cause, (act, account), reason(denied)).await;
        }
        permitted
    }

    async fn decide(
        &self,
        visitor: &Visitor,
        act: Act,
        account: Option<AccountId>,
    ) -> Result<Caller, ServiceError> {
        visitor.principal.may(act)?;
        let account = match account {
            None if act.rule().reach == Reach::Tenant && !act.rule().roles.is_empty() => {
                visitor.principal.only_account().map_err(unnamed)?
            }
            named => named,
        };
        let reached = match account {
            None => (visitor.principal.tenant(), None),
            Some(account) => self.reached(visitor, act, account).await?,
        };
        Ok(Caller::new(visitor, act, reached, account))
    }

    /// Whose the account is, and the role on it by a grant, if this visitor reaches it and may do this on it.
    async fn reached(
        &self,
        visitor: &Visitor,
        act: Act,
        account: AccountId,
    ) -> Result<(TenantId, Option<GrantRole>), ServiceError> {
        let (principal, own) = (&visitor.principal, visitor.principal.tenant());
        if !principal.admits(account) {
            return Err(ServiceError::no_account());
        }
        let known = self.known(account);
        let user = match principal {
            _ if known == Some(own) => return Ok((own, None)),
            Principal::Operator => {
                let found = match known {
                    Some(tenant) => Some(tenant),
                    None => self.tenant_of(account).await?,
                };
                return Ok((found.ok_or_else(ServiceError::no_account)?, None));
            }
            Principal::User(session) => session.user_id,
            Principal::Token(token) => token.user_id,
        };
        if let Some(grant) = self.parts.grants.held(user, account).await? {
            suffices(grant.role, act)?;
            return Ok((grant.tenant, Some(grant.role)));
        }
        if self.is_of(own, account).await? {
            Ok((own, None))
        } else {
            Err(ServiceError::no_account())
        }
    }

    /// Whether an account is this tenant's, as far as its own rows tell.
    pub(super) async fn is_of(
        &self,
        tenant: TenantId,
        account: AccountId,
    ) -> Result<bool, ServiceError> {
        if self.known(account) == Some(tenant) {
            return Ok(true);
        }
        let mut reader = self.parts.reader.begin_soon(tenant, Some(account)).await?;
        let opening = log::read_matching(&mut reader, SHARD, &opening(account), 0, 1).await?;
        let found = opening.iter().any(|row| row.tenant_id == tenant);
        if found {
            self.remember(tenant, account);
        }
        Ok(found)
    }

    /// Whose an account is, for the operator.
    async fn tenant_of(&self, account: AccountId) -> Result<Option<TenantId>, ServiceError> {
        let mut auditor = self.parts.auditor.begin().await?;
        let opening = log::read_matching(&mut auditor, SHARD, &opening(account), 0, 1).await?;
        let tenant = opening.first().map(|row| row.tenant_id);
        if let Some(tenant) = tenant {
            self.remember(tenant, account);
        }
        Ok(tenant)
    }

    /// Ready when what a visitor was permitted is so no longer, with what it is told when it asks: a grant was taken.
    /// Whatever stays open for long is ended by this. (What it showed is looked after by [`Service::void`].)
    pub async fn over(&self, visitor: &Visitor, caller: &Caller) -> ServiceError {
        loop {
            tokio::time::sleep(WATCH).await;
            // What cannot be looked up now is read no better by who waits.
            if let Err(over @ (ServiceError::Denied(_) | ServiceError::Refused(_))) =
                self.decide(visitor, caller.act, caller.account).await
            {
                return over;
            }
        }
    }

    /// Records that a caller was not permitted what it went on to ask for.
    pub(super) async fn note_denial(&self, caller: &Caller, reason: Denial) {
        if let Some(token) = &caller.agent {
            let principal = Principal::Token(Arc::clone(token));
            let tried = (caller.act, caller.account);
            self.parts.denials.note(&principal, &caller.cause(), tried, reason).await;
        }
    }
}

fn opening(account: AccountId) -> Wanted {
    Wanted { stream: Some(StreamId::Account(account)), ..Wanted::default() }
}

/// A denial in the words of the log.
const fn reason(denied: &Denied) -> Denial {
    match denied {
        Denied::OperatorOnly(_) => Denial::OperatorOnly,
        Denied::UsersOnly(_) => Denial::SessionOnly,
        // A token that is too narrow, by what it may do or by where.
        Denied::Scope { .. } | Denied::Elsewhere(_) => Denial::Scope,
        Denied::Role { .. } => Denial::Role,
        Denied::Limit(_) => Denial::TokenLimit,
        Denied::Halted(_) => Denial::TokenHalted,
    }
}

/// Said to a token for several accounts that is used without naming one.
fn unnamed(accounts: usize) -> ServiceError {
    let message = format!("this token is for {accounts} accounts: name one of them as account_id");
    ServiceError::Invalid(vec![Fault::new("account_id", "missing_field", message)])
}
