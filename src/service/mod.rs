//! The use cases: what REST and MCP can do, once, in words of the business. Knows neither HTTP nor JSON-RPC.
//!
//! Guarantees: every command and every read carries the caller's tenant; an id of another tenant reads as one that
//! does not exist; a read sees what was committed before it began, or says how far it got. A write costs what the
//! ledger costs and one read of its result; a read one wait for its view and one transaction.

mod accounts;
mod answers;
mod asking;
mod audit;
mod backing;
mod base;
mod books;
mod caller;
mod closing;
mod covers;
mod cursor;
mod ended;
mod error;
mod exercise;
mod families;
mod grants;
mod health;
mod history;
mod legs;
mod limits;
mod listing;
mod losses;
mod market;
mod option_positions;
mod orders;
mod payoff;
mod placing;
mod policy;
mod portfolio;
mod positions;
mod preview;
mod reading;
mod replacing;
mod replaying;
mod risk;
mod stream;
pub mod text;
mod tokens;
mod turns;
mod unlisted;
mod users;
mod value;
mod waiting;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aggregates::id::{AccountId, ClientId, CommandId, RequestId, TenantId};
use aggregates::rules::Rules;
use aggregates::trading::Command;
use projections::Views;
use tokio::sync::{Mutex, Semaphore, watch};
use uuid::Uuid;

use crate::database::{AuditorPool, ReaderPool};
use crate::engine::Engine;
use crate::engine::player::Player;
use crate::identity::access::{Audience, Bearer};
use crate::identity::facts::Cause;
use crate::identity::grants::Grants;
use crate::identity::tokens::{self as agents, Tokens};
use crate::identity::usage::Usage;
use crate::identity::{
    AgentToken, Denials, Identity, OperatorToken, Principal, UserSession, VoidBy,
};
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
pub use asking::{LegRequest, OrderRequest};
pub use audit::{EventAnswer, EventFilter, Export};
pub use books::{ActivityAnswer, ActivityFilter, EntryAnswer, PostingAnswer};
use caller::WATCH;
pub use caller::{Caller, Visitor};
pub use closing::{ClosePosition, ClosingAnswer, LeftAnswer, Part, ReservingOrder};
pub use covers::{CoverAnswer, CoverLeg};
pub use cursor::CursorKey;
pub use ended::{DeliveredAnswer, EndedAnswer};
pub use error::{Fault, ServiceError};
pub use families::ChildAnswer;
pub use grants::{GrantAnswer, GrantState, HeldGrantAnswer, RevokedGrant};
pub use health::{Health, ViewHealth};
pub use history::{HISTORY_PAGE, HistoryPeriod, PortfolioHistory, PortfolioPoint};
pub use legs::LegAnswer;
pub use market::{
    AccountGreeksAnswer, Assumed, BarAnswer, BarsAnswer, BarsRequest, CHAIN_MAX, ChainAnalysis,
    ChainAnswer, ChainRequest, ContractAnswer, ContractsAnswer, ControlAnswer, DepthAnswer,
    ExpirationsAnswer, FeedAnswer, HistoryAnswer, HoldingGreeksAnswer, HoursAnswer, InfoAnswer,
    InstrumentAnswer, LevelAnswer, OptionAnswer, OptionGreeksAnswer, Period, PriceAnswer,
    QuoteAnswer, RIGHTS, RateAnswer, StrikesAnswer,
};
pub use option_positions::UnderlyingAnswer;
pub use orders::{OrderAnswer, OrderFilter, OrderState, SYMBOL_MAX};
pub use payoff::PayoffAnswer;
pub use portfolio::{PortfolioAnswer, PortfolioPosition};
pub use positions::{LotAnswer, PositionAnswer};
pub use preview::{FiguresAnswer, PreviewAnswer, PreviewLeg};
pub use reading::{Fresh, PAGE, PAGE_MAX, PageRequest};
pub use replaying::{AccountThen, AsOf, HoldingThen};
pub use risk::{
    HORIZON_MAX, PortfolioRiskAnswer, RiskAnswer, RiskFigures, RiskMethod, RiskRequest,
};
pub use stream::{Followed, Stretch};
pub use tokens::{NAMED_MAX, NewTokenAnswer, RATE_MAX, RevokedToken, TokenAnswer};
use turns::Turns;
pub use users::{
    Changed, EndedSession, INVITATION_DAYS_MAX, InvitationAnswer, KeysAnswer, SessionAnswer,
    TokensAnswer, UserAnswer, UserChange,
};
pub use value::Value;
pub use waiting::{Awaited, WaitAnswer};

