//! `blotter token`: the tokens that users made for agents, for the operator beside the running server.
//!
//! Works on the database itself, as `blotter user` does. No secret is shown, since none is kept. A table has a line a
//! token; what a user wrote stands last in it, so that no width of it moves a column.

use std::fmt::Write as _;
use std::io::Write as _;

use aggregates::id::{AccountId, TokenId, UserId};
use aggregates::user::{Scope, TokenLimits};
use anyhow::{Context, anyhow, bail};
use blotter::config::DatabaseSettings;
use blotter::database::Visit;
use blotter::identity::facts::Facts;
use blotter::identity::tokens::{OwnedToken, TokenError, Tokens};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use crate::registry::by_operator;

/// Tokens that are read at once.
const PAGE: i64 = 500;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List every token, oldest first: id, state, owner, scopes, accounts, limits, times and name
    List(List),
    /// Revoke a token for good; what it has placed rests
    Revoke(Revoke),
}

/// Which tokens, and how.
#[derive(Args, Debug)]
pub struct List {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// Those alone that can be used now or once they are resumed
    #[arg(long)]
    live: bool,
    /// Print a JSON array in place of a table
    #[arg(long)]
    json: bool,
}

/// Which token.
#[derive(Args, Debug)]
pub struct Revoke {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// Its id, as `blotter token list` has it
    #[arg(value_name = "TOKEN_ID")]
    token_id: Uuid,
}

/// Whether a token can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It can.
    Live,
    /// To read, until it is resumed.
    Halted,
    /// Not while its user is disabled.
    OwnerDisabled,
    /// Its time is over.
    Expired,
    /// For good.
    Revoked,
}

