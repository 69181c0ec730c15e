//! Why a use case was not carried out, in words that both faces render and neither adds to.

use std::collections::BTreeMap;

use aggregates::id::OrderId;
use aggregates::money::{AmountError, Quantity};
use aggregates::refusal::{Refusal, RefusalCode};
use projections::ProjectionError;
use projections::log::LogError;

use crate::database::DatabaseError;
use crate::engine::EngineError;
use crate::identity::{Denied, IdentityError};
use crate::ledger::LedgerError;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct Fault {
    /// The field, by its name in the request; nested ones with dots.
    pub field: String,
    /// The machine word.
    pub code: &'static str,
    /// What is wrong with it, and the next step.
    pub message: String,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.field.unwrap_or_default(), refusal.code.word(), refusal.message)
    }
}

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request makes no sense by itself; nothing was stored. Every bad field, at least one.
    #[error("{}", .0.first().map_or("the request is malformed", |fault| fault.message.as_str()))]
    Invalid(Vec<Fault>),
    /// The domain said no; nothing was stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The business refused an order, which is recorded as rejected.
    #[error("{refusal}")]
    Rejected {
        /// Why.
        refusal: Refusal,
        /// The order.
        order_id: OrderId,
        /// It had been refused before, under the same key.
        replayed: bool,
        /// Where the rejection stands in the log.
        position: u64,
    },
    /// Nothing of a position can be closed; nothing was stored.
    #[error("nothing of {symbol} can be closed: {}", nothing_left(unit, (held, reserved), reserved_by))]
    NothingToClose {
        /// The ticker.
        symbol: String,
        /// What it is counted in: shares, or contracts of an option.
        unit: &'static str,
        /// How many are held.
        held: Quantity,
        /// How many are reserved.
        reserved: Quantity,
        /// By which orders.
        reserved_by: Vec<OrderId>,
    },
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A change of who may act was not made.
    #[error(transparent)]
    Identity(IdentityError),
    /// A cursor that this server did not give for this list.
    #[error("the cursor does not belong to this list: leave it out to start from the first page")]
    BadCursor,
    /// What was read has not come as far as the reader asked for.
    #[error(
        "the views have come to position {position}, not yet to {wanted}: ask again in a second"
    )]
    Behind {
        /// How far they are.
        position: u64,
        /// How far they should be.
        wanted: u64,
    },
    /// A view met an event that it cannot fold.
    #[error("the view {0} is degraded and is not being served: the operator has to look at it")]
    Degraded(&'static str),
    /// There is no such thing, where no rule of the domain says so itself.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The market has not listed such an option, or none of the kind; in words that say which there are.
    #[error("{0}")]
    Unlisted(String),
    /// Feed lines that cannot be read; nothing was applied.
    #[error("{0}")]
    Unreadable(String),
    /// Not in this way of running the server.
    #[error("{0}")]
    Conflict(String),
    /// The market's source has no such thing.
    #[error("{0}")]
    Lacking(String),
    /// Too many commands are waiting; nothing happened.
    #[error("the ledger is busy: send the command again in a second")]
    Busy,
    /// Too many are reading; nothing was done.
    #[error("the server is busy reading for others: ask again in a second")]
    Crowded,
    /// Too many requests of the caller that take long are being worked or wait; nothing was done.
    #[error(
        "{most} of your requests that take a processor are being worked or wait, the most there may be: ask again when one of \
         them is answered"
    )]
    Enough {
        /// How many there may be.
        most: usize,
    },
    /// Nothing happened here, and it is worth trying again: another process writes, or the engine is starting.
    #[error("{0}")]
    NotHere(String),
    /// The command may or may not have happened.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// The database does not answer; nothing was done.
    #[error("the database does not answer: ask again in a second")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A defect of this program.
    #[error("the request met a defect of this program")]
    Defect(String),
}

impl ServiceError {
    /// There is no such account, or not for this caller: the two read the same.
    pub fn no_account() -> Self {
        Refusal::new(RefusalCode::AccountNotFound, "there is no such account").into()
    }

    /// There is no such order, or not for this caller.
    pub fn no_order() -> Self {
        Refusal::new(RefusalCode::OrderNotFound, "there is no such order").into()
    }

    /// The same failure, met by what comes after the commit of a command: that the database does not answer then, or
    /// that the views are behind, does not mean that nothing was done.
    pub(super) fn after_commit(self) -> Self {
        match self {
            error @ (Self::Database(_) | Self::Crowded | Self::Behind { .. }) => {
                tracing::error!(?error, "what a command has done could not be read after it");
                let message = "the command was carried out, but what came of it cannot be read now: ask for it in a \
                               second, or send the command again with the same key";
                Self::OutcomeUnknown(message.to_owned())
            }
            other => other,
        }
    }

