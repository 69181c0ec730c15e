//! What can be read by its address: accounts, what they hold, their open orders, the events of an order.
//!
//! An address names a thing and gives no right to it: each read is made as its caller, and what is not the caller's
//! reads as what is not there. Contents are JSON, as the tools answer it.

use aggregates::id::{AccountId, OrderId};
use rmcp::ErrorData;
use rmcp::model::{ListResourcesResult, Resource, ResourceTemplate};
use serde_json::Value;

use super::results::shown;
use crate::identity::Act;
use crate::service::{
    Caller, Fresh, OrderFilter, OrderState, PAGE_MAX, PageRequest, Service, ServiceError, Visitor,
};

/// Of which type every content is.
pub const MEDIA_TYPE: &str = "application/json";
/// Accounts on one page of the list of resources.
const ACCOUNTS: u64 = 25;
/// The list of accounts.
const ROOT: &str = "blotter://accounts";

/// A kind of resource.
struct Kind {
    /// What stands behind an account in its address, a variable in braces.
    below: &'static str,
    name: &'static str,
    title: &'static str,
    about: &'static str,
}

/// What there is of each account.
const KINDS: [Kind; 5] = [
    Kind {
        below: "",
        name: "account",
        title: "Account",
        about: "Cash, buying power, equity and limits of an account, in US dollars.",
    },
    Kind {
        below: "/portfolio",
        name: "portfolio",
        title: "Portfolio",
        about: "What an account is worth, holding by holding, and what the day has brought, in US dollars.",
    },
    Kind {
        below: "/positions",
        name: "positions",
        title: "Positions",
        about: "What an account holds, with cost, value and profit in US dollars.",
    },
    Kind {
        below: "/orders/open",
        name: "open_orders",
        title: "Open orders",
        about: "The orders of an account that can still fill, newest first.",
    },
    Kind {
        below: "/orders/{order_id}/events",
        name: "order_events",
        title: "Events of an order",
        about: "Everything that happened to an order, oldest first, as it was hashed.",
    },
];

/// The address of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The caller's accounts.
    Accounts,
    /// One account.
    Account(AccountId),
    /// What it is worth.
    Portfolio(AccountId),
    /// What it holds.
    Positions(AccountId),
    /// Its open orders.
    OpenOrders(AccountId),
    /// The events of one of its orders.
    OrderEvents(AccountId, OrderId),
}

