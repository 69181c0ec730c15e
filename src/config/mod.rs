//! The configuration: one typed value, from flags, environment, file and defaults, in this order of precedence.
//!
//! Every setting is a flag, the environment variable `BLOTTER_` plus its name, and a key of the TOML file that
//! `--config` names. All three are read by the same parser, so that they accept the same words and give the same
//! messages. Commands that need a part of the settings flatten the group that they need.

mod file;
#[cfg(test)]
mod reference;
mod values;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use aggregates::money::{Money, Price, parse_decimal};
use aggregates::rules::{FeeSchedule, Rules};
use chrono::TimeDelta;
use clap::Args;
use rust_decimal::Decimal;

pub use file::{ConfigError, Effective, read};
pub use values::{Hours, LogFormat, Market, Record, Registration, Secret};

use crate::database::{Source, default_data_dir, embedded};
use crate::identity::desk;
use crate::market::pace::Speed;
use crate::mcp::{Shelf, Toolsets};
use crate::rest::cors::Origin;
use crate::rest::proxies::Network;

/// Where the database is, and the directory for everything that is kept outside it.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// A Postgres to work with, instead of a private one (also DATABASE_URL)
    #[arg(long, env = "BLOTTER_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// What to migrate with, so that the database URL can be a plain login
    #[arg(long, env = "BLOTTER_MIGRATE_URL", value_name = "URL", hide_env_values = true)]
    pub migrate_url: Option<Secret>,
    /// For the private Postgres, keys, checkpoints and the operator's token [default: /var/lib/blotter as root,
    /// else $XDG_DATA_HOME/blotter or ~/.local/share/blotter]
    #[arg(long, env = "BLOTTER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the binaries of the private Postgres are [default: searched on PATH and in the usual places]
    #[arg(long, env = "BLOTTER_POSTGRES_BIN_DIR", value_name = "DIR")]
    pub postgres_bin_dir: Option<PathBuf>,
}

/// What the market is and how its time runs.
#[derive(Args, Clone, Debug)]
pub struct MarketSettings {
    /// Where ticks come from: simulated, feed or recorded:FILE
    #[arg(long, env = "BLOTTER_MARKET", value_name = "SOURCE", default_value = "simulated")]
    pub market: Market,
    /// How fast a simulated or recorded market runs: times real time, such as 60x, or max [default: 10x simulated,
    /// else 60x]
    #[arg(
        long,
        env = "BLOTTER_SPEED",
        value_name = "SPEED",
        default_value = "60x",
        default_value_if("market", "simulated", "10x"),
        hide_default_value = true
    )]
    pub speed: Speed,
    /// When the market is open [default: always simulated, else nyse]
    #[arg(
        long,
        env = "BLOTTER_HOURS",
        value_enum,
        default_value = "nyse",
        default_value_if("market", "simulated", "always"),
        hide_default_value = true
    )]
    pub hours: Hours,
    /// What a simulated market grows from
    #[arg(long, env = "BLOTTER_SEED", value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Which ticks are recorded: all, or those of symbols with open orders and of held symbols [default: working
    /// simulated, else all]
    #[arg(
        long,
        env = "BLOTTER_RECORD",
        value_enum,
        default_value = "all",
        default_value_if("market", "simulated", "working"),
        hide_default_value = true
    )]
    pub record: Record,
    /// Start with a recorded or simulated market standing still
    #[arg(
        long,
        env = "BLOTTER_PAUSED",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub paused: bool,
}

/// What the ledger charges and reserves.
#[derive(Args, Clone, Debug)]
pub struct RuleSettings {
    /// A fee for each fill, in dollars
    #[arg(long, env = "BLOTTER_FEE_PER_FILL", value_name = "AMOUNT", default_value = "0")]
    pub fee_per_fill: Money,
    /// A fee for each share, in dollars
    #[arg(long, env = "BLOTTER_FEE_PER_SHARE", value_name = "AMOUNT", default_value = "0")]
    pub fee_per_share: Price,
    /// A fee for each option contract, in dollars
    #[arg(long, env = "BLOTTER_FEE_PER_CONTRACT", value_name = "AMOUNT", default_value = "0")]
    pub fee_per_contract: Price,
    /// How far above the ask a market buy reserves, as a rate
    #[arg(long, env = "BLOTTER_COLLAR", value_name = "RATE", default_value = "0.05", value_parser = rate)]
    pub collar: Decimal,
}

