//! The views that hold the present: what each row has to be by the second fold.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::table::Kind::{Json, Number, Plain, Time};
use super::table::{Cells, Expected, Table};
use crate::audit::fold::amount::Amount;
use crate::audit::fold::{Leg, Losses, Order, Stamp, Stream, Streams};

pub(super) const ACCOUNTS: Table = Table {
    name: "accounts",
    source: "accounts",
    key: 1,
    columns: &[
        ("account_id", Plain),
        ("tenant_id", Plain),
        ("kind", Plain),
        ("option_level", Plain),
        ("trading_state", Plain),
        ("policy", Json),
        ("losses", Json),
        ("cash", Number),
        ("reserved", Number),
        ("opened_at", Time),
        ("opened_position", Plain),
        ("sequence", Plain),
        ("position", Plain),
    ],
};

pub(super) const ORDERS: Table = Table {
    name: "orders",
    source: "orders",
    key: 1,
    columns: &[
        ("order_id", Plain),
        ("tenant_id", Plain),
        ("account_id", Plain),
        ("instrument_id", Plain),
        ("symbol", Plain),
        ("side", Plain),
        ("order_type", Plain),
        ("qty", Number),
        ("notional", Number),
        ("limit_price", Number),
        ("stop_price", Number),
        ("trail", Json),
        ("limit_offset", Number),
        ("activation_price", Number),
        ("trigger_by", Plain),
        ("hwm", Number),
        ("time_in_force", Plain),
        ("extended_hours", Plain),
        ("order_class", Plain),
        ("position_intent", Plain),
        ("contract", Json),
        ("legs", Json),
        ("client_order_id", Plain),
        ("parent_order_id", Plain),
        ("status", Plain),
        ("open", Plain),
        ("revision", Plain),
        ("fills", Plain),
        ("filled_qty", Number),
        ("filled_amount", Number),
        ("filled_residue", Number),
        ("fees", Number),
        ("reject", Json),
        ("cancel_reason", Plain),
        ("expiry_reason", Plain),
        ("expires_at", Time),
        ("created_at", Time),
        ("updated_at", Time),
        ("triggered_at", Time),
        ("replaced_at", Time),
        ("filled_at", Time),
        ("canceled_at", Time),
        ("expired_at", Time),
        ("created_position", Plain),
        ("sequence", Plain),
        ("position", Plain),
    ],
};

pub(super) const POSITIONS: Table = Table {
    name: "positions",
    source: "positions",
    key: 2,
    columns: &[
        ("account_id", Plain),
        ("instrument_id", Plain),
        ("tenant_id", Plain),
        ("symbol", Plain),
        ("contract", Json),
        ("qty", Number),
        ("reserved_qty", Number),
        ("reservations", Json),
        ("do_not_exercise", Plain),
        ("cost_basis", Number),
        ("realized_pl", Number),
        ("opened_at", Time),
        ("updated_at", Time),
        ("sequence", Plain),
        ("position", Plain),
    ],
};

pub(super) const LOTS: Table = Table {
    name: "lots",
    source: "lots",
    key: 1,
    columns: &[
        ("lot_id", Plain),
        ("tenant_id", Plain),
        ("account_id", Plain),
        ("instrument_id", Plain),
        ("qty", Number),
        ("cost", Number),
        ("opened_at", Time),
        ("opened_position", Plain),
    ],
};

/// What each open sell has set aside.
pub(super) const SHARE_RESERVATIONS: Table = Table {
    name: "share_reservations",
    source: "share_reservations",
    key: 3,
    columns: &[
        ("account_id", Plain),
        ("instrument_id", Plain),
        ("order_id", Plain),
        ("tenant_id", Plain),
        ("qty", Number),
    ],
};

#[expect(clippy::needless_pass_by_value, reason = "values and references are given alike")]
pub(super) fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

pub(super) fn maybe<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn stamp(streams: &Streams, stream: Stream) -> Stamp {
    let none = Stamp { tenant: Uuid::nil(), sequence: 0, position: 0 };
    streams.stamps.get(&stream).copied().unwrap_or(none)
}

