//! What options did to the cash of an account, as its activities tell it.

use serde_json::{Value, json};

use super::{Desk, contract, fields, iron_condor, single};

/// All pages of the fills, so many activities each.
async fn paged(desk: &Desk, size: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/activities?types=FILL&limit={size}{cursor}");
        let page = desk.rest.get(&desk.path(&path)).await.expect(200);
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Sold for 1.90 + 2.50 - 1.55 - 2.12 = 0.73 a share: 73 of cash, 155 and 212 of it paid, 190 and 250 received.
#[tokio::test]
async fn a_fill_of_several_legs_is_an_activity_a_leg_on_whatever_page() {
    let desk = Desk::start("margin", "10000", 3).await;
    desk.place(single("buy", &contract("P", 98), "1.55")).await;
    let order = desk.place(iron_condor("-0.73")).await;
    assert_eq!(fields(&order, &["status", "filled_avg_price"]), ["filled", "-0.73"]);
    let share = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    desk.place(share).await;
    let all = paged(&desk, 100).await;
    let names = ["leg", "symbol", "side", "qty", "price", "net_amount", "end"];
    let told: Vec<Vec<String>> = all.iter().map(|activity| fields(activity, &names)).collect();
    let (put, sold_put) = (contract("P", 98), contract("P", 99));
    let (call, bought_call) = (contract("C", 100), contract("C", 101));
    let expected: [[&str; 7]; 6] = [
        ["null", "AAPL", "buy", "1", "101.00", "-101.00", "null"],
        ["1", &put, "buy", "1", "1.55", "-155.00", "null"],
        ["2", &sold_put, "sell", "1", "1.90", "190.00", "null"],
        ["3", &call, "sell", "1", "2.50", "250.00", "null"],
        ["4", &bought_call, "buy", "1", "2.12", "-212.00", "null"],
        ["null", &put, "buy", "1", "1.55", "-155.00", "null"],
    ];
    assert_eq!(told, expected);
    assert!(all[1..5].iter().all(|leg| leg["order_id"] == order["order_id"]));
    assert!(all[1..5].iter().all(|leg| leg["activity"] == all[1]["activity"]));
    for size in 1..=5 {
        assert_eq!(paged(&desk, size).await, all, "pages of {size}");
    }
}

/// The bid of the call is 2.50, and the account has no 10,000 for its shares.
#[tokio::test]
async fn the_end_of_an_option_says_how_and_at_which_price() {
    let desk = Desk::start("cash", "1000", 2).await;
    let (call, put) = (contract("C", 100), contract("P", 98));
    desk.place(single("buy", &call, "2.60")).await;
    desk.place(single("buy", &put, "1.55")).await;
    let not = desk.path(&format!("/positions/{put}/do-not-exercise"));
    desk.rest.post(&not, json!({})).await.expect(200);
    let last = json!({"t": "trade", "symbol": "AAPL", "price": "105", "size": "5", "at": "2024-02-16T20:59:59Z"});
    let clock = |at: &str| json!({"t": "clock", "at": at});
    desk.rest.feed(&[last, clock("2024-02-16T21:00:01Z")]).await.expect(200);
    let ends = desk.rest.get(&desk.path("/activities?types=OPSLD,OPEXP,OPEXC")).await.expect(200);
    let ends = ends["items"].as_array().unwrap();
    let names = ["activity_type", "symbol", "end", "price", "net_amount"];
    let mut told: Vec<Vec<String>> = ends.iter().map(|activity| fields(activity, &names)).collect();
    told.sort();
    let expected: [[&str; 5]; 2] = [
        ["OPEXP", &put, "expired", "null", "0.00"],
        ["OPSLD", &call, "sold_out", "2.50", "250.00"],
    ];
    assert_eq!(told, expected);
}
