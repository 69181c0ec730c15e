//! HTTP/1.1 over connections that are kept, with as little work as can be: the client shares the cores with the server that
//! it measures, and what it uses the server has not.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::TOKEN;

/// How long a connection is kept that nothing is sent on; the server closes it after 20 s.
const IDLE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_MAX: usize = 1 << 20;

/// The connections to a server that no request is on.
pub struct Wire {
    address: SocketAddr,
    idle: Mutex<Vec<(TcpStream, Instant)>>,
}

impl Wire {
    /// To the server at `base`, a URL of an address and a port.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let address = base.strip_prefix("http://").context("a plain URL")?.parse()?;
        Ok(Self { address, idle: Mutex::default() })
    }

    /// A request as it is sent, with the operator's token.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let (address, length) = (self.address, body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    /// Sends a request, and gives the status and the body of the answer. A connection that fails is not used again, nor one
    /// that was idle for so long that the server may close it.
    pub async fn send(&self, request: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = match idle.filter(|(_, since)| since.elapsed() < IDLE) {
            Some((stream, _)) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(2_048);
        let (status, body) = loop {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the server closed the connection");
            ensure!(answer.len() < ANSWER_MAX, "an answer has no end");
            if let Some((status, body, length)) = head(&answer)? {
                while answer.len() < body + length {
                    ensure!(stream.read_buf(&mut answer).await? > 0, "half an answer");
                }
                break (status, body);
            }
        };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((stream, Instant::now()));
        answer.drain(..body);
        Ok((status, answer))
    }
}

/// The status of an answer, where its body begins, and how long that is, once its head is there.
fn head(answer: &[u8]) -> anyhow::Result<Option<(StatusCode, usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Ok(0), str::parse)?;
    Ok(Some((status.parse()?, end + 4, length)))
}