pub(super) fn accounts(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for (id, account) in &streams.accounts {
        let at = stamp(streams, Stream::Account(*id));
        let cells = vec![
            some(id),
            some(at.tenant),
            some(&account.kind),
            some(account.option_level),
            some(&account.trading_state),
            some(&account.policy),
            maybe(account.losses.as_ref().map(Losses::shown)),
            some(account.cash),
            some(account.reserved),
            some(account.opened_at),
            some(account.opened_position),
            some(at.sequence),
            some(at.position),
        ];
        expected.add(&ACCOUNTS, at.position, cells);
    }
    expected
}

pub(super) fn orders(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for (id, order) in &streams.orders {
        let at = stamp(streams, Stream::Order(*id));
        expected.add(&ORDERS, at.position, order_cells(*id, order, at));
    }
    expected
}

fn order_cells(id: Uuid, order: &Order, at: Stamp) -> Cells {
    let word = |name: &str| order.spec[name].as_str().map(str::to_owned);
    let json = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(Value::to_string);
    let legs = order.legs.iter().map(Leg::shown);
    let legs = Some(Value::Array(legs.collect())).filter(|_| !order.legs.is_empty());
    let ended = |status: &str| maybe(order.ended_at.filter(|_| order.status == status));
    let reason = |status: &str| order.reason.clone().filter(|_| order.status == status);
    vec![
        some(id),
        some(at.tenant),
        some(order.account),
        some(order.instrument),
        some(&order.symbol),
        some(if order.is_buy { "buy" } else { "sell" }),
        some(&order.order_type),
        some(order.qty),
        maybe(order.price_of("notional")),
        maybe(order.limit_price),
        maybe(order.stop_price),
        json(order.spec.get("trail")),
        maybe(order.price_of("limit_offset")),
        maybe(order.price_of("activation_price")),
        word("trigger_by"),
        maybe(order.mark),
        word("time_in_force"),
        some(order.spec["extended_hours"].as_bool().unwrap_or(false)),
        word("order_class"),
        word("position_intent"),
        maybe(order.contract.as_ref().map(|terms| &terms.told)),
        maybe(legs),
        some(&order.client_order_id),
        word("parent_order_id"),
        some(order.status),
        some(!order.is_terminal()),
        some(order.revision),
        some(order.fills),
        some(order.filled_qty),
        some(order.filled_amount),
        some(order.filled_residue),
        some(order.fees),
        json(order.reject.as_ref()),
        reason("canceled"),
        reason("expired"),
        maybe(order.expires_at),
        some(order.created_at),
        some(order.updated_at),
        maybe(order.triggered_at),
        maybe(order.replaced_at),
        ended("filled"),
        ended("canceled"),
        ended("expired"),
        some(order.created_position),
        some(at.sequence),
        some(at.position),
    ]
}

pub(super) fn positions(streams: &Streams) -> (Expected, Expected) {
    let (mut positions, mut lots) = (Expected::default(), Expected::default());
    for ((account, instrument), holding) in &streams.positions {
        let at = stamp(streams, Stream::Position(*account, *instrument));
        let reserved =
            |(id, qty): (&Uuid, &Amount)| (id.to_string(), Value::String(qty.to_string()));
        let reservations: Map<String, Value> = holding.reservations.iter().map(reserved).collect();
        let cells = vec![
            some(account),
            some(instrument),
            some(at.tenant),
            some(&holding.symbol),
            maybe(holding.contract.as_ref().map(|terms| &terms.told)),
            some(holding.qty),
            some(holding.reserved),
            some(Value::Object(reservations)),
            some(holding.do_not_exercise),
            some(holding.cost()),
            some(holding.realized),
            some(holding.opened_at),
            some(holding.updated_at),
            some(at.sequence),
            some(at.position),
        ];
        positions.add(&POSITIONS, at.position, cells);
        for lot in &holding.lots {
            let cells = vec![
                some(lot.id),
                some(at.tenant),
                some(account),
                some(instrument),
                some(lot.qty),
                some(lot.cost),
                some(lot.opened_at),
                some(lot.opened_position),
            ];
            lots.add(&LOTS, at.position, cells);
        }
    }
    (positions, lots)
}

pub(super) fn share_reservations(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for ((account, instrument), holding) in &streams.positions {
        let at = stamp(streams, Stream::Position(*account, *instrument));
        for (order, qty) in &holding.reservations {
            let cells =
                vec![some(account), some(instrument), some(order), some(at.tenant), some(qty)];
            expected.add(&SHARE_RESERVATIONS, at.position, cells);
        }
    }
    expected
}