/// How the process logs, on standard error.
#[derive(Args, Clone, Debug)]
pub struct LogSettings {
    /// What to log, as tracing filter directives
    #[arg(
        long,
        env = "BLOTTER_LOG",
        value_name = "FILTER",
        default_value = "info,sqlx=warn,rmcp=off"
    )]
    pub log: String,
    /// How to log
    #[arg(long, env = "BLOTTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// Which tools are offered over MCP.
#[derive(Args, Clone, Debug)]
pub struct McpSettings {
    /// Toolsets offered over MCP: all, or some of system, account, stock_orders, option_orders, order_management, risk,
    /// market_data, options_data and audit, with commas between them
    #[arg(long, env = "BLOTTER_TOOLSETS", value_name = "A,B", default_value = "all")]
    pub toolsets: Toolsets,
    /// Offer over MCP only tools that change nothing
    #[arg(
        long,
        env = "BLOTTER_READ_ONLY",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub read_only: bool,
}

/// Who may call, and how often.
#[derive(Args, Clone, Debug)]
pub struct EdgeSettings {
    /// An origin whose pages browsers let call this server, exactly as they write it, such as https://app.example.com;
    /// given again, or with commas between them, for more than one [default: none]
    #[arg(long, env = "BLOTTER_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<Origin>,
    /// A network of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8 or 127.0.0.1: what is limited by address is
    /// limited by that of their client; given again, or with commas between them, for more than one [default: none]
    #[arg(long, env = "BLOTTER_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxy: Vec<Network>,
    /// Requests a second that are taken of one user or token, 4 times as many of a tenant and 8 times of an address; the
    /// operator has no limit
    #[arg(long, env = "BLOTTER_RATE_LIMIT", value_name = "N", default_value = "1000")]
    pub rate_limit: NonZeroU32,
}

/// Everything that `blotter serve` can be told.
#[derive(Args, Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen
    #[arg(
        long,
        env = "BLOTTER_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// The database and the data directory.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The market.
    #[command(flatten)]
    pub market: MarketSettings,
    /// Fees and reservations.
    #[command(flatten)]
    pub rules: RuleSettings,
    /// The tools of agents.
    #[command(flatten)]
    pub mcp: McpSettings,
    /// Who may call.
    #[command(flatten)]
    pub edge: EdgeSettings,
    /// Who may register
    #[arg(long, env = "BLOTTER_REGISTRATION", value_enum, default_value = "open")]
    pub registration: Registration,
    /// How long users stay logged in.
    #[command(flatten)]
    pub sessions: SessionSettings,
    /// Write to a database that does not contain what this process signed last (a restored backup)
    #[arg(
        long,
        env = "BLOTTER_ACCEPT_ROLLBACK",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub accept_rollback: bool,
    /// The log of the process.
    #[command(flatten)]
    pub log: LogSettings,
}

/// How long users stay logged in.
#[derive(Args, Clone, Debug)]
pub struct SessionSettings {
    /// Days after which a session ends that is not used
    #[arg(
        long,
        env = "BLOTTER_SESSION_IDLE_DAYS",
        value_name = "DAYS",
        default_value = "14",
        value_parser = clap::value_parser!(u16).range(1..=365)
    )]
    pub session_idle_days: u16,
    /// Days after which a session ends however much it is used
    #[arg(
        long,
        env = "BLOTTER_SESSION_DAYS",
        value_name = "DAYS",
        default_value = "90",
        value_parser = clap::value_parser!(u16).range(1..=365)
    )]
    pub session_days: u16,
}

