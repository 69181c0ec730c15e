//! The views of the market's facts: instruments and whether they trade, official closes, corporate actions. Facts
//! for everyone, so without tenants.

use aggregates::id::InstrumentId;
use aggregates::instrument::{Instrument, InstrumentEvent, InstrumentKind};
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use aggregates::stream::{Impossible, StreamId};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::fold::{Mirror, Stamped};
use crate::log::Recorded;
use crate::row::{Rows, view_row};

view_row! {
    /// One instrument.
    #[derive(serde::Serialize, serde::Deserialize)]
    InstrumentRow in "instruments",
    key {
        /// Its id.
        instrument_id: InstrumentId = 0,
    }
    facts {
        /// Its ticker.
        symbol: String,
        /// Its name.
        name: String,
        /// What it is.
        kind: InstrumentKind,
        /// Nothing fills or triggers.
        halted: bool,
        /// The market's word for why.
        halt_reason: Option<String>,
        /// The split that gates it at present.
        splitting: Option<String>,
        /// The New York date of the last official close.
        last_session: Option<NaiveDate>,
        /// The last official close.
        last_close: Option<Price>,
        /// The market time of its listing, if there was one.
        listed_at: Option<MarketTime>,
        /// The number of its events.
        sequence: u64,
        /// The place of its last event.
        position: u64,
    }
}

view_row! {
    /// The official close of one session.
    CloseRow in "official_closes",
    key {
        /// Of what.
        instrument_id: InstrumentId = 0,
        /// The New York date of the session.
        session: NaiveDate = 1,
    }
    facts {
        /// The price.
        price: Price,
        /// Which market data it came from.
        source: String,
        /// Of the middle of a quote, in place of a trade, its market time.
        quoted_at: Option<MarketTime>,
        /// The market time.
        at: MarketTime,
        /// The place of the event.
        position: u64,
    }
}

/// What a corporate action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Multiplies shares.
    Split,
    /// Pays cash.
    Dividend,
}

impl ActionKind {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Dividend => "dividend",
        }
    }
}

/// How far a corporate action has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionStage {
    /// A dividend is known.
    Declared,
    /// A dividend has accrued in every position.
    Accrued,
    /// Accounts are following a split; the symbol is gated.
    Begun,
    /// Every account has followed, or was paid.
    Completed,
}

impl ActionStage {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Accrued => "accrued",
            Self::Begun => "begun",
            Self::Completed => "completed",
        }
    }
}

view_row! {
    /// One corporate action.
    ActionRow in "corporate_actions",
    key {
        /// Of what.
        instrument_id: InstrumentId = 0,
        /// Its id.
        action_id: String = 1,
    }
    facts {
        /// What it does.
        kind: ActionKind,
        /// New shares of a split.
        numerator: Option<Quantity>,
        /// Old shares of a split.
        denominator: Option<Quantity>,
        /// Dollars a share of a dividend.
        amount: Option<Price>,
        /// The first session without the dividend.
        ex: Option<NaiveDate>,
        /// The day on which the dividend is paid.
        pay: Option<NaiveDate>,
        /// How far it has come.
        stage: ActionStage,
        /// The market time of the last stage.
        at: MarketTime,
        /// The place of the last event.
        position: u64,
    }
}

impl Mirror<Instrument> for InstrumentRow {
    fn fold(row: Option<Self>, event: &InstrumentEvent) -> Result<Self, Impossible> {
        let Some(mut row) = row else {
            let InstrumentEvent::InstrumentListed { instrument_id, symbol, name, kind, at } = event
            else {
                return Err(Impossible("an event before InstrumentListed".into()));
            };
            return Ok(Self {
                instrument_id: *instrument_id,
                symbol: symbol.clone(),
                name: name.clone(),
                kind: *kind,
                halted: false,
                halt_reason: None,
                splitting: None,
                last_session: None,
                last_close: None,
                listed_at: *at,
                sequence: 0,
                position: 0,
            });
        };
        match event {
            InstrumentEvent::InstrumentListed { .. } => {
                return Err(Impossible("an instrument listed twice".into()));
            }
            InstrumentEvent::TradingHalted { reason, .. } => {
                row.halted = true;
                row.halt_reason = Some(reason.clone());
            }
            InstrumentEvent::TradingResumed { .. } => {
                row.halted = false;
                row.halt_reason = None;
            }
            InstrumentEvent::SplitBegun { action_id, .. } => {
                row.splitting = Some(action_id.clone());
            }
            InstrumentEvent::SplitCompleted { .. } => row.splitting = None,
            InstrumentEvent::OfficiallyClosed { session, price, .. } => {
                row.last_session = Some(*session);
                row.last_close = Some(*price);
            }
            InstrumentEvent::DividendDeclared { .. }
            | InstrumentEvent::DividendAccrualCompleted { .. }
            | InstrumentEvent::DividendCompleted { .. }
            | InstrumentEvent::ContractExpired { .. }
            | InstrumentEvent::ContractSettled { .. } => {}
        }
        Ok(row)
    }
}

