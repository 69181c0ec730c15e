//! Roles that users have on an account: offered, accepted, ended. One that has ended is kept, so that it never comes back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::AccountEvent;
use crate::id::{GrantId, UserId};
use crate::stream::Impossible;
use crate::user::{GrantRole, OfferEnd};

/// A role of a user on the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose.
    pub user_id: UserId,
    /// What it permits.
    pub role: GrantRole,
    /// Whether it has ended.
    pub revoked: bool,
    /// Whether it is an offer that was not accepted, and permits nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offered: bool,
}

/// Every grant that was ever made or offered on an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Grants(BTreeMap<GrantId, Grant>);

impl Grants {
    /// All of them.
    pub fn all(&self) -> &BTreeMap<GrantId, Grant> {
        &self.0
    }

    /// The grant in this state; `None` if it is in another.
    fn standing(&self, grant_id: GrantId, offered: bool) -> Option<&Grant> {
        self.0.get(&grant_id).filter(|grant| !grant.revoked && grant.offered == offered)
    }

    /// What an offer makes happen: nothing if it is known.
    pub fn offer(
        &self,
        grant_id: GrantId,
        user_id: UserId,
        role: GrantRole,
    ) -> Option<AccountEvent> {
        let unknown = !self.0.contains_key(&grant_id);
        unknown.then_some(AccountEvent::AccessOffered { grant_id, user_id, role })
    }

    /// What the end of an offer makes happen: nothing if it is not open.
    pub fn end_offer(&self, grant_id: GrantId, reason: OfferEnd) -> Option<AccountEvent> {
        self.standing(grant_id, true).map(|&Grant { user_id, role, .. }| AccountEvent::OfferEnded {
            grant_id,
            user_id,
            role,
            reason,
        })
    }

    /// What a grant makes happen: nothing if it is in force or has ended.
    pub fn grant(
        &self,
        grant_id: GrantId,
        user_id: UserId,
        role: GrantRole,
    ) -> Option<AccountEvent> {
        let free = !self.0.contains_key(&grant_id) || self.standing(grant_id, true).is_some();
        free.then_some(AccountEvent::AccessGranted { grant_id, user_id, role })
    }

    /// What the end of a grant makes happen: nothing if it is not in force.
    pub fn revoke(&self, grant_id: GrantId) -> Option<AccountEvent> {
        self.standing(grant_id, false).map(|&Grant { user_id, role, .. }| {
            AccountEvent::AccessRevoked { grant_id, user_id, role }
        })
    }

    /// A user was offered a role.
    pub fn offered(
        &mut self,
        grant_id: GrantId,
        user_id: UserId,
        role: GrantRole,
    ) -> Result<(), Impossible> {
        let offered = Grant { user_id, role, revoked: false, offered: true };
        self.step(grant_id, &[None], offered)
    }

    /// A user has a role from now on.
    pub fn granted(
        &mut self,
        grant_id: GrantId,
        user_id: UserId,
        role: GrantRole,
    ) -> Result<(), Impossible> {
        let granted = Grant { user_id, role, revoked: false, offered: false };
        let offered = Grant { offered: true, ..granted.clone() };
        self.step(grant_id, &[None, Some(offered)], granted)
    }

    /// A grant has ended, or what was `offered`.
    pub fn ended(
        &mut self,
        grant_id: GrantId,
        user_id: UserId,
        role: GrantRole,
        offered: bool,
    ) -> Result<(), Impossible> {
        let before = Grant { user_id, role, revoked: false, offered };
        let ended = Grant { revoked: true, ..before.clone() };
        self.step(grant_id, &[Some(before)], ended)
    }

    fn step(
        &mut self,
        grant_id: GrantId,
        before: &[Option<Grant>],
        after: Grant,
    ) -> Result<(), Impossible> {
        let found = self.0.get(&grant_id);
        if !before.iter().any(|before| before.as_ref() == found) {
            return Err(Impossible(format!("grant {grant_id} becomes {after:?} and is {found:?}")));
        }
        self.0.insert(grant_id, after);
        Ok(())
    }
}
