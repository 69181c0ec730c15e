//! The accounts that a caller reaches: those of its tenant in the order in which they were opened, then those that are
//! granted to it, by their ids. An agent whose token names accounts reaches these alone, by their ids.

use std::collections::BTreeMap;
use std::str::FromStr;

use aggregates::id::{AccountId, TenantId};
use aggregates::user::GrantRole;
use projections::accounts::AccountRow;
use projections::{Group, query};

use super::{AccountAnswer, Caller, Fresh, Page, PageRequest, Service, ServiceError};

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind the account of one's own that was opened at this position.
    Own(u64),
    /// With the first of the others.
    Others,
    /// Behind this one of the others.
    Behind(AccountId),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own(position) => write!(f, "{position}"),
            Self::Others => f.write_str("others"),
            Self::Behind(account) => write!(f, "{account}"),
        }
    }
}

impl FromStr for Place {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        match text.parse() {
            Ok(position) => Ok(Self::Own(position)),
            Err(_) if text == "others" => Ok(Self::Others),
            Err(_) => text.parse().map(Self::Behind),
        }
    }
}

impl Service {
    /// The caller's accounts.
    ///
    /// # Errors
    /// A cursor of another list.
    pub async fn accounts(
        &self,
        caller: &Caller,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<AccountAnswer>, ServiceError> {
        let list = format!("{}/accounts", caller.tenant);
        let all = caller.limited().is_none_or(|token| token.accounts.is_none());
        let place =
            self.after(&list, page)?.unwrap_or(if all { Place::Own(0) } else { Place::Others });
        let size = page.size();
        let mut found = match place {
            Place::Own(after) if all => {
                self.own_accounts(caller, &list, after, size, fresh).await?
            }
            _ => Page { items: Vec::new(), next_cursor: None, position: self.head(caller).await? },
        };
        if found.next_cursor.is_some() {
            return Ok(found);
        }
        let others = self.others(caller).await?;
        let mut others = others.into_iter().filter(|(account, _)| match place {
            Place::Behind(seen) => *account > seen,
            Place::Own(_) | Place::Others => true,
        });
        let mut last = Place::Others;
        while found.items.len() < size
            && let Some((account, granted)) = others.next()
        {
            let at = match granted {
                Some((tenant, role)) => caller.at_granted(tenant, account, role),
                None => caller.at_own(account),
            };
            let answer = self.account(&at, account, fresh).await?;
            found.position = found.position.min(answer.position);
            found.items.push(answer);
            last = Place::Behind(account);
        }
        if others.next().is_some() {
            found.next_cursor = Some(self.parts.cursors.seal(&list, &last.to_string()));
        }
        Ok(found)
    }

    /// A page of the accounts of the caller's tenant.
    async fn own_accounts(
        &self,
        caller: &Caller,
        list: &str,
        after: u64,
        size: usize,
        fresh: Fresh,
    ) -> Result<Page<AccountAnswer>, ServiceError> {
        let mut snapshot = self.snapshot(caller, None, Group::Trading, fresh).await?;
        let rows = query::accounts(snapshot.connection(), after, size + 1).await?;
        let seal = |row: &AccountRow| {
            let place = Place::Own(row.opened_position);
            self.parts.cursors.seal(list, &place.to_string())
        };
        let rows = Page::cut(rows, size, snapshot.position, seal, |row| row);
        let items = self.account_answers(caller, &mut snapshot, rows.items).await?;
        Ok(Page { items, next_cursor: rows.next_cursor, position: rows.position })
    }

    /// The accounts that a caller reaches beside those of its tenant, or those that its token names; of one that is
    /// granted, whose it is and in which role.
    async fn others(&self, caller: &Caller) -> Result<BTreeMap<AccountId, Granted>, ServiceError> {
        if caller.is_operator() {
            return Ok(BTreeMap::new());
        }
        let held = self.parts.grants.of(caller.user_id()).await?;
        let mut reached: BTreeMap<_, Granted> = held
            .into_iter()
            .map(|grant| (grant.account_id, Some((grant.tenant, grant.role))))
            .collect();
        let Some(named) = caller.limited().and_then(|token| token.accounts.as_ref()) else {
            return Ok(reached);
        };
        reached.retain(|account, _| named.contains(account));
        for account in named {
            if !reached.contains_key(account) && self.is_of(caller.tenant, *account).await? {
                reached.insert(*account, None);
            }
        }
        Ok(reached)
    }
}

/// Whose an account is that was granted, and in which role; `None` for one's own.
type Granted = Option<(TenantId, GrantRole)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let account = AccountId::new(uuid::Uuid::now_v7());
        for place in [Place::Own(0), Place::Own(42), Place::Others, Place::Behind(account)] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert!("other".parse::<Place>().is_err());
    }
}
