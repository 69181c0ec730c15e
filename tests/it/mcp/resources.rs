//! Resources, completion, prompts and subscriptions.

use std::time::Duration;

use rmcp::model::{
    ArgumentInfo, CompleteRequestParams, CompletionContext, GetPromptRequestParams,
    ReadResourceRequestParams, Reference,
};
use serde_json::{Value, json};

use super::desk::{Client, Desk, discovery, handshake};

async fn read(client: &Client, uri: &str) -> Value {
    let read = client.0.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
    let contents = serde_json::to_value(&read.contents).unwrap();
    assert_eq!(contents[0]["mimeType"], "application/json");
    serde_json::from_str(contents[0]["text"].as_str().unwrap()).unwrap()
}

async fn completed(client: &Client, variable: &str, typed: &str, account: &str) -> Vec<String> {
    let template = "blotter://accounts/{account_id}/orders/{order_id}/events";
    let argument = ArgumentInfo::new(variable, typed);
    let known = [("account_id".to_owned(), account.to_owned())].into();
    let asked = CompleteRequestParams::new(Reference::for_resource(template), argument)
        .with_context(CompletionContext::with_arguments(known));
    client.0.complete(asked).await.unwrap().completion.values
}

#[tokio::test]
async fn every_listed_resource_reads_as_the_tools_answer_and_templates_complete() {
    for (era, name) in [(handshake(), "mcp-resources-old"), (discovery(), "mcp-resources")] {
        let desk = Desk::start(name).await;
        let client = desk.client(era).await;
        let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
        let order = client.answer("buy_stock_limit", order).await;
        let (order_id, account) =
            (order["order_id"].as_str().unwrap(), order["account_id"].as_str().unwrap());

        let resources = client.0.list_all_resources().await.unwrap();
        assert_eq!(resources.len(), 5);
        for resource in &resources {
            read(&client, &resource.uri).await;
        }
        assert_eq!(client.0.list_all_resource_templates().await.unwrap().len(), 5);
        let root = format!("blotter://accounts/{account}");
        assert_eq!(read(&client, &root).await["cash"], "10000.00");
        let open = read(&client, &format!("{root}/orders/open")).await;
        assert_eq!(open["items"][0]["order_id"], order_id);
        let events = read(&client, &format!("{root}/orders/{order_id}/events")).await;
        let history = client.answer("order_history", json!({"order_id": order_id})).await;
        assert_eq!(events["items"], history["items"]);

        assert_eq!(completed(&client, "account_id", &account[..3], "").await, [account]);
        assert_eq!(completed(&client, "order_id", "", account).await, [order_id]);
        assert!(completed(&client, "order_id", "no", account).await.is_empty());
        assert_eq!(completed(&client, "symbol", "aa", "").await, ["AAPL"]);
    }
}

#[tokio::test]
async fn what_is_not_the_callers_reads_as_what_is_not_there() {
    let desk = Desk::start("mcp-nowhere").await;
    let client = desk.client(discovery()).await;
    let stranger = "blotter://accounts/01890a5d-ac96-774b-bcce-b302099a8057";
    let mut told = Vec::new();
    for uri in [stranger, "blotter://accounts/me", "file:///etc/passwd"] {
        let error = client.0.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("-32602") && error.contains(uri), "{error}");
        told.push(error.replace(uri, ""));
    }
    assert_eq!(told[0], told[1], "a foreign id reads as one that is none");
}

