//! Runs a tool: its arguments, the use case, the answer or the refusal as a model reads it.

use aggregates::id::AccountId;
use aggregates::instrument::InstrumentKind;
use aggregates::order::{OrderClass, OrderType, Side, TimeInForce};
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde::Serialize;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::tools::PAGE_MAX;
use crate::service::{
    Caller, Fresh, OrderFilter, OrderRequest, OrderState, PageRequest, SYMBOL_MAX, Service,
    ServiceError,
};

/// The longest cursor.
const CURSOR_MAX: usize = 1_024;
/// Accounts that are named to a caller who has to choose.
const ACCOUNTS_NAMED: u64 = 20;

const TIMES_IN_FORCE: &[(&str, TimeInForce)] = &[
    ("day", TimeInForce::Day),
    ("gtc", TimeInForce::Gtc),
    ("ioc", TimeInForce::Ioc),
    ("fok", TimeInForce::Fok),
];
const STATES: &[(&str, OrderState)] =
    &[("open", OrderState::Open), ("closed", OrderState::Closed), ("all", OrderState::All)];

/// Calls the tool `name`, one of [`super::tools::NAMES`].
pub async fn call(
    service: &Service,
    caller: &Caller,
    name: &str,
    sent: JsonObject,
) -> CallToolResult {
    let arguments = Arguments::new(sent);
    let answered = match name {
        "health_check" => health_check(service, arguments).await,
        "account_info" => account_info(service, caller, arguments).await,
        "positions" => positions(service, caller, arguments).await,
        "buy_stock_market" => place(service, caller, arguments, Side::Buy, OrderType::Market).await,
        "sell_stock_market" => {
            place(service, caller, arguments, Side::Sell, OrderType::Market).await
        }
        "buy_stock_limit" => place(service, caller, arguments, Side::Buy, OrderType::Limit).await,
        "sell_stock_limit" => place(service, caller, arguments, Side::Sell, OrderType::Limit).await,
        "stock_orders" => stock_orders(service, caller, arguments).await,
        "order_history" => order_history(service, caller, arguments).await,
        "cancel_stock_order_by_id" => cancel(service, caller, arguments).await,
        _ => verify_audit(service, caller, arguments).await,
    };
    answered.unwrap_or_else(|error| refused(&error))
}

/// The answer as structured content, and the same as text for clients that read no other.
fn answer(value: &impl Serialize) -> Result<CallToolResult, ServiceError> {
    let mut value =
        serde_json::to_value(value).map_err(|error| ServiceError::Defect(error.to_string()))?;
    drop_nulls(&mut value);
    let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
    result.structured_content = Some(value);
    Ok(result)
}

/// What is not known is absent: a schema of one type then fits.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A refusal: a sentence, then a JSON block. Never structured content.
fn refused(error: &ServiceError) -> CallToolResult {
    let mut block = json!({ "code": error.code() });
    let mut sentence = error.to_string();
    match error {
        ServiceError::Invalid(faults) => {
            let all: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
            sentence = all.join("; ");
            block["errors"] = faults
                .iter()
                .map(|fault| json!({ "field": fault.field, "code": fault.code, "message": fault.message }))
                .collect();
            if let [fault] = faults.as_slice() {
                block["field"] = json!(fault.field);
            }
        }
        ServiceError::Refused(refusal) => {
            block["figures"] = json!(refusal.figures);
            block["field"] = json!(refusal.field);
        }
        ServiceError::Rejected { refusal, order_id, replayed, position } => {
            block["figures"] = json!(refusal.figures);
            block["field"] = json!(refusal.field);
            block["order_id"] = json!(order_id);
            block["replayed"] = json!(replayed);
            block["position"] = json!(position);
        }
        _ => {}
    }
    drop_nulls(&mut block);
    let mut result = CallToolResult::error(vec![
        ContentBlock::text(sentence),
        ContentBlock::text(block.to_string()),
    ]);
    result.structured_content = None;
    result
}

/// The account that a call is about: the one it names, or the caller's only one.
async fn account(
    service: &Service,
    caller: &Caller,
    named: Option<AccountId>,
) -> Result<AccountId, ServiceError> {
    if let Some(account) = named {
        return Ok(account);
    }
    let page = PageRequest { limit: Some(ACCOUNTS_NAMED), cursor: None };
    let accounts = service.accounts(caller, &page, Fresh::default()).await?.items;
    match accounts.as_slice() {
        [only] => Ok(only.account_id),
        [] => Err(ServiceError::no_account()),
        several => {
            let ids: Vec<_> = several
                .iter()
                .map(|account| {
                    format!(
                        "{} ({})",
                        account.account_id,
                        account.name.as_deref().unwrap_or("unnamed")
                    )
                })
                .collect();
            let message =
                format!("there are several accounts, name one as account_id: {}", ids.join(", "));
            Err(ServiceError::Invalid(vec![crate::service::Fault::new(
                "account_id",
                "missing",
                message,
            )]))
        }
    }
}