impl Stamped for InstrumentRow {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn stamp(&mut self, recorded: &Recorded) {
        self.sequence = recorded.sequence;
        self.position = recorded.position;
    }
}

/// The close that `event` fixes, if it fixes one.
pub(crate) fn close_of(recorded: &Recorded, event: &InstrumentEvent) -> Option<CloseRow> {
    match (recorded.stream, event) {
        (
            StreamId::Instrument(instrument_id),
            InstrumentEvent::OfficiallyClosed { session, price, source, quote, at },
        ) => Some(CloseRow {
            instrument_id,
            session: *session,
            price: *price,
            source: source.clone(),
            quoted_at: quote.map(|quote| quote.at),
            at: *at,
            position: recorded.position,
        }),
        _ => None,
    }
}

/// The corporate action that `event` moves on, if it does.
pub(crate) fn action_of(event: &InstrumentEvent) -> Option<&str> {
    match event {
        InstrumentEvent::ContractExpired { .. } | InstrumentEvent::ContractSettled { .. } => None,
        InstrumentEvent::SplitBegun { action_id, .. }
        | InstrumentEvent::SplitCompleted { action_id, .. }
        | InstrumentEvent::DividendDeclared { action_id, .. }
        | InstrumentEvent::DividendAccrualCompleted { action_id, .. }
        | InstrumentEvent::DividendCompleted { action_id, .. } => Some(action_id),
        InstrumentEvent::InstrumentListed { .. }
        | InstrumentEvent::TradingHalted { .. }
        | InstrumentEvent::TradingResumed { .. }
        | InstrumentEvent::OfficiallyClosed { .. } => None,
    }
}

/// Folds one event of an instrument into its corporate actions.
///
/// # Errors
/// It moves on an action that never began.
pub(crate) fn fold_actions(
    actions: &mut Rows<ActionRow>,
    recorded: &Recorded,
    event: &InstrumentEvent,
) -> Result<(), Impossible> {
    let StreamId::Instrument(instrument_id) = recorded.stream else {
        return Err(Impossible("an instrument's event in another stream".into()));
    };
    let begin = |action_id: &str, kind, stage, at| ActionRow {
        instrument_id,
        action_id: action_id.to_owned(),
        kind,
        numerator: None,
        denominator: None,
        amount: None,
        ex: None,
        pay: None,
        stage,
        at,
        position: recorded.position,
    };
    let (action_id, stage, at) = match event {
        InstrumentEvent::ContractExpired { .. } | InstrumentEvent::ContractSettled { .. } => {
            return Ok(());
        }
        InstrumentEvent::SplitBegun { action_id, split } => {
            actions.put(ActionRow {
                numerator: Some(split.numerator),
                denominator: Some(split.denominator),
                ..begin(action_id, ActionKind::Split, ActionStage::Begun, split.at)
            });
            return Ok(());
        }
        InstrumentEvent::DividendDeclared { action_id, amount, ex, pay, at } => {
            actions.put(ActionRow {
                amount: Some(*amount),
                ex: Some(*ex),
                pay: Some(*pay),
                ..begin(action_id, ActionKind::Dividend, ActionStage::Declared, *at)
            });
            return Ok(());
        }
        InstrumentEvent::DividendAccrualCompleted { action_id, at } => {
            (action_id, ActionStage::Accrued, at)
        }
        InstrumentEvent::SplitCompleted { action_id, at }
        | InstrumentEvent::DividendCompleted { action_id, at } => {
            (action_id, ActionStage::Completed, at)
        }
        InstrumentEvent::InstrumentListed { .. }
        | InstrumentEvent::TradingHalted { .. }
        | InstrumentEvent::TradingResumed { .. }
        | InstrumentEvent::OfficiallyClosed { .. } => return Ok(()),
    };
    let row = actions
        .get_mut(&(instrument_id, action_id.clone()))
        .ok_or_else(|| Impossible(format!("action {action_id} goes on without having begun")))?;
    row.stage = stage;
    row.at = *at;
    row.position = recorded.position;
    Ok(())
}
