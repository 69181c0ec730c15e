//! Which tools are for stocks and which for options: by the kind of the instrument, never by the spelling of its symbol.

use aggregates::id::{AccountId, OrderId};
use aggregates::instrument::InstrumentKind;

use super::Call;
use crate::service::{Caller, Fault, Fresh, ServiceError};

/// What a tool is for, and where those go who want the other.
#[derive(Clone, Copy, Debug)]
pub struct For {
    kind: InstrumentKind,
    instead: &'static str,
}

/// Orders of options.
pub const OPTION: For = For {
    kind: InstrumentKind::Option,
    instead: "is a stock: use a tool for stock orders, such as buy_stock_limit or sell_stock_limit",
};
/// Orders of stocks.
pub const STOCK: For = For {
    kind: InstrumentKind::Stock,
    instead: "is an option: use buy_option_limit, sell_option_limit or place_multi_leg_order",
};
/// Ending orders of options.
pub const OPTION_ORDER: For = For {
    kind: InstrumentKind::Option,
    instead: "is an order of a stock: use cancel_stock_order_by_id",
};
/// Ending orders of stocks.
pub const STOCK_ORDER: For = For {
    kind: InstrumentKind::Stock,
    instead: "is an order of options: use cancel_option_order_by_id",
};

/// Refuses a symbol of another kind than the tool is for. One that the market has not named passes: the ledger tells why it
/// cannot be traded.
///
/// # Errors
/// It is of the other kind.
pub fn expect(call: Call<'_>, field: &str, symbol: &str, what: For) -> Result<(), ServiceError> {
    match call.service.kind_of(symbol) {
        Some(kind) if kind != what.kind => Err(refused(field, symbol, what)),
        _ => Ok(()),
    }
}

/// The same of an order.
///
/// # Errors
/// It is of the other kind, or there is none.
pub async fn expect_order(
    call: Call<'_>,
    caller: &Caller,
    account: AccountId,
    order: OrderId,
    what: For,
) -> Result<(), ServiceError> {
    let found = call.service.order(caller, account, order, Fresh::default()).await?;
    if found.kind == what.kind {
        return Ok(());
    }
    Err(refused("order_id", &order.to_string(), what))
}

fn refused(field: &str, what: &str, of: For) -> ServiceError {
    let message = format!("{field} {what} {}", of.instead);
    ServiceError::Invalid(vec![Fault::new(field, "wrong_kind", message)])
}
