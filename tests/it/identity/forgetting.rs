//! Forgetting while something is being written: nothing of the person is left, whoever was first.

use std::time::Duration;

use aggregates::user::GrantRole;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::TestDatabase;
use crate::support::people::{Agent, Person};
use crate::support::rest::{TOKEN, TestRest, send};

/// People who are forgotten.
const ROUNDS: u64 = 30;
/// Requests of each kind that come meanwhile.
const AT_ONCE: usize = 4;

async fn count(database: &TestDatabase, statement: &str, person: &Person) -> i64 {
    let count = sqlx::query_scalar(statement).bind(person.tenant.uuid());
    count.fetch_one(database.identity.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_is_forgotten_while_things_are_written_leaves_no_grant_no_name_and_no_note() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.quoted().await;
    let friend = Person::register(&database, "friend").await;
    let friends = friend.agent(&rest).await;
    let theirs = friends.account(&rest, "friend's").await;
    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        let person = Person::register(&database, &format!("person{round}")).await;
        let Agent(token) = person.agent(&rest).await;
        let account = Agent(token.clone()).account(&rest, "to forget").await;
        let mut writing = JoinSet::new();
        let path = format!("/v1/accounts/{account}");
        let bodies = |n: usize| {
            let open = json!({"name": format!("{n}"), "kind": "cash", "starting_balance": "1"});
            let order = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1",
                "limit_price": "1", "note": format!("note {n}")});
            let given = json!({"user": friend.email, "role": GrantRole::Viewer.word()});
            let taken = json!({"user": person.email, "role": GrantRole::Viewer.word()});
            [
                (token.clone(), "/v1/accounts".to_owned(), open),
                (token.clone(), format!("{path}/orders"), order),
                (token.clone(), format!("{path}/grants"), given),
                (friends.0.clone(), format!("/v1/accounts/{theirs}/grants"), taken),
            ]
        };
        for (token, path, body) in (0..AT_ONCE).flat_map(bodies) {
            let request = rest.request(Method::POST, &path).bearer_auth(token).json(&body);
            writing.spawn(send(request));
        }
        tokio::time::sleep(Duration::from_millis(round % 10)).await;
        let forget = format!("/v1/users/{}", person.user_id);
        send(rest.request(Method::DELETE, &forget).bearer_auth(TOKEN)).await.expect(200);
        while let Some(answer) = writing.join_next().await {
            let status = answer.unwrap().status.as_u16();
            assert!(matches!(status, 201 | 401 | 404 | 409 | 422 | 429 | 503), "{status}");
            if status == 201 { before += 1 } else { after += 1 }
        }
        for (what, statement) in [
            ("names", "SELECT count(*) FROM account_names WHERE tenant_id = $1"),
            ("notes", "SELECT count(*) FROM order_notes WHERE tenant_id = $1"),
            ("grants", "SELECT count(*) FROM grants WHERE tenant_id = $1 AND revoked_at IS NULL"),
        ] {
            assert_eq!(count(&database, statement, &person).await, 0, "{what} of round {round}");
        }
        let to = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM grants WHERE user_id = $1");
        let to = to.bind(person.user_id.uuid()).fetch_one(database.identity.pool()).await.unwrap();
        assert_eq!(to, 0, "grants to the person of round {round}");
    }
    assert!(before > 0 && after > 0, "{before} came before and {after} after");
    assert_eq!(rest.get("/v1/audit/verify").await.expect(200)["valid"], true);
}
