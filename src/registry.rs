//! `blotter user` and `blotter keys`: who may act, for the operator beside the running server.
//!
//! Works on the database itself, so that the first user needs no server. Passwords are read from standard input, a line
//! each, and stand on no command line. What is done is recorded by the server that runs there, or by the next one.

use std::io::{BufRead, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use aggregates::id::{OPERATOR, RequestId};
use anyhow::{Context, bail};
use blotter::config::DatabaseSettings;
use blotter::database::Visit;
use blotter::identity::Identity;
use blotter::identity::access::PrivateKey;
use blotter::identity::desk::Guest;
use blotter::identity::email::Email;
use blotter::identity::facts::Cause;
use blotter::identity::passwords::Password;
use blotter::identity::registering::Entry;
use blotter::ledger::Interface;
use chrono::{SecondsFormat, TimeDelta};
use clap::{Args, Subcommand};
use uuid::Uuid;

/// Users that are read at once.
const PAGE: i64 = 500;

/// Open orders of a tenant, as far as the views are.
const OPEN: &str = "SELECT count(*) FROM orders
    WHERE tenant_id = $1 AND open AND generation = blotter_generation('trading')";

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Register a user; the password is a line of standard input
    Add(OneUser),
    /// List every user: address, id, status, since when
    List(Everyone),
    /// Let a user not log in any more, and end every session
    Disable(OneUser),
    /// Let a user log in again
    Enable(OneUser),
    /// Erase what is known of a user; the log keeps ids
    Forget(Erased),
    /// Give a user another password, a line of standard input, and end every session
    ResetPassword(OneUser),
    /// Make a code that lets one person register
    Invite(Invite),
}

/// A user by address.
#[derive(Args, Debug)]
pub struct OneUser {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// The address
    email: String,
}

/// A user who is to be forgotten.
#[derive(Args, Debug)]
pub struct Erased {
    #[command(flatten)]
    user: OneUser,
    /// Do not ask; needed where nobody can be asked, since standard input is no terminal
    #[arg(long)]
    yes: bool,
}

/// All users.
#[derive(Args, Debug)]
pub struct Everyone {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
}

/// An invitation.
#[derive(Args, Debug)]
pub struct Invite {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// Days that it is good for
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u16).range(1..=90))]
    days: u16,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Sign access tokens by a new key from now on; a running server takes it up within a second, and what was signed
    /// before stays good until it is over
    Rotate(Rotate),
}

