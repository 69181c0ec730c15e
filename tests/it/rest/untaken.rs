//! A client that asks and never reads. Takes as long as such a client is put up with.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support::rest::send;
use crate::support::{Server, scratch_with_cluster};

/// Answers that no pair of sockets holds: the document has some hundred kilobytes.
const ASKED: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_is_cut_off_and_others_are_served_meanwhile() {
    let directory = scratch_with_cluster("untaken").await;
    let server = Server::serve(directory.path()).await;
    let address = server.base().strip_prefix("http://").unwrap().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut silent = socket.connect(address).await.unwrap();
    let ask = format!("GET /openapi.json HTTP/1.1\r\nhost: {address}\r\n\r\n");
    silent.write_all(ask.repeat(ASKED).as_bytes()).await.unwrap();

    let (http, asked) = (reqwest::Client::new(), Instant::now());
    let cut_off = loop {
        let metrics = http.get(format!("{}/metrics", server.base())).bearer_auth(server.token());
        let metrics = send(metrics).await;
        assert_eq!(metrics.status.as_u16(), 200);
        if metrics.text.contains("\nblotter_http_untaken_total 1\n") {
            break asked.elapsed();
        }
        assert!(asked.elapsed() < Duration::from_secs(40), "it is still served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(cut_off > Duration::from_secs(19), "{cut_off:?}");
    let document = send(http.get(format!("{}/openapi.json", server.base()))).await;
    let mut taken = Vec::new();
    // What the sockets held comes, and then the end or a reset.
    let _end = silent.read_to_end(&mut taken).await;
    assert!(taken.len() < ASKED * document.text.len() / 2, "{}", taken.len());
}
