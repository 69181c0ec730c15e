//! Failed tries are counted before a password is compared: by a naive count, one after the other, and by how many get by
//! that come at the same time, in however many processes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use blotter::identity::email::Email;
use blotter::identity::throttle::{
    Counted, LONGEST, Memory, OF_ADDRESS, OF_BOTH, OF_USER, SHORTEST, Tries,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::guessing::try_from;
use super::people::{PASSWORD, Person, log_in};
use super::processes::on;
use crate::support::rest::send;
use crate::support::{Server, TestDatabase};

const WRONG: &str = "not the password at all";

fn email(n: usize) -> Email {
    Email::read(&format!("user{n}@example.org")).unwrap()
}

fn address(n: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(n).unwrap().to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

async fn count(
    database: &TestDatabase,
    tries: &Tries,
    now: DateTime<Utc>,
) -> Result<Counted, Duration> {
    let mut connection = database.identity.pool().acquire().await.unwrap();
    tries.count(&mut connection, now, &Memory::default()).await.unwrap()
}

/// What is left of the wait after so many failures, the last one at `last`; waits begin with failure `first`.
fn left(of: Option<&(i32, DateTime<Utc>)>, first: i32, now: DateTime<Utc>) -> Option<Duration> {
    let (failures, last) = *of?;
    let beyond = u32::try_from(failures - first).ok()?;
    let wait = SHORTEST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(LONGEST);
    wait.checked_sub((now - last).to_std().unwrap_or_default()).filter(|left| !left.is_zero())
}

/// The rules, one try after the other.
#[derive(Default)]
struct Naive {
    both: BTreeMap<(usize, usize), (i32, DateTime<Utc>)>,
    address: BTreeMap<usize, (i32, DateTime<Utc>)>,
    user: BTreeMap<usize, (i32, DateTime<Utc>)>,
    home: BTreeMap<(usize, usize), DateTime<Utc>>,
    knock: BTreeMap<(usize, usize), DateTime<Utc>>,
}

impl Naive {
    /// How long a try has to wait, if it has to.
    fn wait(&mut self, who: usize, whence: usize, now: DateTime<Utc>) -> Option<Duration> {
        let pair = (who, whence);
        let mut of_user = left(self.user.get(&who), OF_USER, now);
        if self.home.get(&pair).is_some_and(|at| *at > now - TimeDelta::days(30)) {
            of_user = None;
        }
        if let Some(wait) = of_user {
            let since = *self.knock.entry(pair).or_insert(now);
            let knocked = LONGEST.checked_sub((now - since).to_std().unwrap());
            of_user = knocked.filter(|left| !left.is_zero()).map(|left| left.min(wait));
        }
        let of_both = left(self.both.get(&pair), OF_BOTH, now);
        of_both.max(of_user).max(left(self.address.get(&whence), OF_ADDRESS, now))
    }

    fn failed(&mut self, who: usize, whence: usize, now: DateTime<Utc>) {
        fn one_more(of: &mut (i32, DateTime<Utc>), now: DateTime<Utc>) {
            *of = (if of.1 < now - TimeDelta::hours(24) { 1 } else { of.0 + 1 }, now);
        }
        one_more(self.both.entry((who, whence)).or_insert((0, now)), now);
        one_more(self.address.entry(whence).or_insert((0, now)), now);
        one_more(self.user.entry(who).or_insert((0, now)), now);
        self.knock.remove(&(who, whence));
    }

    fn logged_in(&mut self, who: usize, whence: usize, now: DateTime<Utc>) {
        self.both.remove(&(who, whence));
        self.knock.remove(&(who, whence));
        self.home.insert((who, whence), now);
    }
}

/// Counts begin close to where they make wait, so that few tries get there.
async fn begin_at(
    database: &TestDatabase,
    naive: &mut Naive,
    (of_address, of_user): (i32, i32),
    now: DateTime<Utc>,
) {
    let mut connection = database.identity.pool().acquire().await.unwrap();
    sqlx::query("DELETE FROM throttles").execute(&mut *connection).await.unwrap();
    let counted = count(database, &Tries::new(&email(0), address(0)), now).await.unwrap();
    naive.failed(0, 0, now);
    drop(counted);
    // One row is of both, one of the address, one of the user: which is which is told by nothing but its key, so all are
    // told apart by a second and a third try that share one of them.
    let _ = count(database, &Tries::new(&email(1), address(0)), now).await.unwrap();
    naive.failed(1, 0, now);
    sqlx::query("UPDATE throttles SET failures = $1 WHERE failures = 2")
        .bind(of_address)
        .execute(&mut *connection)
        .await
        .unwrap();
    naive.address.get_mut(&0).unwrap().0 = of_address;
    let _ = count(database, &Tries::new(&email(0), address(1)), now).await.unwrap();
    naive.failed(0, 1, now);
    sqlx::query("UPDATE throttles SET failures = $1 WHERE failures = 2")
        .bind(of_user)
        .execute(&mut *connection)
        .await
        .unwrap();
    naive.user.get_mut(&0).unwrap().0 = of_user;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_wait_as_a_naive_count_of_them_says() {
    let database = TestDatabase::new().await;
    let pause = prop_oneof![
        40 => 0..3_i64, 8 => 1..70_i64, 4 => 300..1_000_i64, 1 => 80_000..90_000_i64,
        1 => 29 * 86_400..31 * 86_400_i64,
    ];
    let step = (0..2_usize, 0..3_usize, pause, prop::bool::weighted(0.15));
    let script = (14..21_i32, 92..104_i32, proptest::collection::vec(step, 1..40));
    let mut runner = TestRunner::deterministic();
    let (mut waited, mut admitted) = (0, 0);
    for _ in 0..40 {
        let (of_address, of_user, steps) = script.new_tree(&mut runner).unwrap().current();
        let mut naive = Naive::default();
        let mut now = Utc::now().trunc_subsecs(6);
        begin_at(&database, &mut naive, (of_address, of_user), now).await;
        for (n, (who, whence, pause, right)) in steps.iter().enumerate() {
            now += TimeDelta::seconds(*pause);
            let told = count(&database, &Tries::new(&email(*who), address(*whence)), now).await;
            let expected = naive.wait(*who, *whence, now);
            assert_eq!(
                told.as_ref().err(),
                expected.as_ref(),
                "step {n} of {of_address}, {of_user}, {steps:?}"
            );
            let Ok(counted) = told else {
                waited += 1;
                continue;
            };
            admitted += 1;
            if *right {
                let mut connection = database.identity.pool().acquire().await.unwrap();
                counted.logged_in(&mut connection, now).await.unwrap();
                naive.logged_in(*who, *whence, now);
            } else {
                naive.failed(*who, *whence, now);
            }
        }
    }
    assert!(waited > 50 && admitted > 200, "{waited} waited, {admitted} were compared");
}

/// Every count, sorted.
async fn counts(database: &TestDatabase) -> Vec<i32> {
    sqlx::query_scalar("SELECT failures FROM throttles ORDER BY failures")
        .fetch_all(database.identity.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_tries_at_the_same_time_no_more_are_compared_than_may_fail() {
    let database = TestDatabase::new().await;
    let now = Utc::now();
    for (allowed, tries) in [
        (OF_BOTH, (0..40).map(|_| Tries::new(&email(0), address(0))).collect::<Vec<_>>()),
        (OF_ADDRESS, (0..60).map(|n| Tries::new(&email(n), address(0))).collect()),
        (OF_USER, (0..140).map(|n| Tries::new(&email(0), address(n))).collect()),
    ] {
        sqlx::query("DELETE FROM throttles").execute(database.identity.pool()).await.unwrap();
        let told = join_all(tries.iter().map(|tries| count(&database, tries, now))).await;
        let counted: Vec<_> = told.into_iter().flatten().collect();
        assert_eq!(counted.len(), usize::try_from(allowed).unwrap());
        assert_eq!(counts(&database).await.last(), Some(&allowed));
        // All of them were right: nothing is left of them but what has to wait.
        join_all(counted.into_iter().map(async |counted| {
            let mut connection = database.identity.pool().acquire().await.unwrap();
            counted.give_back(&mut connection).await.unwrap();
        }))
        .await;
        let left = counts(&database).await;
        assert!(left.iter().all(|failures| *failures == 1), "{left:?}");
        let knocks = if allowed == OF_USER { tries.len() - 100 } else { 0 };
        assert_eq!(left.len(), knocks, "since when who has to wait by the user has been waiting");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_password_gives_back_its_own_place_and_makes_no_wait_longer() {
    let database = TestDatabase::new().await;
    let (began, tries) = (Utc::now().trunc_subsecs(6), Tries::new(&email(0), address(0)));
    let minute = |n| began + TimeDelta::minutes(n);
    for _ in 0..4 {
        let _failed = count(&database, &tries, began).await.unwrap();
    }
    let right = count(&database, &tries, minute(1)).await.unwrap();
    assert_eq!(count(&database, &tries, minute(1)).await.unwrap_err(), SHORTEST);
    let mut connection = database.identity.pool().acquire().await.unwrap();
    right.give_back(&mut connection).await.unwrap();
    let kept: Vec<(i32, DateTime<Utc>)> = sqlx::query_as("SELECT failures, last_at FROM throttles")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    assert_eq!(kept, [(4, began); 3]);
    // Somebody fails while it is compared.
    let right = count(&database, &tries, minute(2)).await.unwrap();
    let other = Tries::new(&email(0), address(1));
    let _failed = count(&database, &other, minute(3)).await.unwrap();
    right.logged_in(&mut connection, minute(3)).await.unwrap();
    let kept: Vec<(i32, DateTime<Utc>)> =
        sqlx::query_as("SELECT failures, last_at FROM throttles ORDER BY failures, last_at")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    let expected = [(0, minute(3)), (1, minute(3)), (1, minute(3)), (4, began), (5, minute(3))];
    assert_eq!(kept, expected, "home, the other's two, the address, the user");
}

/// How many may be compared where `first` may at once, after so long.
fn most(first: usize, time: Duration) -> usize {
    let (mut most, mut waited, mut wait) = (first, SHORTEST, SHORTEST);
    while waited <= time {
        wait *= 2;
        waited += wait;
        most += 1;
    }
    most
}

/// Tries from all these addresses on all these servers at once, so many of each: no more are compared than may be.
async fn compared(
    servers: &[&Server],
    (who, from): (&str, &[[u8; 4]]),
    times: usize,
    first: usize,
) {
    let began = Instant::now();
    let tries = servers.iter().flat_map(|server| from.iter().map(move |from| (server, *from)));
    let tries = tries.flat_map(|(server, from)| (0..times).map(move |_| (server, from)));
    let told = join_all(tries.map(async |(server, from)| {
        // Whoever finds no place comes again.
        loop {
            let request = try_from(server.base(), from, who, WRONG);
            match send(request).await.status.as_u16() {
                503 => tokio::time::sleep(Duration::from_millis(100)).await,
                status => return status,
            }
        }
    }))
    .await;
    let (most, all) = (most(first, began.elapsed()), told.len());
    let of = |status: u16| told.iter().filter(|it| **it == status).count();
    assert!(
        (first..=most).contains(&of(401)),
        "{} of {all} were compared, not {first} to {most}",
        of(401)
    );
    assert_eq!(of(401) + of(429), all, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_compare_no_more_passwords_than_one_does() {
    let database = TestDatabase::new().await;
    let (one, _one) = on(&database, "counting-one", &[]).await;
    let (two, _two) = on(&database, "counting-two", &[]).await;
    let servers = [&one, &two];
    let ada = Person::new(one.base(), "ada").await;
    for who in ["nobody@example.org", "somebody@example.org"] {
        compared(&servers, (who, &[[127, 0, 0, 11]]), 12, 5).await;
    }
    // 98 have failed at Ada from elsewhere: two more may, from however many addresses.
    sqlx::query("DELETE FROM throttles WHERE failures > 0")
        .execute(database.identity.pool())
        .await
        .unwrap();
    let one_more = try_from(one.base(), [127, 0, 0, 12], &ada.email, WRONG);
    send(one_more).await.expect(401);
    sqlx::query("UPDATE throttles SET failures = 98, last_at = now() - interval '1 hour' WHERE failures = 1")
        .execute(database.identity.pool())
        .await
        .unwrap();
    let everywhere: Vec<_> = (0..16).map(|n| [127, 0, 3, n]).collect();
    compared(&servers, (&ada.email, &everywhere), 1, 2).await;
    // Where she has logged in, she comes in still, and what she got right counts nowhere.
    let told = [&one, &two].map(|server| log_in(server.base(), &ada.email, PASSWORD));
    for told in join_all(told).await {
        told.expect(200);
    }
    let of_user: i32 =
        sqlx::query_scalar("SELECT max(failures) FROM throttles WHERE failures > 98")
            .fetch_one(database.identity.pool())
            .await
            .unwrap();
    assert!((100..=110).contains(&of_user), "{of_user} have failed at her");
}
