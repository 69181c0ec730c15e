//! The table of tools: names, descriptions, schemas. Everything here is constant; a test pins it.
//!
//! Schemas are portable: an object at the root, no `$ref`, no unions at the root, no lists of types, no formats, since
//! hosts silently drop tools that have them. Decimals are described as strings; numbers are read too.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// Every tool, in the order in which they are listed.
pub const NAMES: &[&str] = &[
    "health_check",
    "account_info",
    "positions",
    "buy_stock_market",
    "sell_stock_market",
    "buy_stock_limit",
    "sell_stock_limit",
    "stock_orders",
    "order_history",
    "cancel_stock_order_by_id",
    "verify_audit",
];

/// The most items of one page of a list.
pub const PAGE_MAX: u32 = 100;

/// What a tool does to the world, as hints to hosts.
#[derive(Clone, Copy)]
enum Effect {
    Reads,
    Places,
    Cancels,
}

/// Every tool.
pub fn all() -> Vec<Tool> {
    NAMES.iter().map(|name| tool(name)).collect()
}

fn tool(name: &'static str) -> Tool {
    let (title, effect, description, input, output) = match name {
        "health_check" => (
            "Health",
            Effect::Reads,
            "Says whether the ledger takes commands, what time it is on the market's clock, and how far its views are. \
             Takes no arguments. Example: {}.",
            input(&[], &[]),
            output(&[
                ("ready", "boolean"),
                ("writer", "boolean"),
                ("engine", "string"),
                ("position", "integer"),
            ]),
        ),
        "account_info" => (
            "Account",
            Effect::Reads,
            "Cash, reserved cash, buying power and equity of an account, in US dollars. Example: {}. Without account_id \
             it is your only account; with several the error lists their ids.",
            input(&[ACCOUNT], &[]),
            output(&[
                ("account_id", "string"),
                ("cash", "string"),
                ("buying_power", "string"),
                ("position", "integer"),
            ]),
        ),
        "positions" => (
            "Positions",
            Effect::Reads,
            "What an account holds: shares, what of them is free to sell, average price, cost, profit. Example: \
             {\"limit\": 50}. Prices that are not known are absent, never guessed.",
            input(&[ACCOUNT, LIMIT, CURSOR], &[]),
            page(),
        ),
        "buy_stock_market" => (
            "Buy at the market",
            Effect::Places,
            "Buys shares at the ask. Reserves the ask plus 5 % until it is done. Example: {\"symbol\": \"AAPL\", \
             \"quantity\": \"10\"}. On insufficient_buying_power lower the quantity by the figures given. Repeat a call \
             whose answer was lost with the same client_order_id.",
            input(
                &[SYMBOL, QUANTITY, TIME_IN_FORCE, CLIENT_ORDER_ID, NOTE, ACCOUNT],
                &["symbol", "quantity"],
            ),
            order(),
        ),
        "sell_stock_market" => (
            "Sell at the market",
            Effect::Places,
            "Sells shares that the account holds, at the bid. Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\"}. On \
             insufficient_shares see positions for what is free. Repeat a call whose answer was lost with the same \
             client_order_id.",
            input(
                &[SYMBOL, QUANTITY, TIME_IN_FORCE, CLIENT_ORDER_ID, NOTE, ACCOUNT],
                &["symbol", "quantity"],
            ),
            order(),
        ),
        "buy_stock_limit" => (
            "Buy at a limit",
            Effect::Places,
            "Buys shares at limit_price dollars or less; rests until then. Reserves quantity times limit_price. Example: \
             {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"limit_price\": \"187.25\", \"time_in_force\": \"gtc\"}. \
             Prices from 1.00 on have at most 2 decimals. Repeat a call whose answer was lost with the same \
             client_order_id.",
            input(
                &[SYMBOL, QUANTITY, LIMIT_PRICE, TIME_IN_FORCE, CLIENT_ORDER_ID, NOTE, ACCOUNT],
                &["symbol", "quantity", "limit_price"],
            ),
            order(),
        ),
        "sell_stock_limit" => (
            "Sell at a limit",
            Effect::Places,
            "Sells shares that the account holds at limit_price dollars or more; rests until then. Example: {\"symbol\": \
             \"AAPL\", \"quantity\": \"10\", \"limit_price\": \"190.00\"}. On insufficient_shares see positions for what \
             is free. Repeat a call whose answer was lost with the same client_order_id.",
            input(
                &[SYMBOL, QUANTITY, LIMIT_PRICE, TIME_IN_FORCE, CLIENT_ORDER_ID, NOTE, ACCOUNT],
                &["symbol", "quantity", "limit_price"],
            ),
            order(),
        ),
        "stock_orders" => (
            "Stock orders",
            Effect::Reads,
            "The stock orders of an account, newest first. Example: {\"status\": \"open\", \"symbol\": \"AAPL\"}. For \
             the next page send next_cursor as cursor.",
            input(&[STATUS, SYMBOL, LIMIT, CURSOR, ACCOUNT], &[]),
            page(),
        ),
        "order_history" => (
            "History of an order",
            Effect::Reads,
            "Every event of one order, oldest first: what happened, when, and against which quote. Example: \
             {\"order_id\": \"01890a5d-ac96-774b-bcce-b302099a8057\"}. On order_not_found see stock_orders for the ids.",
            input(&[ORDER_ID, ACCOUNT], &["order_id"]),
            page(),
        ),
        "cancel_stock_order_by_id" => (
            "Cancel a stock order",
            Effect::Cancels,
            "Cancels an open stock order; what has filled stays. Example: {\"order_id\": \
             \"01890a5d-ac96-774b-bcce-b302099a8057\"}. Of an order that is canceled already it answers the same again; \
             of a filled one it says order_not_open.",
            input(&[ORDER_ID, ACCOUNT], &["order_id"]),
            order(),
        ),
        _ => (
            "Verify the audit log",
            Effect::Reads,
            "Recomputes every hash of the log, its Merkle root against the signed checkpoints, the invariants of money \
             and shares, and every view. Takes no arguments. Example: {}. Takes seconds on a long log; if valid is \
             false, problems names the first bad position.",
            input(&[], &[]),
            output(&[
                ("valid", "boolean"),
                ("position", "integer"),
                ("root", "string"),
                ("problems", "array"),
            ]),
        ),
    };
    let hints = match effect {
        Effect::Reads => {
            ToolAnnotations::with_title(title).read_only(true).destructive(false).idempotent(true)
        }
        Effect::Places => {
            ToolAnnotations::with_title(title).read_only(false).destructive(false).idempotent(false)
        }
        Effect::Cancels => {
            ToolAnnotations::with_title(title).read_only(false).destructive(true).idempotent(true)
        }
    };
    Tool::new(name, description, Arc::new(input))
        .with_title(title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(hints.open_world(false))
}

/// A field of an input: name, type, description, and the words that it may be.
type Field = (&'static str, &'static str, &'static str, &'static [&'static str]);

const ACCOUNT: Field = ("account_id", "string", "The account. Default: your only one.", &[]);
const SYMBOL: Field = ("symbol", "string", "The ticker, such as AAPL.", &[]);
const QUANTITY: Field =
    ("quantity", "string", "Shares, a decimal string above 0, such as \"10\".", &[]);
const LIMIT_PRICE: Field =
    ("limit_price", "string", "Dollars a share, a decimal string such as \"187.25\".", &[]);
const TIME_IN_FORCE: Field = (
    "time_in_force",
    "string",
    "How long it lives: day (until the close, default), gtc (until canceled), ioc (what fills at once), fok (all at \
     once or nothing).",
    &["day", "gtc", "ioc", "fok"],
);
const CLIENT_ORDER_ID: Field = (
    "client_order_id",
    "string",
    "Your own id for the order, up to 128 characters, unique in the account for ever: the same call again returns the \
     same order. Made if absent. Not for personal data.",
    &[],
);
const NOTE: Field =
    ("note", "string", "Words of yours, up to 500 characters, kept beside the log.", &[]);
const STATUS: Field =
    ("status", "string", "Which orders. Default: all.", &["open", "closed", "all"]);
const LIMIT: Field = ("limit", "integer", "Items of a page, 1 to 100. Default: 50.", &[]);
const CURSOR: Field = ("cursor", "string", "The next_cursor of the page before.", &[]);
const ORDER_ID: Field = ("order_id", "string", "The order's id.", &[]);

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

fn input(fields: &[Field], required: &[&str]) -> JsonObject {
    let mut properties = JsonObject::new();
    for (name, kind, description, words) in fields {
        let mut property = json!({ "type": kind, "description": description });
        if !words.is_empty() {
            property["enum"] = json!(words);
        }
        properties.insert((*name).to_owned(), property);
    }
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    object(schema)
}

/// An answer with these fields and others.
fn output(fields: &[(&str, &str)]) -> JsonObject {
    let properties: JsonObject =
        fields.iter().map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind }))).collect();
    let required: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    object(json!({ "type": "object", "properties": properties, "required": required }))
}

