//! What somebody learns who guesses at addresses and passwords, and how long they wait (A4, A5).

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::Signal;
use serde_json::json;

use super::people::{PASSWORD, Person, call, log_in, refresh};
use super::processes::on;
use super::users::{events, names, started};
use crate::support::rest::{Answer, TOKEN, send};
use crate::support::{Scratch, Server, TestDatabase, blotter, scratch_with_cluster};

/// Log-ins of each kind that are timed.
const SAMPLES: usize = 200;
/// How far apart, in standard deviations of Mann and Whitney's U, times of one kind may come out on a busy machine.
const SIGMAS: f64 = 5.0;
const WRONG: &str = "not the password at all";

/// An answer with every number in it made the same.
fn worded(answer: &Answer) -> (u16, String) {
    let plain = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let mut text: String = answer.text.chars().map(plain).collect();
    while text.contains("00") {
        text = text.replace("00", "0");
    }
    (answer.status.as_u16(), text)
}

/// How far `one` lies above `other`, in standard deviations of Mann and Whitney's U.
#[expect(clippy::float_arithmetic, reason = "a statistic is not money")]
fn apart(one: &[Duration], other: &[Duration]) -> f64 {
    let above = |a: &Duration| other.iter().filter(|b| a > *b).count();
    let u = one.iter().map(above).sum::<usize>() as f64;
    let (n, m) = (one.len() as f64, other.len() as f64);
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// Tries each address so often, in turns that begin with another one each time, and times the answers.
async fn timed<const N: usize>(
    base: &str,
    emails: [&str; N],
    database: Option<&TestDatabase>,
) -> [Vec<Duration>; N] {
    let (client, mut times) = (Client::new(), [const { Vec::new() }; N]);
    let mut told = Vec::new();
    for n in 0..SAMPLES {
        if let Some(database) = database {
            sqlx::query("DELETE FROM throttles").execute(database.identity.pool()).await.unwrap();
        }
        for which in (0..N).map(|which| (which + n) % N) {
            let body = json!({"email": emails[which], "password": WRONG});
            let request = client.post(format!("{base}/v1/sessions")).json(&body);
            let began = Instant::now();
            let answer = send(request).await;
            times[which].push(began.elapsed());
            told.push(worded(&answer));
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    times
}

fn alike(times: &[Vec<Duration>], names: &[&str]) {
    for (one, name) in times.iter().zip(names).skip(1) {
        let (apart, [a, b]) = (apart(&times[0], one), [&times[0], one].map(|it| median(it)));
        let told = format!("{}: {a:?}, {name}: {b:?}, {apart:.1} sigmas apart", names[0]);
        assert!(apart.abs() < SIGMAS, "{told}");
        assert!(a < b * 2 && b < a * 2, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_tells_nothing_of_who_is_registered() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let off = Person::new(base, "off").await;
    call(base, Method::POST, &format!("/v1/users/{}/disable", off.user_id), Some(TOKEN), None)
        .await
        .expect(200);
    let emails = ["nobody@example.org", &ada.email, &off.email];
    let times = timed(base, emails, Some(&database)).await;
    alike(&times, &["nobody", "a user", "a disabled user"]);
    // The right password of who may not log in is told nothing else.
    let right = log_in(base, &off.email, PASSWORD).await;
    let wrong = log_in(base, "nobody@example.org", WRONG).await;
    assert_eq!((right.status, &right.text), (wrong.status, &wrong.text));
    assert_eq!(right.status.as_u16(), 401);
    let events = events(&database, &off.user_id).await;
    assert_eq!(names(&events).last(), Some(&"LogInRefused"));
    assert_eq!(events.last().unwrap().1["reason"], "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_has_to_wait_tells_nothing_of_who_is_registered() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    for email in [ada.email.as_str(), "nobody@example.org"] {
        for _ in 0..5 {
            assert_eq!(log_in(base, email, WRONG).await.status.as_u16(), 401);
        }
    }
    // 2^9 s, so that nobody comes to the end of it.
    sqlx::query("UPDATE throttles SET failures = 14, last_at = now() WHERE failures = 5")
        .execute(database.identity.pool())
        .await
        .unwrap();
    let times = timed(base, ["nobody@example.org", &ada.email], None).await;
    alike(&times, &["nobody", "a user"]);
    // The fact is written off the way of the answer.
    let began = Instant::now();
    let throttled = loop {
        let events = events(&database, &ada.user_id).await;
        let throttled = events.iter().filter(|(_, body)| body["reason"] == "throttled").count();
        if throttled > 0 || began.elapsed() > Duration::from_secs(10) {
            break throttled;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(throttled, 1, "one a minute is recorded");
}

/// Stops a server and starts another one on the same database, with a memory of nothing.
async fn restarted(mut server: Server, database: &TestDatabase, name: &str) -> (Server, Scratch) {
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    on(database, name, &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_survives_a_restart_and_no_clock_that_is_moved_makes_it_longer() {
    let database = TestDatabase::new().await;
    let (server, _one) = on(&database, "guessing-one", &[]).await;
    let ada = Person::new(server.base(), "ada").await;
    for _ in 0..5 {
        assert_eq!(log_in(server.base(), &ada.email, WRONG).await.status.as_u16(), 401);
    }
    // The clock of the next server has been set on or back, as seen from the failures.
    let failed = async |failures: i32, ago: i64| {
        sqlx::query("UPDATE throttles SET failures = $1, last_at = now() - $2 * interval '1 s'")
            .bind(failures)
            .bind(ago)
            .execute(database.identity.pool())
            .await
            .unwrap();
    };
    let wait = |answer: &Answer| {
        assert_eq!(answer.status.as_u16(), 429, "{answer:?}");
        answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()
    };
    failed(11, 0).await;
    let (server, _two) = restarted(server, &database, "guessing-two").await;
    let left = wait(&log_in(server.base(), &ada.email, PASSWORD).await);
    assert!((30..=64).contains(&left), "{left} s are left of 64 after a restart");

    failed(5, -3_600).await;
    let (server, _three) = restarted(server, &database, "guessing-three").await;
    assert_eq!(wait(&log_in(server.base(), &ada.email, PASSWORD).await), 1, "set back an hour");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    log_in(server.base(), &ada.email, PASSWORD).await.expect(200);

    assert_eq!(log_in(server.base(), &ada.email, WRONG).await.status.as_u16(), 401);
    failed(11, 3_600).await;
    log_in(server.base(), &ada.email, PASSWORD).await.expect(200);
}

pub(super) fn try_from(base: &str, from: [u8; 4], who: &str, password: &str) -> RequestBuilder {
    let client = Client::builder().local_address(std::net::IpAddr::from(from)).build().unwrap();
    let body = json!({"email": who, "password": password});
    client.post(format!("{base}/v1/sessions")).json(&body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_try_from_everywhere_keep_nobody_out_of_where_they_use_to_be() {
    const HOME: [u8; 4] = [127, 0, 0, 3];
    let database = TestDatabase::new().await;
    let (server, _directory) = on(&database, "guessing-home", &[]).await;
    let base = server.base();
    let ada = Person::new(base, "ada").await;
    let come = async |from, password| {
        send(try_from(base, from, &ada.email, password)).await.status.as_u16()
    };
    let set = async |statement: &str| {
        sqlx::query(statement).execute(database.identity.pool()).await.unwrap().rows_affected()
    };
    assert_eq!(come(HOME, PASSWORD).await, 200);
    assert_eq!(come([127, 0, 0, 4], WRONG).await, 401);
    assert_eq!(
        set("UPDATE throttles SET failures = 120, last_at = now() WHERE failures > 0").await,
        3
    );
    for stranger in [[127, 0, 0, 4], [127, 0, 0, 5], [127, 0, 0, 5]] {
        assert_eq!(come(stranger, PASSWORD).await, 429, "{stranger:?}");
    }
    assert_eq!(come(HOME, PASSWORD).await, 200);
    // There too, tries are counted.
    assert_eq!(come(HOME, WRONG).await, 401);
    assert_eq!(come(HOME, PASSWORD).await, 200);
    assert_eq!(
        set(
            "UPDATE throttles SET last_at = now() - interval '30 days 1 minute' WHERE failures = 0"
        )
        .await,
        2,
        "where she registered, and this one"
    );
    set("UPDATE throttles SET last_at = now() WHERE failures > 0").await;
    assert_eq!(come(HOME, PASSWORD).await, 429);
    // Who is in has no part in it.
    let same = Some(json!({"current_password": PASSWORD, "new_password": PASSWORD}));
    let confirmed = ada.send(Method::PUT, "/v1/users/me/password", same).await;
    assert_eq!(confirmed.json()["code"], "same_password", "{confirmed:?}");
    // With the user, what tells of where they were is gone.
    set("UPDATE throttles SET last_at = now() WHERE failures = 0").await;
    let known = Some(json!({"password": PASSWORD}));
    ada.send(Method::DELETE, "/v1/users/me", known).await.expect(200);
    assert_eq!(set("DELETE FROM throttles WHERE failures = 0").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_has_waited_has_a_try_whatever_strangers_do_meanwhile() {
    const ELSEWHERE: [u8; 4] = [127, 0, 0, 6];
    let database = TestDatabase::new().await;
    let (mut server, directory) = on(&database, "siege-0", &[]).await;
    let mut directories = vec![directory];
    let ada = Person::new(server.base(), "ada").await;
    let set = async |statement: &str| {
        sqlx::query(statement).execute(database.identity.pool()).await.unwrap().rows_affected()
    };
    set("DELETE FROM throttles").await;
    let stranger = [127, 0, 0, 7];
    assert_eq!(from(&server, stranger, &ada.email, None).await, 401);
    set("UPDATE throttles SET failures = 120 WHERE failures > 0").await;
    for (n, tries) in [[WRONG, PASSWORD], [PASSWORD, PASSWORD]].into_iter().enumerate() {
        let come = async |server: &Server, from, password| {
            send(try_from(server.base(), from, &ada.email, password)).await.status.as_u16()
        };
        set("UPDATE throttles SET last_at = now() WHERE failures > 1").await;
        assert_eq!(come(&server, ELSEWHERE, PASSWORD).await, 429);
        // The strangers go on, and this address has waited.
        let waited =
            "UPDATE throttles SET last_at = now() - interval '15 minutes' WHERE failures = 1";
        assert!(set(waited).await > 0);
        set("UPDATE throttles SET last_at = now() WHERE failures > 1").await;
        let (next, directory) = restarted(server, &database, &format!("siege-{}", n + 1)).await;
        server = next;
        directories.push(directory);
        let other = [127, 0, 1, u8::try_from(n).unwrap()];
        assert_eq!(come(&server, other, PASSWORD).await, 429, "this one has not");
        let answered =
            [come(&server, ELSEWHERE, tries[0]).await, come(&server, ELSEWHERE, tries[1]).await];
        let expected = if tries[0] == WRONG { [401, 429] } else { [200, 200] };
        assert_eq!(answered, expected, "one try, and more where it was the right one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_goes_on_where_it_began_lets_that_go_on_to_be_a_home() {
    let database = TestDatabase::new().await;
    let (server, _directory) = on(&database, "guessing-refresh", &[]).await;
    let ada = Person::new(server.base(), "ada").await;
    let aged = "UPDATE throttles SET last_at = now() - interval '29 days' WHERE failures = 0";
    let aged = sqlx::query(aged).execute(database.identity.pool()).await.unwrap();
    assert_eq!(aged.rows_affected(), 1);
    refresh(server.base(), &ada.refresh).await.expect(200);
    let renewed =
        "SELECT count(*) FROM throttles WHERE failures = 0 AND last_at > now() - interval '1 hour'";
    let renewed: i64 =
        sqlx::query_scalar(renewed).fetch_one(database.identity.pool()).await.unwrap();
    assert_eq!(renewed, 1);
}

/// A try at the address `who` from the address `from`, with this header or none.
async fn from(server: &Server, from: [u8; 4], who: &str, forwarded: Option<&str>) -> u16 {
    let request = try_from(server.base(), from, who, WRONG);
    let request = match forwarded {
        Some(forwarded) => request.header("x-forwarded-for", forwarded),
        None => request,
    };
    send(request).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_says_who_its_client_is_and_nobody_else_does() {
    const PROXY: [u8; 4] = [127, 0, 0, 2];
    let directory = scratch_with_cluster("trusted-proxy").await;
    let trusted = ["--trusted-proxy", "127.0.0.2,10.0.0.0/8"];
    let server = Server::serve_with(directory.path(), &trusted).await;
    let ada = "ada@example.org";
    for n in 0..5 {
        let spoofed = format!("203.0.113.{n}");
        assert_eq!(from(&server, [127, 0, 0, 1], ada, Some(&spoofed)).await, 401);
    }
    assert_eq!(from(&server, [127, 0, 0, 1], ada, Some("203.0.113.99")).await, 429);
    // Behind the proxy, each client has tries of its own.
    for n in 0..5 {
        let chain = format!("198.51.100.{n}, 203.0.113.1, 10.0.0.{n}");
        assert_eq!(from(&server, PROXY, ada, Some(&chain)).await, 401, "{chain}");
    }
    // A wait of a second may be over on a busy machine; the next one is longer, and others would have five tries.
    let waits = async |chain: &str| {
        for _ in 0..3 {
            if from(&server, PROXY, ada, Some(chain)).await == 429 {
                return true;
            }
        }
        false
    };
    for chain in [
        "203.0.113.1",
        "203.0.113.7, 203.0.113.1",
        "203.0.113.7,203.0.113.1,10.9.9.9",
        "203.0.113.1:4711",
        "\u{fc}, 203.0.113.1",
    ] {
        assert!(waits(chain).await, "{chain}");
    }
    assert_eq!(from(&server, PROXY, ada, Some("203.0.113.1, 203.0.113.2")).await, 401);
    assert_eq!(from(&server, PROXY, ada, Some("[2001:db8::7]:4711")).await, 401);
    // What cannot be read is the proxy's own try.
    for chain in ["made up", "203.0.113.3, unknown", "", "203.0.113.3, 999.0.0.1"] {
        assert_eq!(from(&server, PROXY, ada, Some(chain)).await, 401, "{chain}");
    }
    assert_eq!(from(&server, PROXY, ada, None).await, 401);
    assert_eq!(from(&server, PROXY, ada, Some("made up as well")).await, 429);
}

#[test]
fn a_trusted_proxy_that_is_no_network_is_refused_by_name() {
    for wrong in ["10.0.0.1/8", "proxy.example.com", "10.0.0.0/33", ""] {
        let refused = blotter(&["serve", "--trusted-proxy", wrong]).output().unwrap();
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success());
        assert!(
            told.contains("--trusted-proxy") && told.contains(&format!("{wrong:?} is no network")),
            "{told}"
        );
    }
}