/// Which key.
#[derive(Args, Debug)]
pub struct Rotate {
    /// The data directory of the server [default: as for blotter serve]
    #[arg(long, env = "BLOTTER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Makes a new key.
pub fn keys(command: KeysCommand) -> anyhow::Result<()> {
    let KeysCommand::Rotate(Rotate { data_dir }) = command;
    let data_dir = data_dir.or_else(blotter::database::default_data_dir);
    let data_dir = data_dir.context("there is no home directory: name the data directory")?;
    let key = PrivateKey::replace(&data_dir)?;
    writeln!(std::io::stdout(), "{}", key.public().kid).context("standard output")
}

/// Does what was asked with users.
pub async fn users(command: UserCommand) -> anyhow::Result<()> {
    let database = match &command {
        UserCommand::Add(it)
        | UserCommand::Disable(it)
        | UserCommand::Enable(it)
        | UserCommand::ResetPassword(it) => &it.database,
        UserCommand::Forget(it) => &it.user.database,
        UserCommand::List(it) => &it.database,
        UserCommand::Invite(it) => &it.database,
    };
    // Before anything is opened: a command that waits for somebody to type holds nothing.
    if let UserCommand::Forget(Erased { user, yes: false }) = &command {
        if !std::io::stdin().is_terminal() {
            bail!(
                "nothing was erased: standard input is no terminal to ask on, so say --yes to erase all that is known \
                 of {}",
                user.email
            );
        }
        let (question, answer) = (&mut std::io::stderr(), &mut std::io::stdin().lock());
        if !is_meant(&user.email, question, answer)? {
            bail!("nothing was erased: the address that was typed is another");
        }
    }
    let password = match &command {
        UserCommand::Add(_) | UserCommand::ResetPassword(_) => Some(password()?),
        _ => None,
    };
    let visit = Visit::open(database.existing()?).await?;
    let pool = visit.identity();
    let done = match Identity::beside(pool.clone()) {
        Ok(identity) => carry_out(&identity, &visit, command, password).await,
        Err(error) => Err(error.into()),
    };
    pool.pool().close().await;
    visit.close().await?;
    done
}

async fn carry_out(
    identity: &Identity,
    visit: &Visit,
    command: UserCommand,
    password: Option<Password>,
) -> anyhow::Result<()> {
    let cause = by_operator();
    let guest = Guest {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        user_agent: String::new(),
        interface: cause.interface,
        request: cause.request,
    };
    let mut out = std::io::stdout();
    match command {
        UserCommand::Add(OneUser { email, .. }) => {
            let email = Email::read(&email)?;
            let password = password.context("no password")?;
            let made = identity.register(&email, &password, Entry::Operator, &guest).await?;
            writeln!(out, "{}", made.whose.user)?;
        }
        UserCommand::List(_) => {
            let mut after = None;
            loop {
                let users = identity.users(after, PAGE).await?;
                for user in &users {
                    let status = if user.active { "active" } else { "disabled" };
                    let since = user.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
                    writeln!(out, "{}\t{}\t{status}\t{since}", user.email, user.whose.user)?;
                }
                match users.last() {
                    Some(last) => after = Some((last.created_at, last.whose.user)),
                    None => break,
                }
            }
        }
        UserCommand::Disable(OneUser { email, .. }) => {
            let user = identity.by_email(&Email::read(&email)?).await?.whose.user;
            let _ = identity.set_active(user, false, &cause).await?;
            writeln!(out, "disabled {user}")?;
        }
        UserCommand::Enable(OneUser { email, .. }) => {
            let user = identity.by_email(&Email::read(&email)?).await?.whose.user;
            let _ = identity.set_active(user, true, &cause).await?;
            writeln!(out, "enabled {user}")?;
        }
        UserCommand::Forget(Erased { user: OneUser { email, .. }, .. }) => {
            let whose = identity.by_email(&Email::read(&email)?).await?.whose;
            let auditor = visit.auditor();
            let open: i64 = sqlx::query_scalar(OPEN)
                .bind(whose.tenant.uuid())
                .fetch_one(auditor.pool())
                .await?;
            auditor.pool().close().await;
            let user = whose.user;
            let _ = identity.forget(user, &cause).await?;
            writeln!(out, "forgot {user}; open orders that stay on their accounts: {open}")?;
        }
        UserCommand::ResetPassword(OneUser { email, .. }) => {
            let user = identity.by_email(&Email::read(&email)?).await?.whose.user;
            let password = password.context("no password")?;
            let _ = identity.reset_password(user, &password, &cause).await?;
            writeln!(out, "the password is another now of {user}")?;
        }
        UserCommand::Invite(Invite { days, .. }) => {
            let invited = identity.invite(TimeDelta::days(days.into()), &cause).await?;
            writeln!(out, "{}", *invited.code)?;
        }
    }
    Ok(())
}

/// What the log says of a command of the operator's.
pub fn by_operator() -> Cause {
    Cause {
        actor: OPERATOR,
        token: "operator".to_owned(),
        client: String::new(),
        interface: Interface::Cli,
        request: RequestId::new(Uuid::now_v7()),
    }
}

/// Asks whether a user is to be erased for good: whoever means it types the address again.
fn is_meant(
    email: &str,
    question: &mut impl Write,
    answer: &mut impl BufRead,
) -> anyhow::Result<bool> {
    write!(
        question,
        "This erases all that is known of {email}, for good: password, sessions, tokens, grants, names and notes. The \
         accounts stay, and only you reach them.\nType the address again to go on: "
    )?;
    question.flush()?;
    let mut line = String::new();
    answer.read_line(&mut line).context("standard input")?;
    Ok(line.trim() == email)
}

/// The password on standard input.
fn password() -> anyhow::Result<Password> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("standard input")?;
    let text = line.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("the password is read from standard input, and there is none");
    }
    Ok(Password::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_whether_to_erase_has_to_type_the_address_again() {
        for (typed, meant) in [
            ("ada@x.org\n", true),
            ("", false),
            ("\n", false),
            ("y\n", false),
            ("bob@x.org\n", false),
        ] {
            let mut question = Vec::new();
            let asked = is_meant("ada@x.org", &mut question, &mut typed.as_bytes());
            assert_eq!(asked.unwrap(), meant, "{typed:?}");
            assert!(String::from_utf8(question).unwrap().contains("of ada@x.org, for good"));
        }
    }
}