impl Address {
    /// Reads an address; `None` for what is none.
    pub fn parse(uri: &str) -> Option<Self> {
        let Some(path) = uri.strip_prefix(ROOT)?.strip_prefix('/') else {
            return (uri == ROOT).then_some(Self::Accounts);
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (account, below) = parts.split_first()?;
        let account = account.parse().ok()?;
        match below {
            [] => Some(Self::Account(account)),
            ["portfolio"] => Some(Self::Portfolio(account)),
            ["positions"] => Some(Self::Positions(account)),
            ["orders", "open"] => Some(Self::OpenOrders(account)),
            ["orders", order, "events"] => Some(Self::OrderEvents(account, order.parse().ok()?)),
            _ => None,
        }
    }

    /// As it is written.
    pub fn uri(self) -> String {
        match self {
            Self::Accounts => ROOT.to_owned(),
            Self::Account(account) => format!("{ROOT}/{account}"),
            Self::Portfolio(account) => format!("{ROOT}/{account}/portfolio"),
            Self::Positions(account) => format!("{ROOT}/{account}/positions"),
            Self::OpenOrders(account) => format!("{ROOT}/{account}/orders/open"),
            Self::OrderEvents(account, order) => format!("{ROOT}/{account}/orders/{order}/events"),
        }
    }

    /// The visitor, permitted to read what stands there.
    ///
    /// # Errors
    /// The visitor may not, or there is no such account for it.
    pub async fn caller(
        self,
        service: &Service,
        visitor: &Visitor,
    ) -> Result<Caller, ServiceError> {
        match self {
            Self::Accounts => service.permit(visitor, Act::ListAccounts, None).await,
            Self::Account(account)
            | Self::Portfolio(account)
            | Self::Positions(account)
            | Self::OpenOrders(account)
            | Self::OrderEvents(account, _) => {
                service.permit(visitor, Act::ReadAccount, Some(account)).await
            }
        }
    }

    /// What stands there. Of a list, its first 500 entries.
    ///
    /// # Errors
    /// There is nothing there for this caller, or the read's.
    pub async fn read(self, service: &Service, visitor: &Visitor) -> Result<Value, ServiceError> {
        let caller = &self.caller(service, visitor).await?;
        let (page, fresh) = (PageRequest { limit: Some(PAGE_MAX), cursor: None }, Fresh::default());
        match self {
            Self::Accounts => shown(&service.accounts(caller, &page, fresh).await?),
            Self::Account(account) => shown(&service.account(caller, account, fresh).await?),
            Self::Portfolio(account) => shown(&service.portfolio(caller, account, fresh).await?),
            Self::Positions(account) => {
                shown(&service.positions(caller, account, &page, fresh).await?)
            }
            Self::OpenOrders(account) => {
                let filter = OrderFilter { state: OrderState::Open, ..OrderFilter::default() };
                shown(&service.orders(caller, account, &filter, &page, fresh).await?)
            }
            Self::OrderEvents(account, order) => {
                shown(&service.order_events(caller, account, order, &page, fresh).await?)
            }
        }
    }
}

/// Reads what stands at `uri`.
///
/// # Errors
/// Nothing stands there for this caller, or it cannot be read now.
pub async fn read(service: &Service, visitor: &Visitor, uri: &str) -> Result<Value, ErrorData> {
    let Some(address) = Address::parse(uri) else { return Err(nothing_at(uri)) };
    address.read(service, visitor).await.map_err(|error| match error.code() {
        "account_not_found" | "order_not_found" => nothing_at(uri),
        code => ErrorData::internal_error(
            error.to_string(),
            Some(serde_json::json!({ "uri": uri, "code": code })),
        ),
    })
}

fn nothing_at(uri: &str) -> ErrorData {
    let message =
        "there is no such resource: resources/list and resources/templates/list show what there is";
    ErrorData::resource_not_found(message, Some(serde_json::json!({ "uri": uri })))
}

/// The visitor's resources, a page of accounts at a time; none if it may list no accounts.
///
/// # Errors
/// A cursor of another list.
pub async fn list(
    service: &Service,
    visitor: &Visitor,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ServiceError> {
    let caller = match service.permit(visitor, Act::ListAccounts, None).await {
        Err(ServiceError::Denied(_)) => return Ok(ListResourcesResult::default()),
        permitted => permitted?,
    };
    let first = cursor.is_none();
    let page = PageRequest { limit: Some(ACCOUNTS), cursor };
    let accounts = service.accounts(&caller, &page, Fresh::default()).await?;
    let mut resources = Vec::new();
    if first {
        let all = Resource::new(ROOT, "accounts").with_title("Accounts");
        resources.push(
            all.with_description(
                "Your accounts, oldest first, then those that are granted to you.",
            ),
        );
    }
    for account in &accounts.items {
        // What others call their accounts is no title that is shown to an agent.
        let named = match (&account.name, account.granted) {
            (_, true) => format!("granted to you, {}", account.access),
            (Some(name), false) => name.clone(),
            (None, false) => "unnamed".to_owned(),
        };
        for kind in KINDS.iter().filter(|kind| !kind.below.contains('{')) {
            let uri = format!("{ROOT}/{}{}", account.account_id, kind.below);
            let resource = Resource::new(uri, format!("{}_{}", kind.name, account.account_id));
            let resource = resource.with_title(format!("{}: {named}", kind.title));
            resources.push(resource.with_description(kind.about));
        }
    }
    let resources =
        resources.into_iter().map(|resource| resource.with_mime_type(MEDIA_TYPE)).collect();
    let mut listed = ListResourcesResult::with_all_items(resources);
    listed.next_cursor = accounts.next_cursor;
    Ok(listed)
}

/// The templates of addresses.
pub fn templates() -> Vec<ResourceTemplate> {
    let template = |kind: &Kind| {
        ResourceTemplate::new(format!("{ROOT}/{{account_id}}{}", kind.below), kind.name)
            .with_title(kind.title)
            .with_description(kind.about)
            .with_mime_type(MEDIA_TYPE)
    };
    KINDS.iter().map(template).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn every_template_is_an_address_that_reads_back() {
        for template in templates() {
            let uri = template.uri_template.replace("{account_id}", ID).replace("{order_id}", ID);
            let address = Address::parse(&uri).unwrap_or_else(|| panic!("{uri}"));
            assert_eq!(address.uri(), uri);
        }
        assert_eq!(Address::parse(ROOT), Some(Address::Accounts));
        assert_eq!(Address::Accounts.uri(), ROOT);
    }

    #[test]
    fn what_is_no_address_is_none() {
        for wrong in [
            String::new(),
            "blotter://".to_owned(),
            "blotter://accounts/".to_owned(),
            "blotter://accounts/me".to_owned(),
            format!("blotter://accounts/{ID}/"),
            format!("blotter://accounts/{ID}/orders"),
            format!("blotter://accounts/{ID}/orders/open/events"),
            format!("blotter://accounts{ID}"),
            format!("file://accounts/{ID}"),
        ] {
            assert_eq!(Address::parse(&wrong), None, "{wrong}");
        }
    }
}
