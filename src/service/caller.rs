//! From a visitor to a caller: the one place where it is decided who may do what on which account.
//!
//! A [`Visitor`] is known and may do nothing yet. [`Service::permit`] is the only maker of a [`Caller`], which every use
//! case asks for: permitted one act, on one account where the act is about one. An account that a visitor does not reach
//! reads as one that does not exist. Costs nothing for an account that was reached before, else one short read.

use aggregates::id::{AccountId, ActorId, OPERATOR, RequestId, TenantId};
use projections::{Group, query};

use super::{Fault, Fresh, Service, ServiceError};
use crate::identity::{Act, Principal, Reach, UserSession};
use crate::ledger::Interface;

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
    /// The account that it was permitted for, if the act is about one.
    account: Option<AccountId>,
}

impl Caller {
    fn new(visitor: &Visitor, tenant: TenantId, account: Option<AccountId>) -> Self {
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
            account,
        }
    }

    /// Whether this is the operator.
    pub fn is_operator(&self) -> bool {
        self.actor == OPERATOR
    }

    /// The account that it was permitted for, if the act is about one.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// Sees that it was permitted for this account.
    ///
    /// # Errors
    /// It was not: the account reads as one that does not exist.
    pub(super) fn on(&self, account_id: AccountId) -> Result<(), ServiceError> {
        if self.account == Some(account_id) { Ok(()) } else { Err(ServiceError::no_account()) }
    }

    /// The same caller on the account that it has just opened.
    pub(super) fn opened(&self, account_id: AccountId) -> Self {
        Self { account: Some(account_id), ..self.clone() }
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
        visitor.principal.may(act)?;
        let account = match account {
            None if act.rule().reach == Reach::Tenant && !act.rule().roles.is_empty() => {
                visitor.principal.only_account().map_err(unnamed)?
            }
            named => named,
        };
        let tenant = match account {
            None => visitor.principal.tenant(),
            Some(account) => self.reached(visitor, account).await?,
        };
        Ok(Caller::new(visitor, tenant, account))
    }

    /// Whose the account is, if this visitor reaches it.
    async fn reached(
        &self,
        visitor: &Visitor,
        account: AccountId,
    ) -> Result<TenantId, ServiceError> {
        let own = visitor.principal.tenant();
        let found = visitor.principal.admits(account) && self.is_of(visitor, own, account).await?;
        if found { Ok(own) } else { Err(ServiceError::no_account()) }
    }

    /// Whether an account is this tenant's. That it is not is only said of views that have seen all that was committed.
    async fn is_of(
        &self,
        visitor: &Visitor,
        tenant: TenantId,
        account: AccountId,
    ) -> Result<bool, ServiceError> {
        if self.is_known(tenant, account) {
            return Ok(true);
        }
        let caller = Caller::new(visitor, tenant, Some(account));
        let head = self.head(&caller).await?;
        for fresh in [Fresh::default(), Fresh { min_position: Some(head) }] {
            let mut snapshot = self.snapshot(&caller, Some(account), Group::Trading, fresh).await?;
            if query::account(snapshot.connection(), account).await?.is_some() {
                self.remember(tenant, account);
                return Ok(true);
            }
            if snapshot.position >= head {
                break;
            }
        }
        Ok(false)
    }
}

/// Said to a token for several accounts that is used without naming one.
fn unnamed(accounts: usize) -> ServiceError {
    let message = format!("this token is for {accounts} accounts: name one of them as account_id");
    ServiceError::Invalid(vec![Fault::new("account_id", "missing_field", message)])
}