impl DatabaseSettings {
    /// The data directory.
    ///
    /// # Errors
    /// None is named and there is no home directory to put it in.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        self.data_dir.clone().or_else(default_data_dir).ok_or(ConfigError::NoDataDirectory)
    }

    /// The directory with the checkpoints of this database's log: the one that is named, or that of a private
    /// database. None for a database elsewhere: the default directory may have signed another log.
    ///
    /// # Errors
    /// That of [`Self::data_dir`].
    pub fn checkpoint_dir(&self) -> Result<Option<PathBuf>, ConfigError> {
        let elsewhere = self.data_dir.is_none() && self.database_url().is_some();
        if elsewhere { Ok(None) } else { self.data_dir().map(Some) }
    }

    /// Which database to open.
    ///
    /// # Errors
    /// A private one, and nowhere to put it.
    pub fn source(&self) -> Result<Source, ConfigError> {
        Ok(match self.database_url() {
            Some(url) => Source::Url { url, migrate_url: given(self.migrate_url.as_ref()) },
            None => Source::Embedded(embedded::Options {
                binaries: self.postgres_bin_dir.clone(),
                ..embedded::Options::new(self.data_dir()?)
            }),
        })
    }

    /// Which database to work on that is there already.
    ///
    /// # Errors
    /// A private one, and there is none.
    pub fn existing(&self) -> Result<Source, ConfigError> {
        let source = self.source()?;
        if let Source::Embedded(options) = &source {
            // What cannot be looked at is there; whoever opens it says what is wrong with it.
            if matches!(embedded::cluster_of(&options.directory).try_exists(), Ok(false)) {
                return Err(ConfigError::NoCluster { directory: options.directory.clone() });
            }
        }
        Ok(source)
    }

    fn database_url(&self) -> Option<String> {
        given(self.database_url.as_ref())
    }
}

/// The token in this variable of the environment, without the white space around it, which no header carries and
/// files that tokens are read from end with. None when nothing is left.
///
/// # Errors
/// It is not UTF-8.
pub fn token(name: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| ConfigError::TokenNotText { name })?;
    Ok(Some(value.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// A URL, unless it is empty: an empty variable of the environment names none.
fn given(url: Option<&Secret>) -> Option<String> {
    url.map(|url| url.expose().to_owned()).filter(|url| !url.is_empty())
}

impl RuleSettings {
    /// The rules that every decision obeys.
    pub fn rules(&self) -> Rules {
        let fees = FeeSchedule {
            per_fill: self.fee_per_fill,
            per_share: self.fee_per_share,
            per_contract: self.fee_per_contract,
        };
        Rules { collar: self.collar, fees }
    }
}

impl McpSettings {
    /// What is on offer.
    pub fn shelf(&self) -> Shelf {
        Shelf { toolsets: self.toolsets.clone(), read_only: self.read_only }
    }
}

impl ServerSettings {
    /// What identity works by.
    pub fn identity(&self) -> desk::Settings {
        desk::Settings {
            admission: match self.registration {
                Registration::Open => desk::Admission::Open,
                Registration::Invite => desk::Admission::Invited,
                Registration::Closed => desk::Admission::Closed,
            },
            idle: TimeDelta::days(self.sessions.session_idle_days.into()),
            lifetime: TimeDelta::days(self.sessions.session_days.into()),
        }
    }
}

/// Reads a rate from 0 to 1.
fn rate(text: &str) -> Result<Decimal, String> {
    let rate = parse_decimal(text).map_err(|error| error.to_string())?;
    if rate.is_sign_negative() || rate > Decimal::ONE {
        return Err("a rate is from 0 to 1".to_owned());
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_elsewhere_has_only_the_checkpoints_that_are_named() {
        let settings = |url: Option<&str>, data_dir: Option<&str>| DatabaseSettings {
            database_url: url.map(|url| url.parse().unwrap()),
            migrate_url: None,
            data_dir: data_dir.map(PathBuf::from),
            postgres_bin_dir: None,
        };
        let named = Some(PathBuf::from("/kept"));
        for url in [None, Some(""), Some("postgres://elsewhere/blotter")] {
            assert_eq!(settings(url, Some("/kept")).checkpoint_dir().unwrap(), named);
        }
        let url = Some("postgres://elsewhere/blotter");
        assert_eq!(settings(url, None).checkpoint_dir().unwrap(), None);
    }
}
