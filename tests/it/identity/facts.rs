//! Facts of users reach the log once and in order, whatever happens on the way.

use aggregates::account::Account;
use aggregates::id::{
    ActorId, ClientId, GrantId, OPERATOR_TENANT, RequestId, SessionId, TenantId, UserId,
};
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::user::{By, Door, GrantRole, LogInRefusal, User, UserEvent};
use blotter::audit::{Evidence, ProcessKey, verify_database};
use blotter::identity::facts::{Cause, Fact, Facts, new_fact, write};
use blotter::ledger::{Interface, SigningName};
use projections::log::{Recorded, read_after};
use projections::snapshots;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::support::ledger::TestLedger;
use crate::support::{TestDatabase, scratch_directory};

fn cause(user: UserId) -> Cause {
    Cause {
        actor: user.actor(),
        token: "a session".to_owned(),
        client: "a client".to_owned(),
        interface: Interface::Rest,
        request: RequestId::new(Uuid::now_v7()),
    }
}

fn somebody() -> (TenantId, UserId) {
    (TenantId::new(Uuid::now_v7()), UserId::new(Uuid::now_v7()))
}

fn registered(user_id: UserId) -> Fact {
    let (fact_id, at) = new_fact();
    Fact::Of(user_id, UserEvent::UserRegistered { fact_id, at, user_id, by: Door::Open })
}

fn refused(user_id: UserId) -> Fact {
    let (fact_id, at) = new_fact();
    let reason = LogInRefusal::WrongPassword;
    Fact::Of(user_id, UserEvent::LogInRefused { fact_id, at, reason })
}

