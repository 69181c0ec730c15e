//! A server whose wall clock is set ahead and back while it works. The database has the right time, and the market its own.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::stops::{call, feed};
use super::workload::{Record, Told, Workload};
use super::{PATIENCE, verify_database, writes};
use crate::identity::people::{self, PASSWORD, Person};
use crate::support::rest::{Answer, OPEN, quote};
use crate::support::{Server, ShiftedClock, TestDatabase, scratch_directory};

/// How long an access token is good, and how far clocks may be apart.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
const LEEWAY: TimeDelta = TimeDelta::seconds(5);

/// Where the clock is set to.
#[derive(Clone, Copy, Debug)]
enum Set {
    /// So far off the right time.
    By(TimeDelta),
    /// This time, from which it goes on.
    To(&'static str),
}

/// Where the clock is set to, one after the other.
const SETTINGS: [Set; 7] = [
    Set::By(TimeDelta::seconds(-4)),
    Set::By(TimeDelta::hours(1)),
    Set::By(TimeDelta::hours(-1)),
    Set::By(TimeDelta::minutes(-5)),
    // Beyond what fits into 32 bits.
    Set::To("2038-01-20T00:00:00Z"),
    Set::To("2028-02-29T23:59:59Z"),
    Set::By(TimeDelta::zero()),
];

/// The access token and the refresh token of a session, and when the server says that it ends if it is not used.
struct Session {
    access: String,
    refresh: String,
    idle_until: DateTime<Utc>,
}

impl Session {
    fn of(answer: Answer) -> Self {
        let tokens = answer.expect(200);
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let idle_until = text("idle_until").parse().unwrap();
        Self { access: text("access_token"), refresh: text("refresh_token"), idle_until }
    }

