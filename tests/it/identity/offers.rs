//! Offers of roles: nobody is given one that they did not accept, and nobody fills the list of another.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::people::{Person, call};
use crate::support::TestDatabase;
use crate::support::rest::{TOKEN, TestRest};

async fn started() -> (TestDatabase, TestRest, Person, Person) {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let (ada, bob) = (Person::new(rest.base(), "ada").await, Person::new(rest.base(), "bob").await);
    (database, rest, ada, bob)
}

/// Opens an account and gives its path.
async fn account(person: &Person, name: &str) -> String {
    let body = json!({"name": name, "kind": "cash", "starting_balance": "100"});
    let opened = person.post("/v1/accounts", body).await.expect(201);
    format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap())
}

fn to(user: &str, role: &str) -> Value {
    json!({"user": user, "role": role})
}

/// Offers Bob a role and gives the id of the grant.
async fn offer(ada: &Person, account: &str, role: &str) -> String {
    let offered = ada.post(&format!("{account}/grants"), to("bob@example.org", role)).await;
    offered.expect(201)["grant_id"].as_str().unwrap().to_owned()
}

async fn held(bob: &Person) -> Vec<Value> {
    bob.get("/v1/grants").await.expect(200)["items"].as_array().unwrap().clone()
}

/// The events of an account that tell of grants, by their types, with who acted.
async fn told(ada: &Person, account: &str) -> Vec<(String, String)> {
    let id = account.rsplit('/').next().unwrap();
    let events = ada.get(&format!("/v1/audit/events?account_id={id}&limit=500")).await.expect(200);
    let words = events["items"].as_array().unwrap().iter().map(|event| {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&event["event_type"]), word(&event["metadata"]["actor"]))
    });
    words.filter(|(word, _)| word.starts_with("Access") || word.starts_with("Offer")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_opens_nothing_until_its_holder_accepts_it_and_the_holder_may_leave() {
    let (_database, rest, ada, bob) = started().await;
    let account = account(&ada, "ada's").await;
    let grant = offer(&ada, &account, "viewer").await;
    let accept = format!("/v1/grants/{grant}/accept");

    bob.get(&account).await.expect(404);
    assert_eq!(bob.get("/v1/accounts").await.expect(200)["items"], json!([]));
    let seen = held(&bob).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (&seen[0]["grant_id"], &seen[0]["state"], &seen[0]["role"], &seen[0]["account_name"]),
        (&json!(grant), &json!("offered"), &json!("viewer"), &json!("ada's"))
    );
    assert!(account.ends_with(seen[0]["account_id"].as_str().unwrap()));
    assert!(seen[0]["lapses_at"].is_string() && seen[0]["created_at"].is_string());
    // Nobody else accepts, declines or sees it, and no token does.
    let eve = Person::new(rest.base(), "eve").await;
    for who in [&ada, &eve] {
        who.send(Method::POST, &accept, None).await.expect(404);
        who.delete(&format!("/v1/grants/{grant}")).await.expect(404);
        assert!(held(who).await.is_empty());
    }
    let token = bob.post("/v1/tokens", json!({"name": "agent", "scopes": ["admin"]})).await;
    let token = token.expect(201)["token"].as_str().unwrap().to_owned();
    for bearer in [token.as_str(), TOKEN] {
        let refused = call(rest.base(), Method::POST, &accept, Some(bearer), None).await;
        assert_eq!(refused.expect(403)["code"], "forbidden");
    }

    let accepted = bob.send(Method::POST, &accept, None).await.expect(200);
    assert_eq!((&accepted["state"], &accepted["lapses_at"]), (&json!("accepted"), &Value::Null));
    bob.get(&account).await.expect(200);
    let again = bob.send(Method::POST, &accept, None).await.expect(200);
    assert_eq!(again["accepted_at"], accepted["accepted_at"]);
    let given = ada.get(&format!("{account}/grants")).await.expect(200);
    assert_eq!(
        (&given["items"][0]["state"], &given["items"][0]["user"]),
        (&json!("accepted"), &json!("bob@example.org")),
        "who gave it sees what they typed"
    );

    bob.delete(&format!("/v1/grants/{grant}")).await.expect(200);
    bob.get(&account).await.expect(404);
    bob.delete(&format!("/v1/grants/{grant}")).await.expect(404);
    bob.send(Method::POST, &accept, None).await.expect(404);
    let bobs = |word: &str| (word.to_owned(), bob.user_id.clone());
    assert_eq!(
        told(&ada, &account).await,
        [
            ("AccessOffered".to_owned(), ada.user_id.clone()),
            bobs("AccessGranted"),
            bobs("AccessRevoked")
        ]
    );

    // Withdrawn, and declined.
    for (who, path) in [(&ada, format!("{account}/grants")), (&bob, "/v1/grants".to_owned())] {
        let grant = offer(&ada, &account, "owner").await;
        who.delete(&format!("{path}/{grant}")).await.expect(200);
        assert!(held(&bob).await.is_empty());
        let accept = format!("/v1/grants/{grant}/accept");
        bob.send(Method::POST, &accept, None).await.expect(404);
    }
    let again = ada.post(&format!("{account}/grants"), to(&bob.email, "viewer")).await.expect(409);
    assert!(again["detail"].as_str().unwrap().contains("7 days"), "{again}");
    let told = told(&ada, &account).await;
    assert_eq!(told[4], ("OfferEnded".to_owned(), ada.user_id.clone()));
    assert_eq!(told[6], bobs("OfferEnded"));
    assert_eq!(told.len(), 7);
    assert_eq!(rest.get("/v1/audit/verify").await.expect(200)["valid"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_giver_has_few_offers_wait_for_one_user_and_the_operator_asks_nobody() {
    let (_database, rest, ada, bob) = started().await;
    let mut last = String::new();
    for n in 0..5 {
        last = account(&ada, &n.to_string()).await;
        offer(&ada, &last, "viewer").await;
    }
    let sixth = account(&ada, "sixth").await;
    let path = format!("{sixth}/grants");
    let refused = ada.post(&path, to(&bob.email, "viewer")).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("5 offers"), "{refused}");
    // An owner by grant counts for itself, and so does every other giver.
    let eve = Person::new(rest.base(), "eve").await;
    let theirs = account(&eve, "eve's").await;
    eve.post(&format!("{theirs}/grants"), to(&bob.email, "viewer")).await.expect(201);
    // One that is accepted waits no more.
    let first = held(&bob).await[0]["grant_id"].as_str().unwrap().to_owned();
    bob.send(Method::POST, &format!("/v1/grants/{first}/accept"), None).await.expect(200);
    ada.post(&path, to(&bob.email, "viewer")).await.expect(201);

    let eves = account(&eve, "another").await;
    let body = Some(to(&bob.email, "auditor"));
    let given = call(rest.base(), Method::POST, &format!("{eves}/grants"), Some(TOKEN), body).await;
    assert_eq!(given.expect(201)["state"], "accepted");
    bob.get(&eves).await.expect(200);
    bob.get(&last).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_of_many_strangers_keep_nobody_from_what_they_hold() {
    let (database, rest, ada, bob) = started().await;
    let mine = account(&ada, "ada's").await;
    let waiting = offer(&ada, &mine, "viewer").await;
    let crowd = |count: i32, accepted: &'static str| {
        let insert = format!(
            "INSERT INTO grants (grant_id, tenant_id, account_id, user_id, role, created_at, accepted_at, given_by)
             SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $1, 'viewer', now(), {accepted},
                 gen_random_uuid() FROM generate_series(1, $2)"
        );
        let (pool, user_id) = (&database.identity, bob.user_id.parse::<Uuid>().unwrap());
        async move {
            sqlx::query(&insert).bind(user_id).bind(count).execute(pool.pool()).await.unwrap();
        }
    };
    crowd(79, "NULL").await;
    let other = account(&ada, "other").await;
    let path = format!("{other}/grants");
    let refused = ada.post(&path, to(&bob.email, "viewer")).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("as many offers wait"), "{refused}");
    // What waits is no grant: the operator gives one, and the holder takes up what they like.
    let operator = async |path: &str| {
        call(rest.base(), Method::POST, path, Some(TOKEN), Some(to(&bob.email, "auditor"))).await
    };
    operator(&path).await.expect(201);
    crowd(98, "now()").await;
    let accept = format!("/v1/grants/{waiting}/accept");
    bob.send(Method::POST, &accept, None).await.expect(200);
    // Of whom they have accepted one, they are offered more than of strangers.
    crowd(15, "NULL").await;
    let more = offer(&ada, &account(&ada, "more").await, "viewer").await;
    bob.delete(&format!("/v1/grants/{more}")).await.expect(200);
    let undo = "UPDATE grants SET declined = false WHERE user_id = $1";
    let undo = sqlx::query(undo).bind(bob.user_id.parse::<Uuid>().unwrap());
    undo.execute(database.identity.pool()).await.unwrap();
    let eve = Person::new(rest.base(), "eve").await;
    let strange = format!("{}/grants", account(&eve, "eve's").await);
    eve.post(&strange, to(&bob.email, "viewer")).await.expect(409);
    // A hundred are held.
    let third = format!("{}/grants", account(&ada, "third").await);
    let refused = operator(&third).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("100 grants are held"), "{refused}");
    let next = offer(&ada, third.strip_suffix("/grants").unwrap(), "viewer").await;
    let accept = format!("/v1/grants/{next}/accept");
    bob.send(Method::POST, &accept, None).await.expect(409);
    bob.delete(&format!("/v1/grants/{waiting}")).await.expect(200);
    bob.send(Method::POST, &accept, None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_nobody_accepts_in_time_is_over() {
    let (database, _rest, ada, bob) = started().await;
    let account = account(&ada, "ada's").await;
    let grant = offer(&ada, &account, "viewer").await;
    let age =
        "UPDATE grants SET created_at = now() - interval '30 days 1 minute' WHERE grant_id = $1";
    let grant_id: Uuid = grant.parse().unwrap();
    sqlx::query(age).bind(grant_id).execute(database.identity.pool()).await.unwrap();
    assert!(held(&bob).await.is_empty());
    let accept = format!("/v1/grants/{grant}/accept");
    bob.send(Method::POST, &accept, None).await.expect(404);
    assert_eq!(ada.get(&format!("{account}/grants")).await.expect(200)["items"], json!([]));
    ada.delete(&format!("{account}/grants/{grant}")).await.expect(404);
    // It is in the way of no other.
    let next = offer(&ada, &account, "trader").await;
    bob.send(Method::POST, &format!("/v1/grants/{next}/accept"), None).await.expect(200);
    let words: Vec<_> = told(&ada, &account).await.into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["AccessOffered", "OfferEnded", "AccessOffered", "AccessGranted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_that_were_given_before_anybody_was_asked_stay() {
    let (database, _rest, ada, bob) = started().await;
    let account = account(&ada, "ada's").await;
    let upgrade = include_str!("../../../migrations/0011_offers.sql");
    let mut owner = database.superuser().await;
    let before =
        "ALTER TABLE grants DROP COLUMN accepted_at, DROP COLUMN given_by, DROP COLUMN grantee";
    sqlx::raw_sql(before).execute(&mut owner).await.unwrap();
    let id: Uuid = account.rsplit('/').next().unwrap().parse().unwrap();
    let tenant: Uuid = ada.tenant_id.parse().unwrap();
    let user: Uuid = bob.user_id.parse().unwrap();
    const OLD: &str =
        "INSERT INTO grants (grant_id, tenant_id, account_id, user_id, role, created_at)
        VALUES ($1, $2, $3, $4, 'viewer', now())";
    let old = sqlx::query(OLD).bind(Uuid::now_v7()).bind(tenant).bind(id).bind(user);
    old.execute(&mut owner).await.unwrap();
    sqlx::raw_sql(upgrade).execute(&mut owner).await.unwrap();
    bob.get(&account).await.expect(200);
    assert_eq!(held(&bob).await[0]["state"], "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_ends_with_its_givers_right_to_make_it() {
    let (database, rest, ada, bob) = started().await;
    let eve = Person::new(rest.base(), "eve").await;
    let account = account(&ada, "ada's").await;
    let path = format!("{account}/grants");
    let owned = offer(&ada, &account, "owner").await;
    bob.send(Method::POST, &format!("/v1/grants/{owned}/accept"), None).await.expect(200);
    let given = bob.post(&path, to(&eve.email, "trader")).await.expect(201);
    let given = given["grant_id"].as_str().unwrap().to_owned();
    assert_eq!(held(&eve).await.len(), 1);
    ada.delete(&format!("{path}/{owned}")).await.expect(200);
    assert!(held(&eve).await.is_empty(), "it went with the role of who made it");
    let accept = format!("/v1/grants/{given}/accept");
    eve.send(Method::POST, &accept, None).await.expect(404);
    // One that slipped by, since it was made at the same moment, opens nothing either.
    let open = "UPDATE grants SET revoked_at = NULL WHERE grant_id = $1";
    let open = sqlx::query(open).bind(given.parse::<Uuid>().unwrap());
    open.execute(database.identity.pool()).await.unwrap();
    eve.send(Method::POST, &accept, None).await.expect(404);
    eve.get(&account).await.expect(404);
    assert_eq!(rest.get("/v1/audit/verify").await.expect(200)["valid"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_to_somebody_disabled_is_answered_as_to_anybody() {
    let (_database, rest, ada, bob) = started().await;
    let disable = format!("/v1/users/{}/disable", bob.user_id);
    call(rest.base(), Method::POST, &disable, Some(TOKEN), None).await.expect(200);
    let account = account(&ada, "ada's").await;
    offer(&ada, &account, "viewer").await;
    let again = ada.post(&format!("{account}/grants"), to(&bob.email, "viewer")).await;
    again.expect(409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_accepts_of_what_nobody_offered_are_in_nobodys_way() {
    let (_database, _rest, ada, bob) = started().await;
    let account = account(&ada, "ada's").await;
    let grant = offer(&ada, &account, "viewer").await;
    let began = std::time::Instant::now();
    let flood = (0..60).map(async |_| {
        let path = format!("/v1/grants/{}/accept", Uuid::now_v7());
        bob.send(Method::POST, &path, None).await.status.as_u16()
    });
    // What is there is accepted once, however many ask for it.
    let accept = format!("/v1/grants/{grant}/accept");
    let rush = (0..60).map(async |_| bob.send(Method::POST, &accept, None).await.status.as_u16());
    let read = async {
        for _ in 0..20 {
            ada.get("/v1/tokens").await.expect(200);
        }
    };
    let (flood, rush, ()) =
        tokio::join!(futures::future::join_all(flood), futures::future::join_all(rush), read);
    assert_eq!((flood, rush), (vec![404; 60], vec![200; 60]));
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
    let words: Vec<_> = told(&ada, &account).await.into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["AccessOffered", "AccessGranted"]);
}