fn page(arguments: &mut Arguments) -> PageRequest {
    PageRequest {
        limit: arguments.count("limit", PAGE_MAX).map(u64::from),
        cursor: arguments.text("cursor", CURSOR_MAX),
    }
}

async fn health_check(
    service: &Service,
    arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    arguments.end()?;
    answer(&service.health().await)
}

async fn account_info(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    let named = arguments.account_id();
    arguments.end()?;
    let account = account(service, caller, named).await?;
    answer(&service.account(caller, account, Fresh::default()).await?)
}

async fn positions(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    arguments.end()?;
    let account = account(service, caller, named).await?;
    answer(&service.positions(caller, account, &page, Fresh::default()).await?)
}

async fn place(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
    side: Side,
    order_type: OrderType,
) -> Result<CallToolResult, ServiceError> {
    let named = arguments.account_id();
    let limit_price = match order_type {
        OrderType::Limit => Some(arguments.required_amount("limit_price")),
        _ => None,
    };
    let request = OrderRequest {
        symbol: arguments.required_text("symbol", SYMBOL_MAX),
        side,
        order_type,
        qty: arguments.required_amount("quantity"),
        limit_price,
        stop_price: None,
        trail: None,
        time_in_force: arguments.word("time_in_force", TIMES_IN_FORCE).unwrap_or_default(),
        extended_hours: false,
        order_class: OrderClass::Simple,
        client_order_id: arguments.client_order_id(),
        note: arguments.note(),
    };
    arguments.end()?;
    let account = account(service, caller, named).await?;
    let placed = service.place_order(caller, account, request).await;
    answer(&placed.map_err(by_argument)?)
}

/// The quantity of an order by the name that it has among the arguments of a tool.
fn by_argument(mut error: ServiceError) -> ServiceError {
    let rename = |field: &mut String, message: &mut String| {
        if field == "qty" {
            *field = "quantity".to_owned();
            *message = message.replacen("qty", "quantity", 1);
        }
    };
    match &mut error {
        ServiceError::Invalid(faults) => {
            for fault in faults {
                rename(&mut fault.field, &mut fault.message);
            }
        }
        ServiceError::Refused(refusal) | ServiceError::Rejected { refusal, .. } => {
            if let Some(field) = &mut refusal.field {
                rename(field, &mut refusal.message);
            }
        }
        _ => {}
    }
    error
}

async fn stock_orders(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    let filter = OrderFilter {
        state: arguments.word("status", STATES).unwrap_or_default(),
        symbol: arguments.text("symbol", SYMBOL_MAX),
        kind: Some(InstrumentKind::Stock),
        ..OrderFilter::default()
    };
    arguments.end()?;
    let account = account(service, caller, named).await?;
    answer(&service.orders(caller, account, &filter, &page, Fresh::default()).await?)
}

async fn order_history(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    let (named, order_id) = (arguments.account_id(), arguments.order_id());
    arguments.end()?;
    let account = account(service, caller, named).await?;
    answer(&service.order_events(caller, account, order_id, Fresh::default()).await?)
}

async fn cancel(
    service: &Service,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    let (named, order_id) = (arguments.account_id(), arguments.order_id());
    arguments.end()?;
    let account = account(service, caller, named).await?;
    answer(&service.cancel_order(caller, account, order_id).await?)
}

async fn verify_audit(
    service: &Service,
    caller: &Caller,
    arguments: Arguments,
) -> Result<CallToolResult, ServiceError> {
    arguments.end()?;
    answer(&service.verify(caller).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Fault;

    #[test]
    fn a_fault_names_the_argument_that_the_tool_takes() {
        let message = "qty is 0: an order needs a quantity above 0";
        let faults = vec![
            Fault::new("qty", "invalid_order", message),
            Fault::new("symbol", "missing", "symbol is missing"),
        ];
        let ServiceError::Invalid(named) = by_argument(ServiceError::Invalid(faults)) else {
            panic!("it became another error")
        };
        assert_eq!(named[0].field, "quantity");
        assert_eq!(named[0].message, "quantity is 0: an order needs a quantity above 0");
        assert_eq!(named[1].field, "symbol");
    }
}
