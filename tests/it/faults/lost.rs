//! A commit whose answer is lost, and a database that then stays away: the client is told that nobody knows, and
//! the same key finds out.

use super::workload::{Told, Workload};
use super::{says_that_it_is_unknown, verify_database, writes};
use crate::support::proxy::{Cut, Proxy};
use crate::support::{Server, TestDatabase, scratch_directory};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_commit_is_answered_as_unknown_and_the_same_key_gives_the_original() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("lost-keys"));
    let proxy = Proxy::new(&database, "lost-proxy");
    let url = proxy.url("postgres");
    let server = Server::launch_with(directory.path(), &["--database-url", &url]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    proxy.cut("lost-commit", Cut::AfterForGood);
    let told = workload.place_once(server.base(), "lost-commit").await.unwrap();
    assert!(proxy.has_cut());
    assert!(says_that_it_is_unknown(&told), "{told:?}");
    assert_eq!(told.headers["retry-after"], "1");

    proxy.mend();
    let order = workload.settle(server.base(), "lost-commit").await;
    assert_eq!(workload.place(server.base(), "lost-commit").await, Told::Acked(order.clone()));
    let orders = workload.orders(&server).await;
    assert_eq!(orders.into_iter().collect::<Vec<_>>(), [("lost-commit".to_owned(), order)]);
    let placed = "SELECT count(*) FROM events WHERE event_type = 'OrderPlaced'";
    let placed: i64 =
        sqlx::query_scalar(placed).fetch_one(&mut database.superuser().await).await.unwrap();
    assert_eq!(placed, 1);
    verify_database(&database).await;
}
