//! The views that grow with the log: fills, activities and the journal, chunk by chunk.
//!
//! What an entry of the journal moves is found here from the books before and after its event, not from the event's
//! own amounts; the other side is the one book of the world that such an event can touch.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::state::{maybe, some};
use super::table::Kind::{Json, Number, Plain, Time};
use super::table::{Cells, Expected, Table};
use crate::audit::fold::Streams;
use crate::audit::fold::amount::Amount;
use crate::audit::fold::fields::{Fault, Fields};
use crate::audit::row::Content;

pub(super) const FILLS: Table = Table {
    name: "fills",
    source: "fills",
    key: 1,
    columns: &[
        ("fill_id", Plain),
        ("tenant_id", Plain),
        ("account_id", Plain),
        ("order_id", Plain),
        ("instrument_id", Plain),
        ("symbol", Plain),
        ("side", Plain),
        ("n", Plain),
        ("qty", Number),
        ("price", Number),
        ("amount", Number),
        ("fees", Number),
        ("revision", Plain),
        ("evidence", Json),
        ("legs", Json),
        ("at", Time),
        ("position", Plain),
    ],
};

pub(super) const ACTIVITIES: Table = Table {
    name: "activities",
    source: "activities",
    key: 2,
    columns: &[
        ("position", Plain),
        ("leg", Plain),
        ("tenant_id", Plain),
        ("account_id", Plain),
        ("activity_type", Plain),
        ("instrument_id", Plain),
        ("symbol", Plain),
        ("side", Plain),
        ("qty", Number),
        ("price", Number),
        ("net_amount", Number),
        ("order_id", Plain),
        ("fill_id", Plain),
        ("action_id", Plain),
        ("option_end", Plain),
        ("at", Time),
    ],
};

pub(super) const ENTRIES: Table = Table {
    name: "journal_entries",
    source: "journal_entries",
    key: 1,
    columns: &[
        ("position", Plain),
        ("tenant_id", Plain),
        ("account_id", Plain),
        ("event_type", Plain),
        ("instrument_id", Plain),
        ("order_id", Plain),
        ("fill_id", Plain),
        ("action_id", Plain),
        ("at", Time),
        ("recorded_at", Time),
    ],
};

/// Postings are summed by book and unit: an entry may be written in more lines than one.
pub(super) const POSTINGS: Table = Table {
    name: "journal_postings",
    source: "(SELECT generation, position, account_id, book, instrument_id, tenant_id, sum(amount) AS amount
        FROM journal_postings GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(amount) <> 0) AS postings",
    key: 4,
    columns: &[
        ("position", Plain),
        ("account_id", Plain),
        ("book", Plain),
        ("instrument_id", Plain),
        ("tenant_id", Plain),
        ("amount", Number),
    ],
};

/// A book of an account and its unit; `None` is cash.
pub(super) type Book = (&'static str, Option<Uuid>);

/// What a row moved into each book, or out of it.
pub(super) type Moved = BTreeMap<Book, Amount>;

/// The books as they stood after the row before.
#[derive(Debug, Default)]
pub(super) struct Books {
    cash: BTreeMap<Uuid, [Amount; 3]>,
    shares: BTreeMap<(Uuid, Uuid), [Amount; 2]>,
}

/// The last execution of each account and its time: what is charged for it has that time too.
pub(super) type Filled = BTreeMap<Uuid, (Uuid, i64)>;

/// The execution that a row is.
pub(super) fn fill(
    (fills, activities, filled): (&mut Expected, &mut Expected, &mut Filled),
    position: u64,
    content: &Content,
    streams: &Streams,
) -> Result<(), Fault> {
    let payload: Value =
        serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
    let body = Fields::of_event(&payload, &content.event_type)?;
    let id = content.aggregate_id.parse().map_err(|_| "no order's stream".to_owned())?;
    let order: &crate::audit::fold::Order = streams.orders.get(&id).ok_or("no such order")?;
    let amount = body.money("amount")?;
    let cells = vec![
        some(body.uuid("fill_id")?),
        some(content.tenant_id),
        some(order.account),
        some(id),
        some(order.instrument),
        some(&order.symbol),
        some(if order.is_buy { "buy" } else { "sell" }),
        some(order.fills),
        some(body.amount("qty")?),
        some(body.amount("price")?),
        some(amount),
        some(body.money("fees")?),
        some(order.revision),
        some(body.value("evidence")?),
        maybe(body.get("legs")),
        some(body.time("at")?),
        some(position),
    ];
    fills.add(&FILLS, position, cells);
    filled.insert(order.account, (body.uuid("fill_id")?, body.time("at")?));
    let mut activity =
        |leg: usize, told: Fields<'_>, (instrument, symbol, is_buy): (Uuid, &str, bool)| {
            let amount = told.money("amount")?;
            let cells = vec![
                some(position),
                some(leg),
                some(content.tenant_id),
                some(order.account),
                some("FILL"),
                some(instrument),
                some(symbol),
                some(if is_buy { "buy" } else { "sell" }),
                some(told.amount("qty")?),
                some(told.amount("price")?),
                some(if is_buy { -amount } else { amount }),
                some(id),
                some(body.uuid("fill_id")?),
                None,
                None,
                some(body.time("at")?),
            ];
            activities.add(&ACTIVITIES, position, cells);
            Ok::<_, Fault>(())
        };
    if body.get("legs").is_none() {
        return activity(0, body, (order.instrument, &order.symbol, order.is_buy));
    }
    for (n, leg) in (1..).zip(body.list("legs")?) {
        let is_buy = leg.text("position_intent")?.starts_with("buy");
        activity(n, leg, (leg.uuid("instrument_id")?, leg.text("symbol")?, is_buy))?;
    }
    Ok(())
}

