//! Orders of options that rest: listed, replaced, canceled, filled by a later quote; and what another tenant sees of them.

use aggregates::user::TokenLimits;
use serde_json::json;

use super::{Desk, contract, credit_spread, fields, market, single};
use crate::support::TestDatabase;
use crate::support::people::Person;
use crate::support::rest::{TestRest, quote};

/// Resting it reserves the width less the credit: 100 - 50.
#[tokio::test]
async fn a_spread_rests_until_its_legs_come_to_its_price() {
    let desk = Desk::start("margin", "10000", 3).await;
    let order = desk.place(credit_spread("-0.50")).await;
    assert_eq!(fields(&order, &["status", "filled_qty"]), ["accepted", "0"]);
    assert_eq!(fields(&desk.now().await, &["cash", "reserved"]), ["10000.00", "50.00"]);
    let path = desk.path(&format!("/orders/{}", order["order_id"].as_str().unwrap()));

    let later = "2024-01-17T15:01:00Z";
    let lines = [quote(&contract("C", 100), "2.60", "2.70", later)];
    desk.rest.feed(&lines).await.expect(200);
    let order = desk.rest.get(&path).await.expect(200);
    // 2.12 - 2.60 = -0.48: two cents short of what it asks for.
    assert_eq!(order["status"], "accepted");
    let lines = [quote(&contract("C", 100), "2.63", "2.73", "2024-01-17T15:02:00Z")];
    desk.rest.feed(&lines).await.expect(200);
    let order = desk.rest.get(&path).await.expect(200);
    assert_eq!(fields(&order, &["status", "filled_avg_price"]), ["filled", "-0.51"]);
    assert_eq!(fields(&desk.now().await, &["cash", "reserved"]), ["10051.00", "0.00"]);
}

/// 2 * 101 and 3 * 1.55 are 206.65 a hundred shares: 20,665.00.
#[tokio::test]
async fn a_stock_leg_of_several_hundred_shares_fills_with_its_options() {
    let desk = Desk::start("margin", "100000", 3).await;
    let put = contract("P", 98);
    let legs = json!([
        {"symbol": "AAPL", "side": "buy", "ratio_qty": 200},
        {"symbol": put, "side": "buy", "ratio_qty": 3},
    ]);
    let order = json!({"order_class": "mleg", "type": "limit", "qty": "1", "limit_price": "206.65", "legs": legs});
    let told = desk.rest.post(&desk.path("/orders/preview"), order.clone()).await.expect(200);
    assert_eq!(told["after"]["cash"], "79335.00");
    let placed = desk.place(order).await;
    assert_eq!(fields(&placed, &["status", "filled_avg_price"]), ["filled", "206.65"]);
    assert_eq!(desk.now().await["cash"], "79335.00");
    assert_eq!(desk.position("AAPL").await["qty"], "200");
    assert_eq!(desk.position(&put).await["qty"], "3");
}

#[tokio::test]
async fn orders_of_options_are_listed_replaced_and_canceled_as_others_are() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    let stock =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "90"});
    desk.place(stock).await;
    let one = desk.place(single("buy", &call, "2.00")).await;
    let several = desk.place(credit_spread("-0.50")).await;
    let listed = async |query: &str| {
        let page = desk.rest.get(&desk.path(&format!("/orders?{query}"))).await.expect(200);
        let ids = page["items"].as_array().unwrap().iter();
        ids.map(|order| order["order_id"].clone()).collect::<Vec<_>>()
    };
    let (one_id, several_id) = (one["order_id"].clone(), several["order_id"].clone());
    assert_eq!(listed("kind=option").await, [several_id.clone(), one_id.clone()]);
    assert_eq!(listed("class=mleg&kind=option").await, std::slice::from_ref(&several_id));
    assert_eq!(listed(&format!("symbol={call}")).await, [several_id.clone(), one_id.clone()]);
    assert_eq!(listed("kind=stock").await.len(), 1);

    let path = |id: &serde_json::Value| desk.path(&format!("/orders/{}", id.as_str().unwrap()));
    let changed = desk.rest.patch(&path(&one_id), json!({"qty": "2", "limit_price": "1.50"})).await;
    let changed = changed.expect(200);
    assert_eq!(fields(&changed, &["qty", "limit_price", "revision"]), ["2", "1.50", "1"]);
    // 2 * 150 of the calls, 100 - 50 of the spread, half of 90 of the share.
    assert_eq!(desk.now().await["reserved"], "395.00");
    let changed = desk.rest.patch(&path(&several_id), json!({"limit_price": "-0.38"})).await;
    let changed = changed.expect(200);
    assert_eq!(fields(&changed, &["status", "filled_avg_price"]), ["filled", "-0.38"]);
    let odd = desk.rest.patch(&path(&one_id), json!({"qty": "2.5"})).await.expect(422);
    assert_eq!(odd["errors"][0]["field"], "qty", "{odd}");

    let canceled = desk.rest.delete(&desk.path("/orders?kind=option")).await.expect(200);
    assert_eq!(canceled["items"].as_array().unwrap().len(), 1);
    assert_eq!(canceled["items"][0]["order_id"], one_id);
    assert_eq!(listed("status=open").await.len(), 1, "the order of the stock stays");
    let again = desk.place(credit_spread("-0.60")).await;
    let canceled = desk.rest.delete(&path(&again["order_id"])).await.expect(200);
    assert_eq!(canceled["status"], "canceled");
}