async fn commit(database: &TestDatabase, (tenant, user): (TenantId, UserId), facts: &[Fact]) {
    let mut transaction = database.identity.pool().begin().await.unwrap();
    for fact in facts {
        let _ = write(&mut transaction, tenant, &cause(user), fact.clone()).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

fn carry(database: &TestDatabase, ledger: &TestLedger) -> (Facts, DropGuard) {
    let (facts, stop) = (Facts::new(database.identity.clone()), CancellationToken::new());
    tokio::spawn(facts.clone().carry(ledger.ledger.clone(), stop.clone()));
    (facts, stop.drop_guard())
}

/// The events of a user, once no fact waits any more.
async fn recorded(database: &TestDatabase, user: UserId) -> Vec<Recorded> {
    loop {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM identity_facts")
            .fetch_one(database.identity.pool())
            .await
            .unwrap();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut auditor = database.auditor.begin().await.unwrap();
    let log = read_after(&mut auditor, 0, 0, 10_000).await.unwrap();
    log.into_iter().filter(|row| row.stream == StreamId::User(user)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_recorded_in_order_and_what_is_rolled_back_never_happened() {
    let database = TestDatabase::new().await;
    let (tenant, user) = somebody();
    // Nobody writes the log yet: the next writer finds them.
    commit(&database, (tenant, user), &[registered(user), refused(user)]).await;
    let mut undone = database.identity.pool().begin().await.unwrap();
    let _ = write(&mut undone, tenant, &cause(user), refused(user)).await.unwrap();
    undone.rollback().await.unwrap();

    let ledger = TestLedger::start(&database, "one").await;
    let (facts, _carried) = carry(&database, &ledger);
    let (fact_id, at) = new_fact();
    let (session_id, client_id) = (SessionId::new(Uuid::now_v7()), ClientId::new(Uuid::now_v7()));
    let logged_in = UserEvent::LoggedIn { fact_id, at, session_id, client_id };
    let mut transaction = database.identity.pool().begin().await.unwrap();
    let said = cause(user);
    let written =
        write(&mut transaction, tenant, &said, Fact::Of(user, logged_in.clone())).await.unwrap();
    transaction.commit().await.unwrap();
    let position = facts.settled(written).await.unwrap();

    let rows = recorded(&database, user).await;
    let types: Vec<&str> = rows.iter().map(|row| row.event_type.as_str()).collect();
    assert_eq!(types, ["UserRegistered", "LogInRefused", "LoggedIn"]);
    let last = rows.last().unwrap();
    assert_eq!(last.event().unwrap(), Event::User(logged_in));
    assert_eq!((last.tenant_id, last.account_id, last.position), (tenant, None, position));
    let metadata: serde_json::Value = serde_json::from_str(&last.metadata).unwrap();
    for (name, value) in [
        ("actor", user.to_string()),
        ("client", said.client),
        ("token", said.token),
        ("interface", "rest".to_owned()),
        ("request", said.request.to_string()),
    ] {
        assert_eq!(metadata[name], value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_that_are_carried_again_by_the_next_writer_are_recorded_once() {
    let database = TestDatabase::new().await;
    let (tenant, user) = somebody();
    let mut facts = vec![registered(user)];
    facts.extend((0..40).map(|_| refused(user)));
    let first = TestLedger::start(&database, "one").await;
    {
        let _carried = carry(&database, &first);
        commit(&database, (tenant, user), &facts).await;
        assert_eq!(recorded(&database, user).await.len(), 41);
    }
    drop(first);
    // The first writer died between the log and the outbox.
    commit(&database, (tenant, user), &facts).await;
    let second = TestLedger::start(&database, "two").await;
    let _carried = carry(&database, &second);
    assert_eq!(recorded(&database, user).await.len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_that_can_never_be_recorded_does_not_hold_up_the_others() {
    let database = TestDatabase::new().await;
    let ledger = TestLedger::start(&database, "one").await;
    let (_, nobody) = somebody();
    let (tenant, user) = somebody();
    let _carried = carry(&database, &ledger);
    commit(&database, (tenant, nobody), &[refused(nobody)]).await;
    commit(&database, (tenant, user), &[registered(user)]).await;
    assert_eq!(recorded(&database, user).await.len(), 1);
    assert!(recorded(&database, nobody).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_are_facts_of_their_account() {
    let database = TestDatabase::new().await;
    let ledger = TestLedger::start(&database, "one").await;
    let account_id = ledger.account("100").await;
    let (_, user_id) = somebody();
    let grant_id = GrantId::new(Uuid::now_v7());
    let granted = Fact::Granted { account_id, grant_id, user_id, role: GrantRole::Viewer };
    let _carried = carry(&database, &ledger);
    let revoked = Fact::Revoked { account_id, grant_id };
    let whose = (OPERATOR_TENANT, UserId::new(ActorId::default().uuid()));
    commit(&database, whose, &[granted, revoked]).await;
    recorded(&database, user_id).await;
    let mut auditor = database.auditor.begin().await.unwrap();
    let mut account = Account::default();
    for row in read_after(&mut auditor, 0, 0, 100).await.unwrap() {
        if let Event::Account(event) = row.event().unwrap() {
            assert_eq!(row.account_id, Some(account_id));
            account.evolve(&event).unwrap();
        }
    }
    let grant = &account.grants()[&grant_id];
    assert_eq!((grant.user_id, grant.role, grant.revoked), (user_id, GrantRole::Viewer, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_of_a_user_is_kept_as_a_snapshot_that_the_audit_agrees_with() {
    let database = TestDatabase::new().await;
    let directory = scratch_directory("user-snapshot");
    let key = ProcessKey::open_or_create(directory.path()).unwrap();
    let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
    let ledger = TestLedger::start_signing(&database, "one", name).await;
    let _carried = carry(&database, &ledger);
    let (tenant, user) = somebody();
    let (fact_id, at) = new_fact();
    let disabled = Fact::Of(user, UserEvent::UserDisabled { fact_id, at, by: By::Operator });
    let mut facts = vec![registered(user), disabled];
    facts.extend((0..120).map(|_| refused(user)));
    commit(&database, (tenant, user), &facts).await;
    let rows = recorded(&database, user).await;
    assert_eq!(rows.len(), 122);
    let mut projector = database.projector.pool().acquire().await.unwrap();
    for group in projections::Group::ALL {
        projections::rebuild::run(&mut projector, group).await.unwrap();
    }
    let stream = StreamId::User(user);
    let (sequence, state) = snapshots::stored(&mut projector, stream).await.unwrap().unwrap();
    let mut folded = User::default();
    for row in rows.iter().take(usize::try_from(sequence).unwrap()) {
        folded.evolve(&serde_json::from_str(&row.payload).unwrap()).unwrap();
    }
    assert!(sequence >= 100);
    assert_eq!(serde_json::from_str::<User>(&state).unwrap(), folded);
    let evidence = Evidence::read(&[]).unwrap();
    let report = verify_database(&database.auditor, 0, evidence).await.unwrap();
    assert!(report.valid, "{report}");
}