fn order() -> JsonObject {
    output(&[
        ("order_id", "string"),
        ("account_id", "string"),
        ("client_order_id", "string"),
        ("symbol", "string"),
        ("side", "string"),
        ("type", "string"),
        ("qty", "string"),
        ("status", "string"),
        ("filled_qty", "string"),
        ("position", "integer"),
    ])
}

fn page() -> JsonObject {
    object(json!({
        "type": "object",
        "properties": {
            "items": { "type": "array", "items": { "type": "object" } },
            "next_cursor": { "type": "string", "description": "Absent on the last page." },
            "position": { "type": "integer", "description": "The last event of the log that this contains." }
        },
        "required": ["items", "position"]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a schema and collects what hosts trip over.
    fn faults(schema: &Value, at: &str, found: &mut Vec<String>) {
        let Value::Object(object) = schema else { return };
        for key in ["$ref", "$defs", "anyOf", "oneOf", "allOf", "format", "if"] {
            if object.contains_key(key) {
                found.push(format!("{at} has {key}"));
            }
        }
        if object.get("type").is_some_and(Value::is_array) {
            found.push(format!("{at} has a list of types"));
        }
        for (name, value) in object {
            faults(value, &format!("{at}/{name}"), found);
        }
    }

    #[test]
    fn every_schema_is_portable_and_every_tool_has_all_four_hints() {
        for tool in all() {
            let (input, output) =
                (Value::Object((*tool.input_schema).clone()), tool.output_schema.clone().unwrap());
            let mut found = Vec::new();
            faults(&input, &tool.name, &mut found);
            faults(&Value::Object((*output).clone()), &tool.name, &mut found);
            assert!(found.is_empty(), "{found:?}");
            assert_eq!(input["type"], "object");
            assert_eq!(input["additionalProperties"], false);
            let hints = tool.annotations.unwrap();
            let all = [
                hints.read_only_hint,
                hints.destructive_hint,
                hints.idempotent_hint,
                hints.open_world_hint,
            ];
            assert!(all.iter().all(Option::is_some), "{}", tool.name);
            assert!(tool.description.unwrap().contains("Example: "), "{}", tool.name);
        }
    }

    #[test]
    fn the_list_of_tools_is_what_agents_know() {
        let list = serde_json::to_string_pretty(&all()).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mcp-tools.json");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, format!("{list}\n")).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap().trim_end(),
            list,
            "UPDATE_GENERATED=1 writes it anew"
        );
    }
}