    /// When its access token was issued, by the clock of the server.
    fn issued_at(&self) -> DateTime<Utc> {
        let claims = self.access.split('.').nth(1).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        DateTime::from_timestamp_secs(claims["iat"].as_i64().unwrap()).unwrap()
    }
}

/// Whether this access token is good.
async fn is_in(server: &Server, access: &str) -> bool {
    let me = people::call(server.base(), Method::GET, "/v1/users/me", Some(access), None).await;
    assert!([200, 401].contains(&me.status.as_u16()), "{me:?}");
    me.status.as_u16() == 200
}

/// Waits until the server tells by how much its clock is off.
async fn is_off(server: &Server, workload: &Workload, ahead: TimeDelta) {
    let [least, most] = [-500, 500].map(|off| ahead + TimeDelta::milliseconds(off));
    let about = least.as_seconds_f64()..most.as_seconds_f64();
    let (start, mut told) = (Instant::now(), None);
    while start.elapsed() < PATIENCE {
        let metrics = workload.read(server.base(), "/metrics").await.unwrap().text;
        let mut lines = metrics.lines();
        told =
            lines.find_map(|line| line.strip_prefix("blotter_clock_skew_seconds ")?.parse().ok());
        if told.is_some_and(|told| about.contains(&told)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the clock is {} s ahead, and the server tells {told:?}", ahead.as_seconds_f64());
}

/// What a statement counts in the log.
async fn counted(connection: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_under_load_loses_nothing_and_ends_nothing_of_the_market() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("set-clock"));
    let clock = ShiftedClock::new();
    let server = clock.serve(&database, directory.path());
    writes(&server).await;
    let (base, workload) = (server.base(), Workload::begin(&server).await);
    let account = json!({"name": "clocks", "kind": "cash", "starting_balance": "100000"});
    let account = call(&server, Method::POST, "/v1/accounts", Some(account)).await;
    let orders = format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap());
    let place = async |more: Value| -> String {
        let mut body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "50"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let order = call(&server, Method::POST, &orders, Some(body)).await;
        format!("{orders}/{}", order["order_id"].as_str().unwrap())
    };
    let day = place(json!({"time_in_force": "day"})).await;
    let gtd = json!({"time_in_force": "gtd", "expires_at": "2024-01-17T16:00:00Z"});
    let gtd = place(gtd).await;
    let status = async |order: &str| call(&server, Method::GET, order, None).await["status"].take();

    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let mut session = Session::of(people::refresh(base, &ada.refresh).await);
    let mut begun_ahead = None;
    let (mut record, load) = (Record::new(), workload.start(base, "set", 2));
    for (n, set) in SETTINGS.into_iter().enumerate() {
        let ahead = match set {
            Set::By(ahead) => ahead,
            Set::To(time) => time.parse::<DateTime<Utc>>().unwrap() - Utc::now(),
        };
        clock.set(ahead);
        let ready = workload.read(base, "/readyz").await.unwrap().expect(200);
        assert_eq!(ready["writer"], true, "{set:?}: {ready}");
        let id = format!("after-{n}");
        let told = workload.place(base, &id).await;
        assert!(matches!(told, Told::Acked(_)), "{set:?}: {told:?}");
        record.insert(id, vec![told]);
        let at = DateTime::parse_from_rfc3339(OPEN).unwrap() + TimeDelta::seconds(n as i64 + 1);
        feed(&server, &[quote("AAPL", "100", "101", &at.to_rfc3339())]).await;
        is_off(&server, &workload, ahead).await;

        // What was issued before holds by its own words; what is issued now holds.
        let now = Utc::now() + ahead;
        let good = session.issued_at() - LEEWAY..session.issued_at() + LIFETIME + LEEWAY;
        assert_eq!(is_in(&server, &session.access).await, good.contains(&now), "{set:?}");
        let refreshed = people::refresh(base, &session.refresh).await;
        if now < session.idle_until {
            session = Session::of(refreshed);
            assert!((session.issued_at() - now).abs() < TimeDelta::seconds(30), "{set:?}");
            assert!(is_in(&server, &session.access).await, "{set:?}");
        } else {
            assert_eq!(refreshed.status.as_u16(), 401, "{set:?}: {refreshed:?}");
        }
        let anew = Session::of(people::log_in(base, &ada.email, PASSWORD).await);
        assert!(is_in(&server, &anew.access).await, "{set:?}");
        let anew = Session::of(people::refresh(base, &anew.refresh).await);
        assert!(is_in(&server, &anew.access).await, "{set:?}");
        if ahead > TimeDelta::days(1) {
            begun_ahead = Some(anew.refresh);
        }

        if n == 1 {
            for _ in 0..5 {
                let wrong = people::log_in(base, &bob.email, "some other words entirely").await;
                assert_eq!(wrong.status.as_u16(), 401, "{wrong:?}");
            }
        } else if n == 2 {
            // Two hours before these failed: the wait for the fifth is a second all the same.
            let mut entered = people::log_in(base, &bob.email, PASSWORD).await;
            let start = Instant::now();
            while entered.status.as_u16() == 429 && start.elapsed() < PATIENCE {
                assert_eq!(entered.headers["retry-after"], "1");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                entered = people::log_in(base, &bob.email, PASSWORD).await;
            }
            entered.expect(200);
        }
    }
    server.wait_for_line("this server's clock is off the database's");
    server.wait_for_line("this server's clock is right again by the database's");
    assert!(load.stop(&mut record).await > SETTINGS.len());
    let acked = |told: &Vec<Told>| matches!(told[..], [Told::Acked(_)]);
    assert!(record.values().all(acked), "nobody is turned away: {record:?}");
    workload.check(&server, &record).await;

    for (time, expected) in [
        (None, ["accepted", "accepted"]),
        (Some("2024-01-17T16:00:00Z"), ["accepted", "expired"]),
        (Some("2024-01-17T21:00:00Z"), ["expired", "expired"]),
    ] {
        if let Some(at) = time {
            feed(&server, &[json!({"t": "clock", "at": at})]).await;
        }
        assert_eq!([status(&day).await, status(&gtd).await], expected, "{time:?}");
    }
    let goes_on = people::refresh(base, &begun_ahead.unwrap()).await.expect(200);
    let log = &mut database.superuser().await;
    let lasts =
        "SELECT expires_at - now() <= interval '90 days' FROM sessions WHERE session_id = $1::uuid";
    let lasts = sqlx::query_scalar(lasts).bind(goes_on["session_id"].as_str().unwrap());
    let lasts: bool = lasts.fetch_one(&mut *log).await.unwrap();
    assert!(lasts, "it lasts no longer for having begun ahead");
    assert_eq!(counted(log, "SELECT count(DISTINCT metadata->>'epoch') FROM events").await, 1);
    let back = "SELECT count(*) FROM (
            SELECT recorded_at < lag(recorded_at) OVER (ORDER BY position) AS back FROM events
        ) event WHERE back";
    assert_eq!(counted(log, back).await, 0);
    let met = "SELECT count(*) FROM events WHERE recorded_at >= '2038-01-20T00:00:00Z'";
    assert!(counted(log, met).await > 0);
    let fills = "SELECT count(*) FROM (
            SELECT at, lag(at) OVER (ORDER BY position) AS before FROM (
                SELECT position, (payload->'OrderFilled'->>'at')::timestamptz AS at
                FROM events WHERE event_type = 'OrderFilled'
            ) fill
        ) fill WHERE";
    assert!(counted(log, &format!("{fills} before <= at")).await > 0);
    assert_eq!(
        counted(log, &format!("{fills} before > at OR at > '2024-01-17T16:00:00Z'")).await,
        0
    );
    drop(server);
    verify_database(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_clock_that_is_years_ahead_ends_no_session_and_revives_none() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("start-ahead"));
    let clock = ShiftedClock::new();
    let mut server = clock.serve(&database, directory.path());
    writes(&server).await;
    let goes_on = Person::new(server.base(), "ada").await;
    let ended = goes_on.elsewhere().await;
    assert!(ended.delete("/v1/sessions/current").await.status.is_success());
    server.signal(Signal::TERM);
    assert!(server.wait().success());

    let identity = database.identity.pool();
    let over = "INSERT INTO access_keys VALUES ('over', '', now(), now() - interval '1 s')";
    sqlx::query(over).execute(identity).await.unwrap();
    let ahead = TimeDelta::days(4_000);
    clock.set(ahead);
    let server = clock.serve(&database, directory.path());
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    is_off(&server, &workload, ahead).await;
    // What is over by either clock goes at the start.
    let start = Instant::now();
    while sqlx::query("SELECT 1 FROM access_keys WHERE kid = 'over'")
        .fetch_optional(identity)
        .await
        .unwrap()
        .is_some()
    {
        assert!(start.elapsed() < PATIENCE, "nothing is cleared away");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!is_in(&server, &goes_on.access).await, "its time is over by this clock");
    clock.set(TimeDelta::zero());
    is_off(&server, &workload, TimeDelta::zero()).await;
    assert!(is_in(&server, &goes_on.access).await);
    assert!(!is_in(&server, &ended.access).await);
    let refreshed = Session::of(people::refresh(server.base(), &goes_on.refresh).await);
    assert!(is_in(&server, &refreshed.access).await);
    drop(server);
    verify_database(&database).await;
}
