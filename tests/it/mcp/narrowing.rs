//! Which tools are on offer: what the server was told, what a request asks for.

use std::collections::BTreeSet;

use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};

use super::desk::{Desk, discovery};

/// The names that `list_tools` gives, and whether each only reads.
async fn offered(desk: &Desk, headers: &[(&'static str, &str)]) -> Vec<(String, bool)> {
    let mut request = desk.stateless("list_tools", &json!({}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let tools = answer["result"]["structuredContent"]["tools"].as_array().unwrap();
    let tool = |tool: &Value| {
        (tool["name"].as_str().unwrap().to_owned(), tool["read_only"].as_bool().unwrap())
    };
    tools.iter().map(tool).collect()
}

#[tokio::test]
async fn a_server_offers_the_toolsets_that_it_was_told_and_no_call_reaches_others() {
    let arguments = ["--toolsets", "system,account,stock-orders", "--read-only"];
    let desk = Desk::start_with("mcp-toolsets", &arguments).await;
    let client = desk.client(discovery()).await;
    let tools = client.0.list_all_tools().await.unwrap();
    let listed: BTreeSet<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert!(listed.contains("account_info") && listed.contains("list_tools"), "{listed:?}");
    assert!(
        tools.iter().all(|tool| tool.annotations.as_ref().unwrap().read_only_hint == Some(true))
    );
    assert!(!listed.contains("buy_stock_market") && !listed.contains("verify_audit"));
    let order = json!({"symbol": "AAPL", "quantity": "1"});
    for (name, arguments) in [("buy_stock_market", order), ("verify_audit", json!({}))] {
        let (sentence, block) = client.refusal(name, arguments).await;
        assert_eq!(block["code"], "tool_not_offered");
        assert!(sentence.contains(name), "{sentence}");
    }
    assert_eq!(client.answer("account_info", json!({})).await["cash"], "10000.00");
    let unknown = CallToolRequestParams::new("buy_the_moon");
    assert!(client.0.call_tool(unknown).await.is_err());
}

#[tokio::test]
async fn a_request_narrows_what_it_is_offered_by_its_headers() {
    let desk = Desk::start("mcp-narrow").await;
    let all = offered(&desk, &[]).await;
    let reading = offered(&desk, &[("x-mcp-readonly", "true")]).await;
    let expected: Vec<_> = all.iter().filter(|(_, reads)| *reads).cloned().collect();
    assert_eq!(reading, expected);
    assert!(reading.len() < all.len());
    let few = offered(&desk, &[("x-mcp-toolsets", "system")]).await;
    assert_eq!(
        few.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["list_tools", "health_check"]
    );
    let wrong = desk.stateless("list_tools", &json!({})).header("x-mcp-toolsets", "sistem");
    let wrong: Value = wrong.send().await.unwrap().json().await.unwrap();
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
}
