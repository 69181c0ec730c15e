//! Merges the configuration file into the command line.
//!
//! A key of the file that neither a flag nor the environment sets is handed to the parser as a flag: one parser,
//! one set of messages, and no second list of settings that could differ from the first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::values::Secret;

/// Arguments of the command line that are not settings.
const NOT_SETTINGS: [&str; 3] = ["config", "help", "version"];
/// Settings that are shown redacted.
const SECRETS: [&str; 2] = ["database_url", "migrate_url"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {path} is not TOML: {source}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: toml::de::Error,
    },
    /// The file has a key that is no setting.
    #[error(
        "the configuration file {path} sets {key:?}, which is not a setting; see `blotter config`"
    )]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The file has a list or a table where a single value belongs.
    #[error("the configuration file {path} sets {key:?} to something that is not a single value")]
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Nowhere to put data.
    #[error("there is no home directory to put data in: name a directory with --data-dir")]
    NoDataDirectory,
    /// Work on a private database where there is none.
    #[error(
        "there is no private database in {directory}: name the data directory with --data-dir, or a server with \
         --database-url"
    )]
    NoCluster {
        /// The data directory.
        directory: PathBuf,
    },
    /// No token to call a server with.
    #[error(
        "there is no token to call the server with: set BLOTTER_TOKEN, or BLOTTER_OPERATOR_TOKEN, in the environment"
    )]
    NoToken,
    /// A token that is not text.
    #[error("{name} in the environment is not UTF-8")]
    TokenNotText {
        /// The variable.
        name: &'static str,
    },
    /// The filter of the log cannot be read.
    #[error("--log {filter:?} is not a filter: {reason}")]
    LogFilter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The command line is wrong, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
}

/// The settings of one command with their values and where these come from; shown as a configuration file.
#[derive(Debug)]
pub struct Effective(Vec<(String, Option<String>, &'static str)>);

/// Parses `arguments` (the program's name first), with the file named by `--config` or its variable below them.
///
/// # Errors
/// See [`ConfigError`].
pub fn read(
    command: &Command,
    mut arguments: Vec<OsString>,
) -> Result<(ArgMatches, Effective), ConfigError> {
    let first = command.clone().try_get_matches_from(&arguments)?;
    let (asked, given) = deepest(command, &first);
    let below = lower_settings(command, given)?;
    let mut from_below = BTreeMap::new();
    for (key, (value, origin)) in &below {
        let known = asked.get_arguments().any(|argument| argument.get_id() == key.as_str());
        if known && !is_given(given, key) {
            arguments.push(format!("--{}={value}", key.replace('_', "-")).into());
            from_below.insert(key.as_str(), *origin);
        }
    }
    let matches = command.clone().try_get_matches_from(&arguments)?;
    let (_, values) = deepest(command, &matches);
    let effective = settings(asked).map(|key| {
        let origin = from_below.get(key).copied().unwrap_or_else(|| origin(values, key));
        (key.to_owned(), shown(values, key), origin)
    });
    let effective = Effective(effective.collect());
    Ok((matches, effective))
}

/// The subcommand that was asked for, at any depth.
fn deepest<'a>(
    mut command: &'a Command,
    mut matches: &'a ArgMatches,
) -> (&'a Command, &'a ArgMatches) {
    while let Some((name, below)) = matches.subcommand() {
        command = command.find_subcommand(name).expect("clap matched a subcommand that exists");
        matches = below;
    }
    (command, matches)
}

/// What stands below flags and environment: the plain `DATABASE_URL`, then the file.
fn lower_settings(
    command: &Command,
    given: &ArgMatches,
) -> Result<BTreeMap<String, (String, &'static str)>, ConfigError> {
    let mut found = BTreeMap::new();
    if let Some(path) = given.get_one::<PathBuf>("config") {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|source| ConfigError::NotToml { path: path.clone(), source })?;
        for (key, value) in table {
            if !is_setting(command, &key) {
                return Err(ConfigError::UnknownKey { path: path.clone(), key });
            }
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                    value.to_string()
                }
                _ => return Err(ConfigError::NotAValue { path: path.clone(), key }),
            };
            found.insert(key, (value, "file"));
        }
    }
    if let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
        found.insert("database_url".to_owned(), (url, "DATABASE_URL"));
    }
    Ok(found)
}

/// The names of a command's settings.
fn settings(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some())
        .map(|argument| argument.get_id().as_str())
        .filter(|name| !NOT_SETTINGS.contains(name))
}

/// Whether `key` is a setting of any command.
fn is_setting(command: &Command, key: &str) -> bool {
    settings(command).any(|name| name == key)
        || command.get_subcommands().any(|below| is_setting(below, key))
}

/// Whether a flag or a variable that is not empty sets `key`.
fn is_given(matches: &ArgMatches, key: &str) -> bool {
    match matches.value_source(key) {
        Some(ValueSource::CommandLine) => true,
        Some(ValueSource::EnvVariable) => {
            matches.get_raw(key).is_some_and(|mut values| values.any(|value| !value.is_empty()))
        }
        _ => false,
    }
}

fn origin(matches: &ArgMatches, key: &str) -> &'static str {
    match matches.value_source(key) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ => "default",
    }
}

fn shown(matches: &ArgMatches, key: &str) -> Option<String> {
    if SECRETS.contains(&key) {
        let secret = matches.get_one::<Secret>(key);
        return secret.filter(|secret| !secret.expose().is_empty()).map(Secret::to_string);
    }
    let values: Vec<_> = matches.get_raw(key)?.map(|value| value.to_string_lossy()).collect();
    Some(values.join(","))
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value, origin) in &self.0 {
            match value {
                Some(value) => {
                    let value = toml::Value::from(value.as_str());
                    writeln!(f, "{key} = {value}  # {origin}")?;
                }
                None => writeln!(f, "# {key} is not set")?,
            }
        }
        Ok(())
    }
}
