//! What comes at the same moment to the real binary: one of the two happens, whole, and each caller is told which.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{verify_directory, writes};
use crate::support::rest::{Answer, OPEN, TOKEN, quote, send};
use crate::support::{Scratch, Server, scratch_with_cluster};

/// A server of the feed with one account that trades AAPL.
struct Desk {
    server: Server,
    directory: Scratch,
    client: reqwest::Client,
    account: String,
    /// Seconds since the market opened.
    seconds: u32,
}

impl Desk {
    async fn open(name: &str, balance: &str) -> Self {
        let directory = scratch_with_cluster(name).await;
        let server = Server::launch_with(directory.path(), &[]);
        writes(&server).await;
        let client = reqwest::Client::new();
        let mut desk = Self { server, directory, client, account: String::new(), seconds: 0 };
        desk.feed(&[quote("AAPL", "99.90", "101.00", OPEN)]).await;
        let body = json!({"name": name, "kind": "cash", "starting_balance": balance});
        let opened = desk.ask(Method::POST, "/v1/accounts", Some(body)).await.expect(201);
        desk.account = format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap());
        desk
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.server.base()));
        let request = request.bearer_auth(TOKEN);
        send(body.into_iter().fold(request, |request, body| request.json(&body))).await
    }

    async fn feed(&self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request = self.client.post(format!("{}/v1/market/feed", self.server.base()));
        let request = request.header("content-type", "application/x-ndjson").body(text);
        send(request.bearer_auth(TOKEN)).await.expect(200);
    }

    /// The next second of the market.
    fn next(&mut self) -> String {
        self.seconds += 1;
        format!("2024-01-17T15:{:02}:{:02}Z", self.seconds / 60, self.seconds % 60)
    }

    /// Sends so many of an order at the same time, which are all taken; gives their paths.
    async fn place(&self, order: &Value, times: usize) -> Vec<String> {
        let path = format!("{}/orders", self.account);
        let sent = (0..times).map(|_| self.ask(Method::POST, &path, Some(order.clone())));
        let taken = join_all(sent).await.into_iter().map(|answer| answer.expect(201));
        taken.map(|order| format!("{path}/{}", order["order_id"].as_str().unwrap())).collect()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await.expect(200)
    }

    /// Shares of AAPL held.
    async fn held(&self) -> usize {
        let positions = self.get(&format!("{}/positions", self.account)).await;
        let qty = positions["items"].get(0).map(|position| position["qty"].as_str().unwrap());
        qty.map_or(0, |qty| qty.parse().unwrap())
    }

    async fn verify(self) {
        let account = self.get(&self.account).await;
        assert_eq!(account["reserved"], "0.00", "{account}");
        let Self { server, directory, .. } = self;
        drop(server);
        verify_directory(directory.path());
    }
}

/// Another moment each round, of so many microseconds at the most.
async fn a_moment(round: u64, most: u64) {
    tokio::time::sleep(Duration::from_micros(round * 1_237 % most)).await;
}

/// A thousand orders, twenty at a time: each is filled or canceled, and who cancels is told which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_against_a_fill() {
    let mut desk = Desk::open("cancel-and-fill", "1000000").await;
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "99",
        "time_in_force": "gtc"});
    let (mut filled, mut canceled) = (0, 0);
    for round in 0..50 {
        let orders = desk.place(&buy, 20).await;
        let touching = quote("AAPL", "98.90", "99.00", &desk.next());
        let lines = [touching];
        // Now the one is late, now the other.
        let late = if round % 2 == 0 { (round, 0) } else { (0, round) };
        let cancels = async {
            a_moment(late.0, 9_000).await;
            join_all(orders.iter().map(|path| desk.ask(Method::DELETE, path, None))).await
        };
        let touch = async {
            a_moment(late.1, 9_000).await;
            desk.feed(&lines).await;
        };
        let (told, ()) = tokio::join!(cancels, touch);
        for (path, told) in orders.iter().zip(told) {
            let order = desk.get(path).await;
            match order["status"].as_str().unwrap() {
                "canceled" => {
                    assert_eq!((told.status.as_u16(), &order["filled_qty"]), (200, &json!("0")));
                    canceled += 1;
                }
                "filled" => {
                    let told = told.expect(409);
                    assert_eq!(
                        (&told["code"], &order["filled_qty"]),
                        (&json!("order_not_open"), &json!("1"))
                    );
                    filled += 1;
                }
                other => panic!("{other}: {order}"),
            }
        }
        let calm = quote("AAPL", "99.90", "101.00", &desk.next());
        desk.feed(&[calm]).await;
    }
    println!("of 1,000 orders {filled} filled and {canceled} were canceled");
    assert!(filled > 0 && canceled > 0, "{filled} filled, {canceled} canceled: they have to meet");
    assert_eq!((filled + canceled, desk.held().await), (1_000, filled));
    let account = desk.get(&desk.account).await;
    assert_eq!(account["cash"], format!("{}.00", 1_000_000 - 99 * filled));
    desk.verify().await;
}

