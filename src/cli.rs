//! The command line: which commands there are, and which settings each takes.

use std::path::PathBuf;

use crate::auditing::AuditCommand;
use crate::maintenance::{EventsCommand, ProjectionsCommand};
use crate::registry::{KeysCommand, UserCommand};
use crate::stdio::StdioSettings;
use crate::tokens::TokenCommand;
use blotter::config::{self, ConfigError, Effective, ServerSettings};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// An event-sourced trading ledger for paper trading.
///
/// Every flag is also an environment variable and a key of the configuration file (with _ for -); flags win over
/// the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(name = "blotter", version)]
pub struct Cli {
    /// A configuration file (TOML)
    #[arg(long, global = true, env = "BLOTTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or Ctrl-C
    Serve(ServerSettings),
    /// Speak MCP over standard input and output: as a client of a running server, or with a server inside
    #[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:0")))]
    Mcp(StdioSettings),
    /// Check the log and its views, export it, print its latest checkpoint; the server may be running or not
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Work on the query views
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// Register, list, disable and forget users; the server may be running or not
    #[command(subcommand)]
    User(UserCommand),
    /// List and revoke the tokens that users made for agents; the server may be running or not
    #[command(subcommand)]
    Token(TokenCommand),
    /// Work on the keys that sign access tokens
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show what is written to the log
    #[command(subcommand)]
    Events(EventsCommand),
    /// Print the OpenAPI document of the REST face
    Openapi,
    /// Print the effective configuration, where each value comes from, with secrets redacted
    Config(ServerSettings),
}

impl Cli {
    /// Reads the command line, the environment and the configuration file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read() -> Result<(Self, Effective), ConfigError> {
        let (matches, effective) = config::read(&Self::command(), std::env::args_os().collect())?;
        Ok((Self::from_arg_matches(&matches)?, effective))
    }
}