/// Exports at the same time, of all callers: each holds a connection of the auditors'.
const EXPORTS: usize = 2;
/// Verifications that others than the operator have run or wait at the same time.
const VERIFICATIONS: usize = 2;
/// Accounts whose holdings are revalued at the same time, of all callers: each takes a processor.
const REVALUATIONS: usize = 2;
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
    /// The tokens of agents.
    pub tokens: Tokens,
    /// What they use up.
    pub usage: Usage,
    /// Roles on accounts of others.
    pub grants: Grants,
    /// Records what was not permitted.
    pub denials: Denials,
    /// What the ledger charges and reserves.
    pub rules: Rules,
    /// Makes cursors.
    pub cursors: CursorKey,
}

/// The access tokens that open a face.
const fn audience(interface: Interface) -> Audience {
    match interface {
        Interface::Mcp => Audience::Mcp,
        Interface::Rest | Interface::Cli | Interface::Engine | Interface::Ledger => Audience::Rest,
    }
}

/// The use cases of one process.
pub struct Service {
    parts: Parts,
    /// Whose accounts are, as far as that was asked: an account never changes its tenant.
    known: RwLock<BTreeMap<AccountId, TenantId>>,
    /// Whoever verifies the log.
    verifying: Mutex<()>,
    /// Those of them who are not the operator, with who waits.
    verifications: Arc<Semaphore>,
    /// Whoever exports it.
    exporting: Arc<Semaphore>,
    /// Whoever has holdings revalued.
    revaluing: Arc<Turns>,
}

impl Service {
    /// Composes the use cases.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            known: RwLock::default(),
            verifying: Mutex::default(),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS)),
            exporting: Arc::new(Semaphore::new(EXPORTS)),
            revaluing: Turns::new(REVALUATIONS),
        }
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
        let request = RequestId::new(Uuid::now_v7());
        let principal = if self.is_operator(bearer) {
            Some(Principal::Operator)
        } else if bearer.starts_with(agents::PREFIX) {
            let cause = |token: &AgentToken| Cause {
                actor: token.user_id.actor(),
                token: token.token_id.to_string(),
                client: String::new(),
                interface,
                request,
            };
            let token = self.parts.tokens.shown(bearer, cause).await?;
            token.map(|token| Principal::Token(Arc::new(token)))
        } else {
            self.logged_in(bearer, interface).await?
        };
        Ok(principal.map(|principal| Visitor { principal, interface, request }))
    }

    /// Whether this is the operator's token.
    pub fn is_operator(&self, bearer: &str) -> bool {
        self.parts.operator.is(bearer)
    }

    /// Why a token that authenticates nobody over this face did so once; `None` for one that never did. Only who holds what was
    /// signed or made here is told.
    ///
    /// # Errors
    /// It cannot be known now.
    pub async fn void_by(
        &self,
        bearer: &str,
        interface: Interface,
    ) -> Result<Option<VoidBy>, ServiceError> {
        if bearer.starts_with(agents::PREFIX) {
            return Ok(self.parts.tokens.was_made(bearer).await?.then_some(VoidBy::Token));
        }
        Ok(self.parts.identity.void_by(bearer, audience(interface)))
    }

    /// The user whose access token this is.
    async fn logged_in(
        &self,
        token: &str,
        interface: Interface,
    ) -> Result<Option<Principal>, ServiceError> {
        let bearer = self.parts.identity.bearer(token, audience(interface)).await?;
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
        let token = match &visitor.principal {
            Principal::Token(token) => Some((self.parts.tokens.clone(), token.token_id)),
            Principal::Operator | Principal::User(_) => None,
        };
        async move {
            match (ended, token) {
                (Some(ended), _) => ended.await,
                (None, Some((tokens, token))) => {
                    // What cannot be looked up now reads nothing either.
                    while !matches!(tokens.is_good(token).await, Ok(false)) {
                        tokio::time::sleep(WATCH).await;
                    }
                }
                (None, None) => std::future::pending().await,
            }
        }
    }

    /// Whose an account is, if that was found before.
    fn known(&self, account_id: AccountId) -> Option<TenantId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&account_id).copied()
    }

    fn remember(&self, tenant: TenantId, account_id: AccountId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_ACCOUNTS {
            known.clear();
        }
        known.insert(account_id, tenant);
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