/// A stop is moved out of the way of the market or triggered by it, and who moves it is told which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_against_a_trigger() {
    let mut desk = Desk::open("change-and-trigger", "1000000").await;
    let trade = |price: &str, at: &str| json!({"t": "trade", "symbol": "AAPL", "price": price, "size": "100", "at": at});
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "100"});
    let stop = json!({"symbol": "AAPL", "side": "sell", "type": "stop", "qty": "1", "stop_price": "98",
        "time_in_force": "gtc"});
    let at = desk.next();
    desk.feed(&[trade("100.00", &at)]).await;
    desk.place(&buy, 1).await;
    let (mut moved, mut sold) = (0, 0);
    for round in 0..25 {
        let orders = desk.place(&stop, 4).await;
        let (falls, at) = (desk.next(), desk.next());
        let lines = [trade("97.50", &falls), quote("AAPL", "97.40", "97.60", &at)];
        let change = json!({"stop_price": "90"});
        let changes = orders.iter().map(|path| desk.ask(Method::PATCH, path, Some(change.clone())));
        let fall = async {
            a_moment(round, 25_000).await;
            desk.feed(&lines).await;
        };
        let (told, ()) = tokio::join!(join_all(changes), fall);
        for (path, told) in orders.iter().zip(told) {
            let order = desk.get(path).await;
            match order["status"].as_str().unwrap() {
                "accepted" => {
                    assert_eq!(
                        (told.status.as_u16(), &order["stop_price"]),
                        (200, &json!("90.00"))
                    );
                    desk.ask(Method::DELETE, path, None).await.expect(200);
                    moved += 1;
                }
                "filled" => {
                    assert_ne!(told.status.as_u16(), 200, "{}", told.text);
                    let (price, stop) = (&order["filled_avg_price"], &order["stop_price"]);
                    assert_eq!((price, stop), (&json!("97.40"), &json!("98.00")), "{order}");
                    sold += 1;
                }
                other => panic!("{other}: {order}"),
            }
        }
        let (rises, at) = (desk.next(), desk.next());
        desk.feed(&[trade("100.00", &rises), quote("AAPL", "99.90", "101.00", &at)]).await;
    }
    println!("of 100 stops {moved} were moved and {sold} triggered");
    assert!(moved > 0 && sold > 0, "{moved} moved, {sold} sold: they have to meet");
    assert_eq!((moved + sold, desk.held().await), (100, 100 - sold));
    desk.verify().await;
}

/// Each of two orders could be paid, not both: one is taken, and the other is told what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_for_the_last_buying_power() {
    let desk = Desk::open("last-buying-power", "1000").await;
    let path = format!("{}/orders", desk.account);
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "6", "limit_price": "99",
        "time_in_force": "gtc"});
    for _ in 0..100 {
        let both = [1, 2].map(|_| desk.ask(Method::POST, &path, Some(buy.clone())));
        let told = join_all(both).await;
        let (taken, refused): (Vec<Answer>, Vec<Answer>) =
            told.into_iter().partition(|answer| answer.status.as_u16() == 201);
        let ([taken], [refused]) = (&taken[..], &refused[..]) else {
            panic!("one of two: {taken:?} {refused:?}")
        };
        let problem = refused.json();
        assert_eq!(
            (refused.status.as_u16(), &problem["code"]),
            (422, &json!("insufficient_buying_power"))
        );
        let account = desk.get(&desk.account).await;
        assert_eq!(
            (&account["reserved"], &account["buying_power"]),
            (&json!("594.00"), &json!("406.00"))
        );
        let taken = format!("{path}/{}", taken.json()["order_id"].as_str().unwrap());
        desk.ask(Method::DELETE, &taken, None).await.expect(200);
    }
    desk.verify().await;
}
