//! Lists with filters (I30): each combination is the naive scan of the whole list, page by page.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

/// All pages of a list, three entries each.
async fn pages(rest: &TestRest, path: &str, query: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = rest.get(&format!("{path}?limit=3{query}{cursor}")).await.expect(200);
        let page_items = page["items"].as_array().unwrap();
        assert!(page_items.len() <= 3);
        items.extend(page_items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn ids(items: &[Value], field: &str) -> Vec<Value> {
    items.iter().map(|item| item[field].clone()).collect()
}

/// An account with orders of both sides in two stocks that stand in every way, over some minutes of the market.
async fn traded(rest: &TestRest) -> String {
    rest.quoted().await;
    let account = rest.account("100000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    rest.feed(&[instrument("MSFT"), quote("MSFT", "10", "11", "2024-01-17T15:00:00Z")])
        .await
        .expect(200);
    for minute in 1..=4 {
        for symbol in ["AAPL", "MSFT"] {
            for (side, limit, time) in [
                ("buy", None, "day"),
                ("sell", None, "day"),
                ("buy", Some("5"), "gtc"),
                ("buy", Some("5"), "ioc"),
                ("sell", Some("500"), "day"),
            ] {
                let mut body = json!({"symbol": symbol, "side": side, "type": "market", "qty": "2", "time_in_force": time});
                if let Some(limit) = limit {
                    body["type"] = json!("limit");
                    body["limit_price"] = json!(limit);
                }
                // Some are rejected: they are in the lists too.
                rest.post(&orders, body).await;
            }
        }
        rest.post(&format!("/v1/accounts/{account}/deposits"), json!({"amount": "1"}))
            .await
            .expect(201);
        rest.feed(&[json!({"t": "clock", "at": format!("2024-01-17T15:0{minute}:00Z")})])
            .await
            .expect(200);
    }
    account
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_combination_of_filters_of_orders_is_the_naive_scan() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = traded(&rest).await;
    let path = format!("/v1/accounts/{account}/orders");
    let all = pages(&rest, &path, "").await;
    assert_eq!(all.len(), 40);
    let mut statuses: Vec<&str> =
        all.iter().map(|order| order["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, ["accepted", "canceled", "filled", "rejected"]);
    let times = [None, Some("2024-01-17T15:01:00Z"), Some("2024-01-17T15:02:30Z")];
    let mut combinations = 0;
    for status in [None, Some("open"), Some("closed"), Some("all")] {
        for symbol in [None, Some("AAPL"), Some("NOPE")] {
            for side in [None, Some("sell")] {
                for class in [None, Some("simple"), Some("bracket")] {
                    for (after, until) in [(0, 0), (1, 0), (0, 1), (1, 2)] {
                        let (after, until) = (times[after], times[until]);
                        let fields = [
                            ("status", status),
                            ("symbol", symbol),
                            ("side", side),
                            ("class", class),
                            ("after", after),
                            ("until", until),
                        ];
                        let query: String = fields
                            .iter()
                            .filter_map(|(name, value)| Some(format!("&{name}={}", (*value)?)))
                            .collect();
                        let naive: Vec<Value> = all
                            .iter()
                            .filter(|order| {
                                let open = order["status"] == "accepted";
                                let at = order["created_at"].as_str().unwrap();
                                status.is_none_or(|word| word == "all" || (word == "open") == open)
                                    && symbol.is_none_or(|symbol| order["symbol"] == symbol)
                                    && side.is_none_or(|side| order["side"] == side)
                                    && class.is_none_or(|class| order["order_class"] == class)
                                    && after.is_none_or(|after| at > after)
                                    && until.is_none_or(|until| at <= until)
                            })
                            .cloned()
                            .collect();
                        // One page where all fit, pages of three for the rest.
                        let found = if combinations % 4 == 0 {
                            pages(&rest, &path, &query).await
                        } else {
                            let query = query.replacen('&', "?", 1);
                            let page = rest.get(&format!("{path}{query}")).await.expect(200);
                            page["items"].as_array().unwrap().clone()
                        };
                        assert_eq!(ids(&found, "order_id"), ids(&naive, "order_id"), "{query}");
                        combinations += 1;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_combination_of_filters_of_activities_is_the_naive_scan() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = traded(&rest).await;
    let path = format!("/v1/accounts/{account}/activities");
    let all = pages(&rest, &path, "").await;
    assert!(all.len() > 15, "{}", all.len());
    let times = [None, Some("2024-01-17T15:01:00Z"), Some("2024-01-17T15:02:00Z")];
    for types in [None, Some("FILL"), Some("CSD"), Some("FILL,CSD"), Some("DIV")] {
        for after in times {
            for until in times {
                let query: String = [("types", types), ("after", after), ("until", until)]
                    .iter()
                    .filter_map(|(name, value)| Some(format!("&{name}={}", (*value)?)))
                    .collect();
                let naive: Vec<Value> = all
                    .iter()
                    .filter(|activity| {
                        let at = activity["at"].as_str().unwrap();
                        let kind = activity["activity_type"].as_str().unwrap();
                        types.is_none_or(|types| types.split(',').any(|word| word == kind))
                            && after.is_none_or(|after| at > after)
                            && until.is_none_or(|until| at <= until)
                    })
                    .cloned()
                    .collect();
                let found = pages(&rest, &path, &query).await;
                assert_eq!(ids(&found, "activity"), ids(&naive, "activity"), "{query}");
            }
        }
    }
    let cursor = rest.get(&format!("{path}?limit=3&types=FILL")).await.expect(200);
    let cursor = cursor["next_cursor"].as_str().unwrap();
    let other = rest.get(&format!("{path}?limit=3&cursor={cursor}")).await.expect(400);
    assert_eq!(other["code"], "bad_cursor", "a cursor belongs to its filters");
}