impl State {
    fn of(row: &OwnedToken, now: DateTime<Utc>) -> Self {
        let token = &row.token;
        match () {
            () if row.revoked_at.is_some() => Self::Revoked,
            () if token.expires_at.is_some_and(|at| at <= now) => Self::Expired,
            () if !row.owner_active => Self::OwnerDisabled,
            () if token.agent.halted => Self::Halted,
            () => Self::Live,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Halted => "halted",
            Self::OwnerDisabled => "owner_disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    const fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

/// A token as `--json` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    token_id: TokenId,
    state: State,
    owner: String,
    user_id: UserId,
    name: String,
    scopes: Vec<Scope>,
    /// `null` for all that the owner reaches.
    accounts: Option<Vec<AccountId>>,
    limits: TokenLimits,
    created_at: DateTime<Utc>,
    first_used_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    halted_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Listed {
    fn new(row: OwnedToken, now: DateTime<Utc>) -> Self {
        let state = State::of(&row, now);
        let OwnedToken { token, owner, revoked_at, .. } = row;
        let agent = token.agent;
        Self {
            token_id: agent.token_id,
            state,
            owner,
            user_id: agent.user_id,
            name: token.name,
            scopes: agent.scopes.into_iter().collect(),
            accounts: agent.accounts.map(|accounts| accounts.into_iter().collect()),
            limits: agent.limits,
            created_at: token.created_at,
            first_used_at: token.first_used_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            halted_at: token.halted_at,
            revoked_at,
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let time = |at: Option<DateTime<Utc>>| {
            at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
        };
        let scopes: Vec<_> = self.scopes.iter().map(|scope| scope.word()).collect();
        let accounts = self.accounts.as_ref().map_or_else(
            || "all".to_owned(),
            |accounts| joined(accounts.iter().map(ToString::to_string)),
        );
        [
            self.token_id.to_string(),
            self.state.word().to_owned(),
            self.owner.clone(),
            time(Some(self.created_at)),
            time(self.last_used_at),
            time(self.expires_at),
            time(self.revoked_at),
            joined(scopes.into_iter().map(str::to_owned)),
            accounts,
            limits(&self.limits),
            self.name.clone(),
        ]
    }
}

/// The heads of the table.
const COLUMNS: [&str; 11] = [
    "TOKEN",
    "STATE",
    "OWNER",
    "MADE",
    "LAST USED",
    "EXPIRES",
    "REVOKED",
    "SCOPES",
    "ACCOUNTS",
    "LIMITS",
    "NAME",
];

fn joined(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(",") }
}

/// Limits in one word each.
fn limits(limits: &TokenLimits) -> String {
    let TokenLimits { max_order_notional, max_daily_notional, max_orders_per_minute, symbols } =
        limits;
    let order = max_order_notional.map(|most| format!("order<={most}"));
    let day = max_daily_notional.map(|most| format!("day<={most}"));
    let rate = max_orders_per_minute.map(|most| format!("orders/min<={most}"));
    let symbols = symbols.as_ref().map(|symbols| {
        let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
        format!("symbols={}", symbols.join("|"))
    });
    joined([order, day, rate, symbols].into_iter().flatten())
}

/// A table whose columns line up.
fn table(tokens: &[Listed]) -> String {
    let rows: Vec<_> = tokens.iter().map(Listed::cells).collect();
    let heads = COLUMNS.map(str::to_owned);
    let lines = || std::iter::once(&heads).chain(&rows);
    let mut widths = [0; COLUMNS.len()];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines() {
        let (name, before) = line.split_last().expect("a table has columns");
        for (cell, width) in before.iter().zip(widths) {
            write!(text, "{cell:<width$}  ").expect("a string takes all that is written");
        }
        writeln!(text, "{name}").expect("a string takes all that is written");
    }
    text
}

/// Does what was asked with tokens.
pub async fn run(command: TokenCommand) -> anyhow::Result<()> {
    let database = match &command {
        TokenCommand::List(list) => &list.database,
        TokenCommand::Revoke(revoke) => &revoke.database,
    };
    let visit = Visit::open(database.existing()?).await?;
    let pool = visit.identity();
    let tokens = Tokens::new(pool.clone(), Facts::new(pool.clone()));
    let done = match &command {
        TokenCommand::List(asked) => list(&tokens, asked).await,
        TokenCommand::Revoke(asked) => revoke(&tokens, TokenId::new(asked.token_id)).await,
    };
    pool.pool().close().await;
    visit.close().await?;
    done
}

async fn list(tokens: &Tokens, asked: &List) -> anyhow::Result<()> {
    let (mut listed, mut after, now) = (Vec::new(), None, Utc::now());
    loop {
        let page = tokens.of_all(after, PAGE).await?;
        match page.last() {
            Some(last) => after = Some((last.token.created_at, last.token.agent.token_id)),
            None => break,
        }
        let page = page.into_iter().map(|row| Listed::new(row, now));
        listed.extend(page.filter(|token| !(asked.live && token.state.is_over())));
    }
    let mut out = std::io::stdout().lock();
    if asked.json {
        serde_json::to_writer_pretty(&mut out, &listed)?;
        writeln!(out).context("standard output")
    } else {
        write!(out, "{}", table(&listed)).context("standard output")
    }
}

async fn revoke(tokens: &Tokens, token: TokenId) -> anyhow::Result<()> {
    match tokens.revoke(None, token, &by_operator()).await {
        Ok(_) => writeln!(std::io::stdout(), "revoked {token}").context("standard output"),
        Err(TokenError::NotFound) => bail!(
            "there is no live token {token}: it was revoked, its time is over or there never was one; `blotter token list` \
             has all of them"
        ),
        Err(error) => Err(anyhow!(error)),
    }
}

#[cfg(test)]
mod tests {
    use aggregates::id::TenantId;
    use blotter::identity::AgentToken;
    use blotter::identity::tokens::TokenRow;
    use chrono::TimeDelta;

    use super::*;

    fn owned(name: &str, owner: &str) -> OwnedToken {
        let agent = AgentToken {
            token_id: TokenId::new(Uuid::now_v7()),
            user_id: UserId::new(Uuid::now_v7()),
            tenant: TenantId::new(Uuid::now_v7()),
            scopes: [Scope::LedgerRead, Scope::MarketRead].into_iter().collect(),
            accounts: None,
            limits: TokenLimits::default(),
            halted: false,
        };
        let token = TokenRow {
            agent,
            name: name.to_owned(),
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            first_used_at: None,
            last_used_at: None,
            halted_at: None,
        };
        OwnedToken { token, owner: owner.to_owned(), owner_active: true, revoked_at: None }
    }

    #[test]
    fn a_token_is_in_the_state_that_stops_it_for_longest() {
        let now = Utc::now();
        let mut row = owned("a", "a@x.org");
        assert_eq!(State::of(&row, now), State::Live);
        row.token.agent.halted = true;
        assert_eq!(State::of(&row, now), State::Halted);
        row.owner_active = false;
        assert_eq!(State::of(&row, now), State::OwnerDisabled);
        row.token.expires_at = Some(now + TimeDelta::seconds(1));
        assert_eq!(State::of(&row, now), State::OwnerDisabled);
        row.token.expires_at = Some(now);
        assert_eq!(State::of(&row, now), State::Expired, "as a face looks at it");
        row.revoked_at = Some(now);
        assert_eq!(State::of(&row, now), State::Revoked);
    }

    #[test]
    fn the_columns_of_a_table_line_up_whatever_stands_in_them() {
        let mut rows =
            [owned("雨の日 name", "a@x.org"), owned("b", "somebody.with.a.long@address.org")];
        let limits = &mut rows[1].token.agent.limits;
        limits.max_orders_per_minute = Some(5);
        limits.symbols = Some(["AAPL".to_owned(), "MSFT".to_owned()].into());
        rows[1].token.agent.accounts = Some(Default::default());
        let text = table(&rows.map(|row| Listed::new(row, Utc::now())));
        let lines: Vec<_> = text.lines().collect();
        let [heads, first, second] = lines[..] else { panic!("{text}") };
        for column in COLUMNS {
            let at = heads.find(column).unwrap();
            for line in [first, second] {
                let before = at == 0 || line.as_bytes()[at - 1] == b' ';
                assert!(before && line.as_bytes()[at] != b' ', "{column} in\n{text}");
            }
        }
        assert!(
            first.contains("ledger:read,market:read  all") && first.ends_with("  雨の日 name"),
            "{text}"
        );
        assert!(
            second.contains("  none") && second.contains("orders/min<=5,symbols=AAPL|MSFT"),
            "{text}"
        );
    }
}
