//! One account that many clients trade at the same time: nobody is starved, and nothing is refused for it.

use std::time::Duration;

use super::workload::{Record, Told, Workload};
use super::{verify_directory, writes};
use crate::support::{Server, scratch_with_cluster};

const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_of_one_account_are_all_served() {
    let directory = scratch_with_cluster("hot-account").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let (mut record, load) = (Record::new(), workload.start(server.base(), "hot", CLIENTS));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let acked = load.stop(&mut record).await;
    let other = record.values().flatten().filter(|told| !matches!(told, Told::Acked(_))).count();
    assert_eq!(other, 0, "every order is taken at its first try");
    let of = |client: usize| {
        let name = format!("hot-{client}-");
        record.keys().filter(|id| id.starts_with(&name)).count()
    };
    let each: Vec<usize> = (0..CLIENTS).map(of).collect();
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    println!("{acked} orders of {CLIENTS} clients in one account, {least} to {most} each");
    assert!(*least > 0 && most <= &(3 * least + 5), "nobody is starved: {each:?}");
    workload.check(&server, &record).await;
    verify_directory(directory.path());
}
