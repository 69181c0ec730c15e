//! Bad input, from one table, to both faces: each row is refused with the fitting status, code and field, and leaves
//! nothing: no event, no reservation, no answer that hands back what was sent, no slow or unwell server.

mod desk;
mod table;

use reqwest::header::HeaderValue;

use desk::{Desk, Expected, Sent};
use table::{Face, OrderRow, RestRow, RpcRow, Table, ToolRow, WireRow, bytes, text};

/// The tool that places the orders of a row, and what its arguments are called.
const TOOLS: [(&str, &str); 6] = [
    ("limit", "buy_stock_limit"),
    ("market", "buy_stock_market"),
    ("stop", "buy_stock_stop_loss"),
    ("stop_limit", "buy_stock_stop_limit"),
    ("trailing_stop", "buy_stock_trailing_stop"),
    ("trailing_stop_limit", "buy_stock_trailing_stop"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_orders_are_refused_alike_by_both_faces() {
    let mut desk = Desk::start("bad-orders").await;
    for row in &Table::read().order {
        for value in &row.values {
            if row.only != Some(Face::Mcp) {
                over_rest(&mut desk, row, value).await;
            }
            if row.only != Some(Face::Rest) {
                over_mcp(&mut desk, row, value).await;
            }
        }
    }
    desk.close().await;
}

/// The fields of a good order with one of them set to `value`.
fn fields(row: &OrderRow, value: &str, desk: &Desk, rename: fn(&str) -> &str) -> Vec<u8> {
    let good = match row.order_type.as_str() {
        "market" => vec![("symbol", "\"AAPL\""), ("qty", "\"1\"")],
        "stop" => vec![("symbol", "\"AAPL\""), ("qty", "\"1\""), ("stop_price", "\"190.00\"")],
        "trailing_stop" => {
            vec![("symbol", "\"AAPL\""), ("qty", "\"1\""), ("trail_price", "\"5.00\"")]
        }
        "trailing_stop_limit" => vec![
            ("symbol", "\"AAPL\""),
            ("qty", "\"1\""),
            ("trail_price", "\"5.00\""),
            ("limit_offset", "\"0.50\""),
        ],
        "stop_limit" => vec![
            ("symbol", "\"AAPL\""),
            ("qty", "\"1\""),
            ("stop_price", "\"190.00\""),
            ("limit_price", "\"191.00\""),
        ],
        _ => vec![("symbol", "\"AAPL\""), ("qty", "\"1\""), ("limit_price", "\"90.00\"")],
    };
    let changed = rename(&row.field);
    let mut all: Vec<(String, &str)> =
        good.into_iter().map(|(name, value)| (rename(name).to_owned(), value)).collect();
    all.retain(|(name, _)| name != changed);
    if !value.is_empty() {
        all.push((changed.to_owned(), value));
    }
    let mut json: Vec<String> =
        all.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    json.extend((!row.with.is_empty()).then(|| row.with.clone()));
    bytes(&json.join(","), &desk.names)
}

async fn over_rest(desk: &mut Desk, row: &OrderRow, value: &str) {
    let mut body = b"{".to_vec();
    for (field, word) in [("side", "buy"), ("type", row.order_type.as_str())] {
        if row.field != field {
            body.extend(format!("\"{field}\":\"{word}\",").into_bytes());
        }
    }
    body.extend(fields(row, value, desk, |name| name));
    body.push(b'}');
    let named = text(row.named.as_ref().unwrap_or(&row.field), &desk.names);
    let expected = match row.status {
        400 => Expected::Problem(400, "unreadable", None),
        status => Expected::Problem(status, &row.code, Some(&named)),
    };
    for path in ["orders", "orders/preview", "orders/preview/risk"] {
        let path = format!("/v1/accounts/{}/{path}", desk.names["account"]);
        let sent = Sent::new(&row.name, value, body.clone());
        let request = desk.request("POST", &path).header("content-type", "application/json");
        desk.expect(&sent, request, &expected).await;
    }
}

/// What a field of an order is called among the arguments of a tool.
fn argument(field: &str) -> &str {
    match field {
        "qty" => "quantity",
        "trail_price" => "trail_amount",
        other => other,
    }
}

async fn over_mcp(desk: &mut Desk, row: &OrderRow, value: &str) {
    let (_, tool) = TOOLS.iter().find(|(kind, _)| *kind == row.order_type).unwrap();
    let mut arguments = b"{".to_vec();
    arguments.extend(fields(row, value, desk, argument));
    arguments.push(b'}');
    let sent = Sent::new(&row.name, value, desk.call(tool, &arguments));
    let request = desk.modern("tools/call", Some(tool));
    let named = text(row.named.as_ref().unwrap_or(&row.field), &desk.names);
    let expected = match row.status {
        400 => Expected::Rpc(400, Some(-32700)),
        _ => Expected::Refusal(&row.code, Some(argument(&named))),
    };
    desk.expect(&sent, request, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_over_rest_leave_nothing() {
    let mut desk = Desk::start("bad-rest").await;
    for row in &Table::read().rest {
        let paths: Vec<_> = row.path.iter().chain(&row.paths).collect();
        assert!(!paths.is_empty(), "{}", row.name);
        let bodies = if row.bodies.is_empty() {
            vec![""]
        } else {
            row.bodies.iter().map(String::as_str).collect()
        };
        let mut shown: Vec<_> = row.authorizations.iter().map(Some).collect();
        if shown.is_empty() {
            shown.push(None);
        }
        for path in paths {
            for media_type in &row.types {
                for body in &bodies {
                    for authorization in &shown {
                        rest(&mut desk, row, path, media_type, body, *authorization).await;
                    }
                }
            }
        }
    }
    desk.close().await;
}

async fn rest(
    desk: &mut Desk,
    row: &RestRow,
    path: &str,
    media_type: &str,
    body: &str,
    authorization: Option<&String>,
) {
    let path = text(path, &desk.names);
    let mut request = match row.token {
        true => desk.request(&row.method, &path),
        false => desk.nobody(&row.method, &path),
    };
    if let Some(authorization) = authorization {
        request = request.header("authorization", text(authorization, &desk.names));
    }
    if !media_type.is_empty() && !row.bodies.is_empty() {
        request = request.header("content-type", media_type);
    }
    for (name, value) in &row.headers {
        let value = HeaderValue::from_bytes(&bytes(value, &desk.names)).unwrap();
        request = request.header(name, value);
    }
    let shown = format!("{} {path} {media_type} {body}", row.method);
    let sent = Sent::new(&row.name, &shown, bytes(body, &desk.names)).at(&path);
    let expected = Expected::Problem(row.status, &row.code, row.field.as_deref());
    desk.expect(&sent, request, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_calls_over_mcp_leave_nothing() {
    let mut desk = Desk::start("bad-mcp").await;
    let Table { tool: tools, rpc, .. } = Table::read();
    for row in &tools {
        for tool in &row.tools {
            for arguments in &row.arguments {
                call(&mut desk, row, tool, arguments).await;
            }
        }
    }
    for row in &rpc {
        for media_type in &row.types {
            for body in &row.bodies {
                jsonrpc(&mut desk, row, media_type, body).await;
            }
        }
    }
    desk.close().await;
}

async fn call(desk: &mut Desk, row: &ToolRow, tool: &str, arguments: &str) {
    let body = desk.call(tool, &bytes(arguments, &desk.names));
    let sent = Sent::new(&row.name, &format!("{tool} {arguments}"), body);
    let request = desk.modern("tools/call", Some(tool));
    let expected = Expected::Refusal(&row.code, row.field.as_deref());
    desk.expect(&sent, request, &expected).await;
}

async fn jsonrpc(desk: &mut Desk, row: &RpcRow, media_type: &str, body: &str) {
    let mut request = desk.legacy();
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    for (name, value) in &row.headers {
        request = request.header(name, value);
    }
    let sent = Sent::new(&row.name, &format!("{media_type} {body}"), bytes(body, &desk.names));
    desk.expect(&sent, request, &Expected::Rpc(row.status, row.rpc)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bytes_on_a_connection_leave_nothing() {
    let mut desk = Desk::start("bad-wire").await;
    for WireRow { name, sends, status } in &Table::read().wire {
        for send in sends {
            let sent = Sent::new(name, send, bytes(send, &desk.names));
            desk.expect_on_the_wire(&sent, *status).await;
        }
    }
    desk.close().await;
}
