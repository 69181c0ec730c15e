//! What cannot be an order of options, and what an account may not do with them.

use serde_json::{Value, json};

use super::{Desk, contract, credit_spread, package, single};
use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

#[tokio::test]
async fn an_account_is_opened_with_a_level_that_its_kind_has() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let open = async |kind: &str, level: Value| {
        let body =
            json!({"name": "test", "kind": kind, "starting_balance": "0", "option_level": level});
        rest.post("/v1/accounts", body).await
    };
    for (kind, usual, most) in [("cash", 0, 2), ("margin", 3, 4)] {
        assert_eq!(open(kind, Value::Null).await.expect(201)["option_level"], usual);
        assert_eq!(open(kind, json!(most)).await.expect(201)["option_level"], most);
        let refused = open(kind, json!(most + 1)).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], "option_level");
        if kind == "cash" {
            let said = refused["errors"][0]["message"].as_str().unwrap();
            assert_eq!(said, "option_level 3: a cash account has 0 to 2");
        }
    }
}

#[tokio::test]
async fn a_level_permits_what_it_permits_and_says_what_it_would_take() {
    let call = contract("C", 100);
    let naked = single("sell", &call, "2.50");
    let spread = credit_spread("-0.38");
    for (kind, level, body, needed) in [
        ("cash", 0, single("buy", &call, "2.60"), Some(2)),
        ("cash", 1, single("buy", &call, "2.60"), Some(2)),
        ("cash", 2, single("buy", &call, "2.60"), None),
        ("cash", 2, naked.clone(), Some(4)),
        ("margin", 2, spread.clone(), Some(3)),
        ("margin", 3, spread.clone(), None),
        ("margin", 3, naked.clone(), Some(4)),
        ("margin", 4, naked.clone(), None),
    ] {
        let desk = Desk::start(kind, "50000", level).await;
        let Some(needed) = needed else {
            assert_eq!(desk.place(body).await["status"], "filled");
            continue;
        };
        let refused = desk.refused(body.clone()).await;
        assert_eq!(refused["code"], "option_level", "{kind} {level}: {refused}");
        let figures = json!({"level": needed.to_string(), "option_level": level.to_string()});
        assert_eq!(refused["figures"], figures, "{kind} {level} {body}");
        // How to get there: a level is that of the opening, and a cash account cannot have every one.
        let next = match (kind, needed) {
            ("cash", 2) => "open one with option_level 2 (POST /v1/accounts)",
            ("cash", _) => {
                "1 short calls uncovered, which takes option level 4, and a cash account has 2 at the most: it covers each call by 100 shares"
            }
            _ => "cover it, or open an account with option_level",
        };
        let said = refused["detail"].as_str().unwrap();
        assert!(said.contains(next), "{kind} {level}: {said}");
        let order = refused["order_id"].as_str().unwrap();
        let order = desk.rest.get(&desk.path(&format!("/orders/{order}"))).await.expect(200);
        assert_eq!((&order["status"], &order["kind"]), (&json!("rejected"), &json!("option")));
    }
}