#[tokio::test]
async fn the_same_body_again_is_the_same_order() {
    let desk = Desk::start("margin", "10000", 3).await;
    let mut body = credit_spread("-0.38");
    body["client_order_id"] = json!("once");
    let first = desk.place(body.clone()).await;
    let again = desk.rest.post(&desk.path("/orders"), body.clone()).await.expect(200);
    assert_eq!((&again["order_id"], &again["replayed"]), (&first["order_id"], &json!(true)));
    body["legs"][0]["side"] = json!("buy");
    let other = desk.rest.post(&desk.path("/orders"), body).await.expect(422);
    assert_eq!(other["code"], "key_reused");
}

#[tokio::test]
async fn another_tenant_sees_nothing_of_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&market()).await.expect(200);
    let (ada, bob) =
        (Person::register(&database, "ada").await, Person::register(&database, "bob").await);
    let (hers, his) = (ada.agent(&rest).await, bob.agent(&rest).await);
    let account = hers.account(&rest, "first").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = single("buy", &contract("C", 100), "2.00");
    let refused = hers.post(&rest, &orders, &body).await.expect(422);
    assert_eq!(refused["code"], "option_level", "a cash account has level 0: {refused}");
    let id = refused["order_id"].as_str().unwrap();
    hers.get(&rest, &format!("{orders}/{id}")).await.expect(200);
    for path in [format!("{orders}/{id}"), format!("/v1/accounts/{account}/option-positions")] {
        his.get(&rest, &path).await.expect(404);
    }
    for path in [orders.clone(), format!("{orders}/preview")] {
        his.post(&rest, &path, &credit_spread("-0.38")).await.expect(404);
    }
    let call = contract("C", 100);
    for what in ["exercise", "do-not-exercise"] {
        let path = format!("/v1/accounts/{account}/positions/{call}/{what}");
        his.post(&rest, &path, &json!({})).await.expect(404);
    }
    let assign = format!("/v1/accounts/{account}/positions/{call}/assign");
    hers.post(&rest, &assign, &json!({})).await.expect(403);
}

#[tokio::test]
async fn a_token_for_other_symbols_decides_nothing_about_an_option() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&market()).await.expect(200);
    let ada = Person::register(&database, "ada").await;
    let hers = ada.agent(&rest).await;
    let opens =
        json!({"name": "options", "kind": "cash", "starting_balance": "10000", "option_level": 2});
    let opened = hers.post(&rest, "/v1/accounts", &opens).await.expect(201);
    let account = format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap());
    let call = contract("C", 100);
    let order = single("buy", &call, "2.60");
    hers.post(&rest, &format!("{account}/orders"), &order).await.expect(201);
    let limits = |symbol: &str| TokenLimits {
        symbols: Some([symbol.to_owned()].into()),
        ..TokenLimits::default()
    };
    let told = format!("{account}/positions/{call}/do-not-exercise");
    let agent = ada.limited(&rest, limits("MSFT")).await;
    let refused = agent.post(&rest, &told, &json!({})).await.expect(403);
    assert_eq!(refused["code"], "token_limit", "{refused}");
    let agent = ada.limited(&rest, limits(&call)).await;
    agent.post(&rest, &told, &json!({})).await.expect(200);
}

/// The put was sold at 1.90 and is assigned at 99: 100 shares come for 9,900.
#[tokio::test]
async fn an_assignment_tells_what_it_moved_and_what_is_left() {
    let desk = Desk::start("cash", "10000", 1).await;
    let put = contract("P", 99);
    desk.place(single("sell", &put, "1.90")).await;
    let assign = desk.path(&format!("/positions/{put}/assign"));
    let told = desk.rest.post(&assign, json!({})).await.expect(200);
    assert_eq!(fields(&told, &["symbol", "qty"]), [put.as_str(), "0"]);
    let names =
        ["end", "qty", "underlying_symbol", "shares", "net_amount", "shares_after", "cash_after"];
    assert_eq!(
        fields(&told["ended"], &names),
        ["assigned", "1", "AAPL", "100", "-9900.00", "100", "290.00"]
    );
    assert_eq!(desk.now().await["cash"], "290.00");
}
