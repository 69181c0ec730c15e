//! Proposals for the variables of resource templates and the arguments of prompts, as a person types them.

use aggregates::id::AccountId;
use aggregates::instrument::InstrumentKind;
use rmcp::model::{CompleteRequestParams, CompletionInfo};

use crate::identity::Act;
use crate::service::{
    Fresh, OrderFilter, PageRequest, SYMBOL_MAX, Service, ServiceError, Visitor, text,
};

/// What is looked through for proposals, newest or first of its kind.
const LOOKED_AT: u64 = 100;

/// What a variable may be that begins with what was typed. Variables are called alike everywhere, so their name
/// decides; of one without proposals there are none.
/// What the visitor may not read is not proposed.
///
/// # Errors
/// The read's.
pub async fn complete(
    service: &Service,
    visitor: &Visitor,
    asked: &CompleteRequestParams,
) -> Result<CompletionInfo, ServiceError> {
    let typed = asked.argument.value.as_str();
    let context = asked.context.as_ref();
    let account = context.and_then(|context| context.get_argument("account_id"));
    let (page, fresh) = (PageRequest { limit: Some(LOOKED_AT), cursor: None }, Fresh::default());
    let account = account.and_then(|id| id.parse::<AccountId>().ok());
    let (act, account) = match (asked.argument.name.as_str(), account) {
        ("account_id", _) => (Act::ListAccounts, None),
        ("order_id", Some(account)) => (Act::ReadAccount, Some(account)),
        ("symbol", _) => (Act::ReadMarket, None),
        _ => return Ok(CompletionInfo::default()),
    };
    let caller = match service.permit(visitor, act, account).await {
        Err(ServiceError::Denied(_)) => return Ok(CompletionInfo::default()),
        Err(error) if error.code() == "account_not_found" => return Ok(CompletionInfo::default()),
        permitted => permitted?,
    };
    let mut values: Vec<String> = match (act, account) {
        (Act::ReadAccount, Some(account)) => {
            let filter = OrderFilter::default();
            let orders = service.orders(&caller, account, &filter, &page, fresh).await?.items;
            orders.iter().map(|order| order.order_id.to_string()).collect()
        }
        (Act::ReadMarket, _) => {
            let search = Some(typed).filter(|typed| text::fault("", typed, SYMBOL_MAX).is_none());
            let found = service
                .instruments(&caller, Some(InstrumentKind::Stock), search, &page, fresh)
                .await?
                .items;
            found.into_iter().map(|instrument| instrument.symbol).collect()
        }
        _ => {
            let accounts = service.accounts(&caller, &page, fresh).await?.items;
            accounts.iter().map(|account| account.account_id.to_string()).collect()
        }
    };
    let typed = typed.to_lowercase();
    values.retain(|value| value.to_lowercase().starts_with(&typed));
    let has_more = values.len() > CompletionInfo::MAX_VALUES;
    values.truncate(CompletionInfo::MAX_VALUES);
    let info = CompletionInfo::with_pagination(values, None, has_more);
    info.map_err(ServiceError::Defect)
}