#[tokio::test]
async fn what_is_no_order_of_options_is_told_by_field() {
    let desk = Desk::start("margin", "10000", 4).await;
    let (call, put) = (contract("C", 100), contract("P", 99));
    let with = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let one = single("buy", &call, "2.60");
    let spread = credit_spread("-0.38");
    let mut scaled = spread.clone();
    scaled["legs"][0]["ratio_qty"] = json!(2);
    scaled["legs"][1]["ratio_qty"] = json!("2");
    let five: Vec<_> = (0..5).map(|n| ("buy", contract("C", 110 + n))).collect();
    let msft = json!({"t": "instrument", "symbol": "MSFT240216C00100000", "kind": "option", "underlying": "MSFT"});
    desk.rest.feed(&[instrument("MSFT"), msft]).await.expect(200);
    let head = desk.rest.head();
    for (body, field) in [
        (with(one.clone(), "qty", json!("1.5")), "qty"),
        (with(one.clone(), "limit_price", json!("2.605")), "limit_price"),
        (with(one.clone(), "time_in_force", json!("ioc")), "time_in_force"),
        (with(one.clone(), "extended_hours", json!(true)), "extended_hours"),
        (with(one.clone(), "position_intent", json!("sell_to_open")), "position_intent"),
        (with(one.clone(), "position_intent", json!("short")), "position_intent"),
        (with(one.clone(), "symbol", json!("AAPL240216C00777000")), "symbol"),
        (with(spread.clone(), "symbol", json!("AAPL")), "symbol"),
        (with(spread.clone(), "side", json!("buy")), "side"),
        (with(spread.clone(), "qty", json!("0.5")), "qty"),
        (with(spread.clone(), "legs", json!([])), "legs"),
        (with(spread.clone(), "legs", json!("x")), "legs"),
        (with(spread.clone(), "order_class", json!("simple")), "symbol"),
        (package(&[("buy", call.clone())], "2.60"), "legs"),
        (package(&[("buy", call.clone()), ("sell", call.clone())], "0.10"), "legs"),
        (package(&five, "1"), "legs"),
        (scaled, "legs"),
        (
            with(
                spread.clone(),
                "legs",
                json!([{"symbol": call, "side": "buy", "ratio_qty": 1.5}, {"symbol": put, "side": "buy"}]),
            ),
            "legs[0].ratio_qty",
        ),
        // So many contracts no package has, nor so many shares.
        (
            with(
                spread.clone(),
                "legs",
                json!([{"symbol": call, "side": "buy", "ratio_qty": 101}, {"symbol": put, "side": "buy"}]),
            ),
            "legs",
        ),
        (
            with(
                spread.clone(),
                "legs",
                json!([{"symbol": "AAPL", "side": "buy", "ratio_qty": 10_001}, {"symbol": put, "side": "buy"}]),
            ),
            "legs[0].ratio_qty",
        ),
        (
            with(
                spread.clone(),
                "legs",
                json!([{"symbol": call, "side": "buy", "x": 1}, {"symbol": put, "side": "buy"}]),
            ),
            "legs[0].x",
        ),
        (
            with(
                spread.clone(),
                "legs",
                json!([{"symbol": call, "side": "buy", "position_intent": "sell_to_open"}, {"symbol": put, "side": "buy"}]),
            ),
            "legs",
        ),
        (
            package(&[("buy", call.clone()), ("sell", "MSFT240216C00100000".to_owned())], "0.10"),
            "legs",
        ),
        (
            json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1", "position_intent": "buy_to_open"}),
            "position_intent",
        ),
    ] {
        for path in ["/orders", "/orders/preview"] {
            let refused = desk.rest.post(&desk.path(path), body.clone()).await.expect(422);
            let named: Vec<_> = refused["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["field"].as_str().unwrap())
                .collect();
            assert!(named.contains(&field), "{body}: {refused}");
        }
        if !body.to_string().contains("777") {
            assert_eq!(desk.rest.head(), head, "nothing is recorded of {body}");
        }
    }
}

#[tokio::test]
async fn what_closes_closes_no_more_than_is_held() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    desk.place(single("buy", &call, "2.60")).await;
    let mut two = single("sell", &call, "2.50");
    two["qty"] = json!("2");
    assert_eq!(desk.refused(two).await["code"], "insufficient_shares");
    let mut opens = single("sell", &call, "2.50");
    opens["position_intent"] = json!("sell_to_open");
    assert_eq!(desk.refused(opens).await["code"], "opposing_position");
}

#[tokio::test]
async fn an_option_that_has_expired_is_not_traded() {
    let desk = Desk::start("margin", "10000", 3).await;
    let later = crate::support::rest::quote("AAPL", "100", "101", "2024-02-20T15:00:00Z");
    desk.rest.feed(&[later]).await.expect(200);
    let refused = desk.refused(single("buy", &contract("C", 100), "2.60")).await;
    assert_eq!(refused["code"], "contract_expired", "{refused}");
}

