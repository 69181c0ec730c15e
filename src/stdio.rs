//! `blotter mcp`: the tools over standard input and output, as a thin client of a running server, or with a server
//! inside. Standard output carries JSON-RPC alone; the log goes to standard error.

use std::time::Duration;

use anyhow::Context;
use blotter::config::{self, ConfigError, ServerSettings};
use blotter::identity::OperatorToken;
use blotter::mcp::{BODY_MAX, READ_ONLY_HEADER, TOOLSETS_HEADER};
use clap::Args;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::bridge::{self, Line, Remote};
use crate::serve::{self, Host};

/// Lines of input that wait to be taken.
const WAITING: usize = 64;
/// How long a server inside may take to start.
const START: Duration = Duration::from_secs(60);

/// Where the tools are.
#[derive(Args, Debug)]
pub struct StdioSettings {
    /// The running server, called with the token in BLOTTER_TOKEN or BLOTTER_OPERATOR_TOKEN
    #[arg(
        long,
        env = "BLOTTER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
    /// Run a server inside instead; the other options are that server's
    #[arg(
        long,
        env = "BLOTTER_STANDALONE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    standalone: bool,
    /// The server inside, and which tools are offered.
    #[command(flatten)]
    pub settings: ServerSettings,
}

/// Speaks MCP until the input ends.
pub async fn run(command: StdioSettings) -> anyhow::Result<()> {
    if command.standalone { standalone(command.settings).await } else { thin(&command).await }
}

async fn thin(command: &StdioSettings) -> anyhow::Result<()> {
    let token = match config::token("BLOTTER_TOKEN")? {
        Some(token) => token,
        None => config::token("BLOTTER_OPERATOR_TOKEN")?.ok_or(ConfigError::NoToken)?,
    };
    let mcp = &command.settings.mcp;
    let narrowing = [
        (TOOLSETS_HEADER, mcp.toolsets.to_string()),
        (READ_ONLY_HEADER, mcp.read_only.to_string()),
    ];
    speak(Remote::new(&command.server, &token, &narrowing)?).await
}

async fn standalone(settings: ServerSettings) -> anyhow::Result<()> {
    let given = config::token("BLOTTER_OPERATOR_TOKEN")?;
    let token = OperatorToken::text(given.as_deref(), &settings.database.data_dir()?)?;
    let (listening, address) = oneshot::channel();
    let done = CancellationToken::new();
    let host = Host { listening: Some(listening), done: done.clone() };
    let mut server = std::pin::pin!(serve::serve_for(settings, host));
    let spoken = async {
        // Without an address the server has ended, and says itself why.
        let Ok(address) = address.await else { return std::future::pending().await };
        let address = format!("http://{address}");
        bridge::ready(&address, START).await?;
        if let Some(balance) = bridge::first_account(&address, &token).await? {
            info!(balance, "opened the first account: a cash account of paper dollars");
        }
        speak(Remote::new(&address, &token, &[])?).await
    };
    let spoken = tokio::select! {
        ended = &mut server => return ended,
        spoken = spoken => spoken,
    };
    done.cancel();
    server.await?;
    spoken
}

/// Relays between standard input and output and `remote` until one of the two ends.
async fn speak(remote: Remote) -> anyhow::Result<()> {
    let (out, mut written) = mpsc::unbounded_channel::<String>();
    let writer = async move {
        let mut stdout = tokio::io::stdout();
        while let Some(mut line) = written.recv().await {
            line.push('\n');
            stdout.write_all(line.as_bytes()).await?;
            stdout.flush().await?;
        }
        std::io::Result::Ok(())
    };
    let relayed = bridge::relay(remote, read_lines(), out);
    let mut writer = std::pin::pin!(writer);
    tokio::select! {
        () = relayed => {}
        written = &mut writer => return written.context("standard output"),
    }
    writer.await.context("standard output")
}

/// The lines of standard input. They are read on a thread that nobody waits for: a read cannot be called off, and the
/// process may have to end while one waits.
fn read_lines() -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Ok(Some(line)) = bridge::next_line(&mut input, BODY_MAX) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