    /// The machine word, the same over REST and MCP.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(faults) => faults.first().map_or("invalid_request", |fault| fault.code),
            Self::Refused(refusal) | Self::Rejected { refusal, .. } => refusal.code.word(),
            Self::NothingToClose { .. } => "nothing_to_close",
            Self::Denied(denied) => denied.code(),
            Self::Identity(error) => error.code(),
            Self::BadCursor => "bad_cursor",
            Self::Behind { .. } => "behind",
            Self::Degraded(_) => "degraded",
            Self::NotFound(_) | Self::Unlisted(_) => "not_found",
            Self::Unreadable(_) => "unreadable",
            Self::Conflict(_) => "conflict",
            Self::Lacking(_) => "capability_missing",
            Self::Busy | Self::Crowded | Self::Enough { .. } => "busy",
            Self::NotHere(_) => "not_writer",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Database(_) => "unavailable",
            Self::Defect(_) => "defect",
        }
    }
}

impl ServiceError {
    /// Writes to the log what went wrong inside, which no face shows.
    pub fn log_inside(&self) {
        match self {
            Self::Database(source) => tracing::error!(%source, "the database failed a request"),
            Self::Defect(inside) => tracing::error!(inside, "a request met a defect"),
            _ => {}
        }
    }

    /// The numbers of the message by name, the same over REST and MCP.
    pub fn figures(&self) -> BTreeMap<String, String> {
        let named = |figures: [(&str, String); 2]| {
            figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        match self {
            Self::Refused(refusal) | Self::Rejected { refusal, .. } => refusal.figures.clone(),
            Self::Denied(Denied::Limit(hit)) => hit.figures(),
            Self::NothingToClose { held, reserved, reserved_by, .. } => {
                let mut figures: BTreeMap<String, String> =
                    named([("held", held.to_string()), ("reserved", reserved.to_string())]);
                if !reserved_by.is_empty() {
                    figures.insert("reserved_by".to_owned(), listed(reserved_by));
                }
                figures
            }
            Self::Behind { position, wanted } => {
                named([("position", position.to_string()), ("wanted", wanted.to_string())])
            }
            _ => BTreeMap::new(),
        }
    }
}

/// The most orders that an answer names one by one.
pub(super) const NAMED_ORDERS: usize = 10;

/// Orders by their ids, the first of them where there are many.
fn listed(orders: &[OrderId]) -> String {
    let named: Vec<_> = orders.iter().take(NAMED_ORDERS).map(OrderId::to_string).collect();
    match orders.len().saturating_sub(NAMED_ORDERS) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn nothing_left(
    unit: &str,
    (held, reserved): (&Quantity, &Quantity),
    reserved_by: &[OrderId],
) -> String {
    if reserved_by.is_empty() {
        return format!("{held} {unit} are held");
    }
    let orders = listed(reserved_by);
    format!(
        "{held} {unit} are held, and open orders are to close {reserved} of them: cancel these first, or let them fill: {orders}"
    )
}

impl From<LedgerError> for ServiceError {
    fn from(error: LedgerError) -> Self {
        let message = error.to_string();
        match error {
            LedgerError::Refused(refusal) => Self::Refused(refusal),
            LedgerError::Busy => Self::Busy,
            LedgerError::NotWriter { .. } => Self::NotHere(message),
            LedgerError::OutcomeUnknown => Self::OutcomeUnknown(message),
            LedgerError::Unavailable => Self::Database(Box::new(error)),
            LedgerError::Defect => Self::Defect(message),
        }
    }
}

impl From<IdentityError> for ServiceError {
    fn from(error: IdentityError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            IdentityError::Email(_) => Self::Invalid(vec![Fault::new("email", code, message)]),
            IdentityError::Password(_) => {
                Self::Invalid(vec![Fault::new("password", code, message)])
            }
            IdentityError::NoUser => Refusal::new(RefusalCode::UserNotFound, message).into(),
            IdentityError::NoSession => Self::NotFound("session"),
            IdentityError::Database(error) => error.into(),
            IdentityError::Defect(message) => Self::Defect(message),
            other => Self::Identity(other),
        }
    }
}

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotRunning => Self::NotHere(error.to_string()),
            EngineError::Interrupted => Self::OutcomeUnknown(error.to_string()),
        }
    }
}

impl From<ProjectionError> for ServiceError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Database(error) => error.into(),
            ProjectionError::Log(error) => error.into(),
            other => Self::Defect(other.to_string()),
        }
    }
}

impl From<LogError> for ServiceError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Database(error) => error.into(),
            other => Self::Defect(other.to_string()),
        }
    }
}

impl From<AmountError> for ServiceError {
    /// Sums over what was stored: they fit, or the bounds are wrong.
    fn from(error: AmountError) -> Self {
        Self::Defect(error.to_string())
    }
}

impl From<sqlx::Error> for ServiceError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Defect(error.to_string())
            }
            other => Self::Database(Box::new(other)),
        }
    }
}

impl From<DatabaseError> for ServiceError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Crowded => Self::Crowded,
            other => Self::Database(Box::new(other)),
        }
    }
}