/// A call of 100 becomes two of 50: the old symbol is a contract of nobody until the market names it again.
#[tokio::test]
async fn an_old_symbol_after_a_split_is_told_what_became_of_it_and_is_in_no_list() {
    let desk = Desk::start("margin", "10000", 3).await;
    let (old, new, put) = (contract("C", 100), contract("C", 50), contract("P", 98));
    assert_eq!(desk.place(single("buy", &old, "2.60")).await["status"], "filled");
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s",
        "at": "2024-01-17T15:01:00Z"});
    let stock = quote("AAPL", "50", "50.50", "2024-01-17T15:01:01Z");
    desk.rest
        .feed(&[split, stock, quote(&new, "1.25", "1.30", "2024-01-17T15:01:02Z")])
        .await
        .expect(200);
    let told = format!(
        "AAPL was split 2 for 1 on 2024-01-17, by which each {old} became 2 of {new}: ask for that"
    );
    let mut at_market = single("buy", &old, "2.60");
    at_market["type"] = json!("market");
    at_market.as_object_mut().unwrap().remove("limit_price");
    for body in [
        single("buy", &old, "2.60"),
        at_market,
        package(&[("buy", old.clone()), ("sell", put.clone())], "1"),
    ] {
        let refused = desk.refused(body).await;
        assert_eq!(refused["code"], "unknown_symbol", "{refused}");
        assert!(refused["detail"].as_str().unwrap().contains(&told), "{refused}");
    }
    let closed = desk.rest.delete(&desk.path(&format!("/positions/{old}"))).await.expect(422);
    assert!(closed["detail"].as_str().unwrap().contains(&told), "{closed}");
    let listed = async || {
        let page = desk.rest.get("/v1/market/options/AAPL/contracts").await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| it["symbol"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, std::slice::from_ref(&new));
    assert_eq!(desk.place(single("sell", &new, "1.25")).await["status"], "filled");
    // The market names one of the symbols again: it is a contract on the new shares.
    desk.rest.feed(&[quote(&put, "48", "48.10", "2024-01-17T15:01:03Z")]).await.expect(200);
    assert_eq!(listed().await, [new, put.clone()]);
    assert_eq!(desk.place(single("buy", &put, "48.10")).await["status"], "filled");
}

#[tokio::test]
async fn what_cannot_be_closed_of_an_option_is_counted_in_contracts() {
    let desk = Desk::start("cash", "10000", 2).await;
    let call = contract("C", 100);
    let close = desk.path(&format!("/positions/{call}"));
    let nothing = desk.rest.delete(&close).await.expect(409);
    assert_eq!(nothing["code"], "nothing_to_close");
    let said = nothing["detail"].as_str().unwrap();
    assert!(said.contains("0 contracts are held"), "never held: {said}");
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let part = desk.rest.delete(&format!("{close}?percentage=50")).await.expect(422);
    let said = part["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("50 percent of 1 contracts is less than one"), "{said}");
    assert_eq!(desk.place(single("sell", &call, "9.00")).await["status"], "accepted");
    let reserved = desk.rest.delete(&close).await.expect(409);
    let said = reserved["detail"].as_str().unwrap();
    assert!(
        said.contains("1 contracts are held, and open orders are to close 1 of them"),
        "{said}"
    );
    let shares = desk.rest.delete(&desk.path("/positions/AAPL")).await.expect(409);
    assert!(shares["detail"].as_str().unwrap().contains("0 shares are held"), "{shares}");
}

/// The market forgets a contract at the midnight after its last session, which closes at 16:00 in New York.
#[tokio::test]
async fn a_contract_that_has_expired_is_told_so_where_its_quote_is_asked_for() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    desk.rest.get(&format!("/v1/market/quotes/{call}")).await.expect(200);
    let later = json!({"t": "clock", "at": "2024-02-20T15:00:00Z"});
    desk.rest.feed(&[later]).await.expect(200);
    let told = format!(
        "{call} expired on 2024-02-16, at 2024-02-16T21:00:00Z: there is no quote of it since the midnight after; ask for the \
         expirations of AAPL"
    );
    for path in ["quotes", "bars", "options/contracts"] {
        let gone = desk.rest.get(&format!("/v1/market/{path}/{call}")).await.expect(404);
        assert_eq!((&gone["code"], &gone["detail"]), (&json!("not_found"), &json!(told)), "{path}");
    }
    let never = desk.rest.get("/v1/market/quotes/AAPL240315C00100000").await.expect(404);
    assert!(
        never["detail"].as_str().unwrap().starts_with("no contract AAPL240315C00100000 is listed"),
        "{never}"
    );
}