/// A field of a payload that names something, if it is there.
fn named(body: Fields<'_>, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The activity of an event of an account, if it is one.
pub(super) fn account_activity(
    (activities, filled): (&mut Expected, &Filled),
    position: u64,
    content: &Content,
    account: Uuid,
) -> Result<(), Fault> {
    let (kind, incoming) = match content.event_type.as_str() {
        "CashDeposited" => ("CSD", true),
        "CashWithdrawn" => ("CSW", false),
        "FeeCharged" => ("FEE", false),
        "DividendPaid" => ("DIV", true),
        "CashPaidInLieu" => ("CIL", true),
        "AccountReset" => ("RESET", true),
        _ => return Ok(()),
    };
    let payload: Value =
        serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
    let body = Fields::of_event(&payload, &content.event_type)?;
    let amount = body.money("amount")?;
    let net = if incoming { amount } else { -amount };
    let at = match filled.get(&account) {
        Some((fill, at)) if kind == "FEE" && *fill == body.uuid("fill_id")? => *at,
        _ => body.time_or_none("at")?.unwrap_or(content.recorded_at),
    };
    let cells = vec![
        some(position),
        some(0),
        some(content.tenant_id),
        some(account),
        some(kind),
        named(body, "instrument_id"),
        None,
        None,
        None,
        None,
        some(net),
        named(body, "order_id"),
        named(body, "fill_id"),
        named(body, "action_id"),
        None,
        some(at),
    ];
    activities.add(&ACTIVITIES, position, cells);
    Ok(())
}

/// The activity of options that ended or became others, or of shares that one delivered.
pub(super) fn end_activity(
    activities: &mut Expected,
    position: u64,
    content: &Content,
    (account, streams): (Uuid, &Streams),
) -> Result<(), Fault> {
    let payload: Value =
        serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
    let body = Fields::of_event(&payload, &content.event_type)?;
    let instrument: Uuid = content
        .aggregate_id
        .split_once('/')
        .and_then(|(_, id)| id.parse().ok())
        .ok_or("no position's stream")?;
    // What a split makes others of leaves one position and comes to another.
    let moved = match content.event_type.as_str() {
        "ContractAdjusted" => Some(-body.amount("qty")?),
        "AdjustedContractOpened" => Some(body.amount("position_qty")?),
        _ => None,
    };
    let (side, qty) = match moved {
        Some(moved) => (if moved.sign() < 0 { "sell" } else { "buy" }, moved.abs()),
        None => (body.text("side")?, body.amount("qty")?),
    };
    let held = || streams.positions.get(&(account, instrument)).map(|held| held.symbol.clone());
    let (kind, symbol, price, cash, end) = if moved.is_some() {
        ("OPCA", held(), None, Amount::ZERO, None)
    } else if content.event_type == "SharesDelivered" {
        let price = body.amount("price")?;
        let cash = qty.cash(price).ok_or("the shares have no bound")?;
        ("OPTRD", Some(body.text("symbol")?.to_owned()), Some(price), cash, None)
    } else {
        let how = body.text("how")?;
        let kind = match how {
            "exercised" => "OPEXC",
            "assigned" => "OPASN",
            "expired" | "abandoned" => "OPEXP",
            "cash_settled" => "OPCSH",
            "sold_out" => "OPSLD",
            "paid_out" => "OPCA",
            other => return Err(format!("no option ends as {other}")),
        };
        let holding = streams.positions.get(&(account, instrument));
        let terms = holding.and_then(|holding| holding.contract.as_ref());
        let price = match how {
            "sold_out" => Some(body.object("bid")?.amount("price")?),
            "paid_out" if body.get("mark").is_some() => Some(body.object("mark")?.amount("price")?),
            "cash_settled" | "paid_out" => {
                let close = body.amount("settlement_price")?;
                terms.map(|terms| terms.intrinsic(close))
            }
            _ => None,
        };
        (kind, held(), price, body.money("proceeds")?, Some(how))
    };
    let cells = vec![
        some(position),
        some(0),
        some(content.tenant_id),
        some(account),
        some(kind),
        some(instrument),
        symbol,
        some(side),
        some(qty),
        maybe(price),
        some(if side == "buy" { -cash } else { cash }),
        None,
        named(body, "ending_id"),
        named(body, "action_id"),
        maybe(end),
        some(body.time("at")?),
    ];
    activities.add(&ACTIVITIES, position, cells);
    Ok(())
}

impl Books {
    /// What the row moved, by the books before and after it.
    pub(super) fn moved(&mut self, content: &Content, streams: &Streams) -> Moved {
        let mut moved = Moved::new();
        let Some(account) = content.account_id else { return moved };
        if let Some(state) = streams.accounts.get(&account) {
            let now = [state.cash - state.reserved, state.reserved, state.dividends_due];
            let before = self.cash.insert(account, now).unwrap_or_default();
            for (n, book) in ["available", "reserved", "dividends_due"].into_iter().enumerate() {
                moved.insert((book, None), now[n] - before[n]);
            }
        }
        let instrument = instrument_of(content);
        if let Some((id, state)) =
            instrument.and_then(|id| Some((id, streams.positions.get(&(account, id))?)))
        {
            let now = [state.qty - state.reserved, state.reserved];
            let before = self.shares.insert((account, id), now).unwrap_or_default();
            for (n, book) in ["shares", "shares_reserved"].into_iter().enumerate() {
                moved.insert((book, Some(id)), now[n] - before[n]);
            }
        }
        for unit in [None, instrument] {
            let sum: Amount =
                moved.iter().filter(|((_, of), _)| *of == unit).map(|(_, amount)| *amount).sum();
            if !sum.is_zero() {
                moved.insert((world(&content.event_type), unit), -sum);
            }
        }
        moved.retain(|_, amount| !amount.is_zero());
        moved
    }
}

/// The entry of a row that moved something, and its postings.
pub(super) fn entry(
    (entries, postings): (&mut Expected, &mut Expected),
    position: u64,
    content: &Content,
    moved: &Moved,
) -> Result<(), Fault> {
    let (Some(account), false) = (content.account_id, moved.is_empty()) else { return Ok(()) };
    let cells = entry_cells(position, content, account, instrument_of(content))?;
    entries.add(&ENTRIES, position, cells);
    for ((book, unit), amount) in moved {
        let unit = unit.map(|unit| unit.to_string());
        let cells = vec![
            some(position),
            some(account),
            some(book),
            unit,
            some(content.tenant_id),
            some(amount),
        ];
        postings.add(&POSTINGS, position, cells);
    }
    Ok(())
}

/// The instrument of a position's stream.
fn instrument_of(content: &Content) -> Option<Uuid> {
    content.aggregate_id.split_once('/').and_then(|(_, id)| id.parse().ok())
}

/// The entry of an event: what it names as the cause, and when it was.
fn entry_cells(
    position: u64,
    content: &Content,
    account: Uuid,
    instrument: Option<Uuid>,
) -> Result<Cells, Fault> {
    let payload: Value =
        serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
    let body = Fields::of_event(&payload, &content.event_type)?;
    let instrument = instrument.map(|id| id.to_string());
    let action = named(body, "action_id");
    let order = match body.list("changes") {
        // A replacement changes what one order reserves.
        Ok(changes) if action.is_none() && changes.len() == 1 => named(changes[0], "order_id"),
        _ => named(body, "order_id"),
    };
    Ok(vec![
        some(position),
        some(content.tenant_id),
        some(account),
        some(&content.event_type),
        instrument.or_else(|| named(body, "instrument_id")),
        order,
        named(body, "fill_id").or_else(|| named(body, "ending_id")),
        action,
        maybe(body.time_or_none("at")?),
        some(content.recorded_at),
    ])
}

/// The book of the world that an event of this type moves.
fn world(event_type: &str) -> &'static str {
    match event_type {
        "CashDeposited" | "CashWithdrawn" | "AccountReset" | "PositionReset" => "external",
        "FeeCharged" => "fees",
        "CashPaidInLieu"
        | "DividendAccrued"
        | "PositionSplit"
        | "ContractAdjusted"
        | "AdjustedContractOpened" => "issuers",
        _ => "market",
    }
}