#[tokio::test]
async fn prompts_bring_along_what_they_are_about() {
    let desk = Desk::start("mcp-prompts").await;
    let client = desk.client(handshake()).await;
    let names: Vec<_> =
        client.0.list_all_prompts().await.unwrap().into_iter().map(|prompt| prompt.name).collect();
    assert_eq!(names, ["plan_trade", "review_portfolio", "explain_fill", "check_risk"]);
    let bought =
        client.answer("buy_stock_market", json!({"symbol": "AAPL", "quantity": "1"})).await;
    let get = async |name: &str, arguments: Value| {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let asked = GetPromptRequestParams::new(name).with_arguments(arguments);
        client
            .0
            .get_prompt(asked)
            .await
            .map(|prompt| serde_json::to_value(prompt.messages).unwrap())
    };
    let plan =
        get("plan_trade", json!({"symbol": "AAPL", "idea": "buy {symbol} low"})).await.unwrap();
    assert!(plan[0]["content"]["text"].as_str().unwrap().contains("buy {symbol} low"));
    assert!(plan[1]["content"]["resource"]["text"].as_str().unwrap().contains("buying_power"));
    let review = get("review_portfolio", json!({})).await.unwrap();
    assert!(review[1]["content"]["resource"]["text"].as_str().unwrap().contains("AAPL"));
    let fill = get("explain_fill", json!({"order_id": bought["order_id"]})).await.unwrap();
    assert!(fill[1]["content"]["resource"]["text"].as_str().unwrap().contains("OrderFilled"));
    for (name, arguments) in [
        ("plan_trade", json!({})),
        ("plan_trade", json!({"symbol": "AAPL", "size": "1"})),
        ("explain_fill", json!({"order_id": "01890a5d-ac96-774b-bcce-b302099a8057"})),
        ("dance", json!({})),
    ] {
        assert!(get(name, arguments.clone()).await.is_err(), "{name} {arguments}");
    }
}

/// The messages of a stream of events, as they come.
pub struct Events(reqwest::Response, String);

impl Events {
    pub fn of(response: reqwest::Response) -> Self {
        Self(response, String::new())
    }

    pub async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.map(|data| serde_json::from_str(data).unwrap());
                self.1 = rest.to_owned();
                match message {
                    Some(message) => return message,
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.0.chunk()).await;
            let chunk = chunk.expect("an event in time").unwrap().expect("the stream is open");
            self.1.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn a_subscriber_is_told_when_a_resource_reads_differently_and_only_then() {
    let desk = Desk::start("mcp-subscribe").await;
    let client = desk.client(discovery()).await;
    let account = client.answer("account_info", json!({})).await["account_id"].clone();
    let account = account.as_str().unwrap();
    let open = format!("blotter://accounts/{account}/orders/open");
    let foreign = "blotter://accounts/01890a5d-ac96-774b-bcce-b302099a8057";
    let wanted = json!({"notifications": {
        "resourceSubscriptions": [open, foreign, "blotter://nothing"], "toolsListChanged": true,
    }});
    let response = desk.modern("subscriptions/listen", None, wanted).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = Events::of(response);
    let told = events.next().await;
    assert_eq!(told["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(told["params"]["notifications"], json!({"resourceSubscriptions": [open, foreign]}));

    // A fill moves the log and not the open orders; a resting order moves these.
    client.answer("buy_stock_market", json!({"symbol": "AAPL", "quantity": "1"})).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let resting = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    client.answer("buy_stock_limit", resting).await;
    let told = events.next().await;
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], json!(open));
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    client.answer("cancel_all_stock_orders_tool", json!({})).await;
    assert_eq!(events.next().await["params"]["uri"], json!(open));
}

#[tokio::test]
async fn subscriptions_are_advertised_where_they_work() {
    let desk = Desk::start("mcp-capabilities").await;
    let discovered = desk.modern("server/discover", None, json!({})).send().await.unwrap();
    let discovered: Value = discovered.json().await.unwrap();
    let capabilities = &discovered["result"]["capabilities"];
    assert_eq!(capabilities["resources"]["subscribe"], true, "{discovered}");
    let client = desk.client(handshake()).await;
    let capabilities = &client.0.peer_info().unwrap().capabilities;
    assert_eq!(capabilities.resources.as_ref().unwrap().subscribe, None);
    assert!(capabilities.prompts.is_some() && capabilities.completions.is_some());
}
