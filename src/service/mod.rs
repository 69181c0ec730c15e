//! The use cases: what REST and MCP can do, once, in words of the business. Knows neither HTTP nor JSON-RPC.
//!
//! Guarantees: every command and every read carries the caller's tenant; an id of another tenant reads as one that
//! does not exist; a read sees what was committed before it began, or says how far it got. A write costs what the
//! ledger costs and one read of its result; a read one wait for its view and one transaction.

mod accounts;
mod answers;
mod audit;
mod books;
mod caller;
mod closing;
mod cursor;
mod error;
mod health;
mod history;
mod market;
mod orders;
mod placing;
mod policy;
mod portfolio;
mod positions;
mod preview;
mod reading;
mod replaying;
mod stream;
pub mod text;
mod users;
mod value;
mod waiting;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aggregates::id::{AccountId, ClientId, CommandId, RequestId, TenantId};
use aggregates::trading::Command;
use projections::Views;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::database::{AuditorPool, ReaderPool};
use crate::engine::Engine;
use crate::engine::player::Player;
use crate::identity::access::{Audience, Bearer};
use crate::identity::{Identity, OperatorToken, Principal, UserSession};
use crate::ledger::{Key, Ledger, Origin, Submission, Words};
use crate::market::archive::Archive;
use crate::market::calendar::Calendar;

pub use crate::audit::Report as VerifyReport;
pub use crate::engine::player::Control;
pub use crate::ledger::Interface;
pub use crate::market::bars::Timeframe;
pub use crate::market::calendar::new_york_midnight;
pub use accounts::{AccountAnswer, OpenAccount};
pub use answers::{Page, Written};
pub use audit::{EventAnswer, EventFilter};
pub use books::{ActivityAnswer, ActivityFilter, EntryAnswer, PostingAnswer};
pub use caller::{Caller, Visitor};
pub use closing::{ClosePosition, Part};
pub use cursor::CursorKey;
pub use error::{Fault, ServiceError};
pub use health::{Health, ViewHealth};
pub use history::{HISTORY_PAGE, HistoryPeriod, PortfolioHistory, PortfolioPoint};
pub use market::{
    BarAnswer, BarsAnswer, BarsRequest, ControlAnswer, DepthAnswer, FeedAnswer, HistoryAnswer,
    HoursAnswer, InfoAnswer, InstrumentAnswer, LevelAnswer, Period, PriceAnswer, QuoteAnswer,
};
pub use orders::{OrderAnswer, OrderFilter, OrderRequest, OrderState, SYMBOL_MAX};
pub use portfolio::{PortfolioAnswer, PortfolioPosition};
pub use positions::{LotAnswer, PositionAnswer};
pub use preview::{FiguresAnswer, PreviewAnswer};
pub use reading::{Fresh, PAGE, PAGE_MAX, PageRequest};
pub use replaying::{AccountThen, AsOf, HoldingThen};
pub use stream::{Followed, Stretch};
pub use users::{
    Changed, EndedSession, INVITATION_DAYS_MAX, InvitationAnswer, KeysAnswer, SessionAnswer,
    TokensAnswer, UserAnswer, UserChange,
};
pub use value::Value;
pub use waiting::{Awaited, WaitAnswer};

/// Accounts whose tenant is remembered at the most.
const KNOWN_ACCOUNTS: usize = 100_000;

/// What the service is composed of.
pub struct Parts {
    /// The ledger.
    pub ledger: Ledger,
    /// Names and notes.
    pub words: Words,
    /// Reads of requests.
    pub reader: ReaderPool,
    /// Reads of the operator.
    pub auditor: AuditorPool,
    /// How far the views are.
    pub views: Views,
    /// The engine.
    pub engine: Engine,
    /// Plays the market, where it has a source of its own; else the operator feeds it.
    pub player: Option<Player>,
    /// Bars and depth of the market's source.
    pub archive: Arc<dyn Archive>,
    /// When the market is open.
    pub calendar: Calendar,
    /// The last checkpoint of the log that this process signed.
    pub checkpoint: watch::Receiver<Option<String>>,
    /// The files outside the database with the checkpoints that the log is verified against.
    pub checkpoint_files: Vec<PathBuf>,
    /// Knows the operator.
    pub operator: OperatorToken,
    /// Knows users.
    pub identity: Arc<Identity>,
    /// Makes cursors.
    pub cursors: CursorKey,
}

/// The use cases of one process.
pub struct Service {
    parts: Parts,
    /// Accounts that were found to be their tenant's: an account never changes its tenant.
    known: RwLock<BTreeSet<(TenantId, AccountId)>>,
    /// Whoever verifies the log.
    verifying: Mutex<()>,
}

impl Service {
    /// Composes the use cases.
    pub fn new(parts: Parts) -> Self {
        Self { parts, known: RwLock::default(), verifying: Mutex::default() }
    }

    /// The visitor that shows this bearer token over this face, as one new request; `None` for a token that is nobody's.
    ///
    /// # Errors
    /// It cannot be known now whether the token is still good.
    pub async fn authenticate(
        &self,
        bearer: &str,
        interface: Interface,
    ) -> Result<Option<Visitor>, ServiceError> {
        let principal = match self.parts.operator.is(bearer) {
            true => Some(Principal::Operator),
            false => self.logged_in(bearer, interface).await?,
        };
        let request = RequestId::new(Uuid::now_v7());
        Ok(principal.map(|principal| Visitor { principal, interface, request }))
    }

    /// The user whose access token this is.
    async fn logged_in(
        &self,
        token: &str,
        interface: Interface,
    ) -> Result<Option<Principal>, ServiceError> {
        let audience = match interface {
            Interface::Mcp => Audience::Mcp,
            _ => Audience::Rest,
        };
        let bearer = self.parts.identity.bearer(token, audience).await?;
        Ok(bearer.map(|Bearer { user, tenant, session }| {
            Principal::User(UserSession {
                user_id: user,
                tenant,
                session_id: session,
                client_id: ClientId::of(session),
            })
        }))
    }

    /// Ready when what a visitor showed is void; never for the operator.
    pub fn void(&self, visitor: &Visitor) -> impl Future<Output = ()> + Send + 'static {
        let ended = match &visitor.principal {
            Principal::User(session) => Some(self.parts.identity.ended(session.session_id)),
            Principal::Operator | Principal::Token(_) => None,
        };
        async move {
            match ended {
                Some(ended) => ended.await,
                None => std::future::pending().await,
            }
        }
    }

    fn is_known(&self, tenant: TenantId, account_id: AccountId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(tenant, account_id))
    }

    fn remember(&self, tenant: TenantId, account_id: AccountId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_ACCOUNTS {
            known.clear();
        }
        known.insert((tenant, account_id));
    }

    /// Where a page of `list` begins, in the words of its own keyset; `None` for the first.
    fn after<T: std::str::FromStr>(
        &self,
        list: &str,
        page: &PageRequest,
    ) -> Result<Option<T>, ServiceError> {
        let Some(cursor) = &page.cursor else { return Ok(None) };
        let after = self.parts.cursors.open(list, cursor)?;
        after.parse().map(Some).map_err(|_| ServiceError::BadCursor)
    }

    /// A command of the caller's.
    fn submission(
        caller: &Caller,
        command_id: CommandId,
        command: Command,
        key: Option<Key>,
    ) -> Submission {
        let origin = Origin {
            tenant: caller.tenant,
            actor: caller.actor,
            token: caller.token_id.clone(),
            client: caller.client.clone(),
            interface: caller.interface,
            request: caller.request,
            causation: "request".to_owned(),
        };
        Submission { origin, command_id, command, key }
    }
}
