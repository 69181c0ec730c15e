//! The `blotter` command. Exits with 0 when it did what was asked, 1 when that failed, 2 when the command line or
//! the configuration is wrong. `blotter audit verify` exits with 1 for a log that is not valid, 2 when it could not check.

mod auditing;
mod bridge;
mod cli;
mod heads;
mod maintenance;
mod parts;
mod registry;
mod serve;
mod stdio;
mod tokens;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use blotter::config::{ConfigError, LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let (cli, effective) = match Cli::read() {
        Ok(read) => read,
        Err(ConfigError::CommandLine(error)) => error.exit(),
        Err(error) => return failed(&error.into(), 2),
    };
    let done = match cli.command {
        Command::Serve(settings) => match start_log(&settings.log) {
            Ok(()) => serve::serve(settings).await,
            Err(error) => Err(error),
        },
        Command::Mcp(command) => match start_log(&command.settings.log) {
            Ok(()) => stdio::run(command).await,
            Err(error) => Err(error),
        },
        Command::Audit(command) => return auditing::run(command).await,
        Command::Projections(command) => maintenance::projections(command).await,
        Command::User(command) => registry::users(command).await,
        Command::Token(command) => tokens::run(command).await,
        Command::Keys(command) => registry::keys(command),
        Command::Events(command) => maintenance::events(&command),
        Command::Openapi => writeln!(std::io::stdout(), "{:#}", blotter::rest::document())
            .context("standard output"),
        Command::Config(_) => write!(std::io::stdout(), "{effective}").context("standard output"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ConfigError>() => failed(&error, 2),
        Err(error) => failed(&error, 1),
    }
}

/// Says on standard error what went wrong, with each cause that the message before it does not tell already.
pub(crate) fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !message.contains(&cause) {
            message = if message.is_empty() { cause } else { format!("{message}: {cause}") };
        }
    }
    eprintln!("blotter: {message}");
    ExitCode::from(code)
}

/// Sends the log to standard error: standard output belongs to what a command prints.
fn start_log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| ConfigError::LogFilter {
        filter: settings.log.clone(),
        reason: error.to_string(),
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
