//! The view of activities: what changed an account's cash, in the words of Alpaca's account activities.
//! Append-only, at most one row an event.

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, FillId, InstrumentId, OrderId, TenantId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::Side;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fills::FillRow;
use crate::log::Recorded;
use crate::row::view_row;

/// What kind of activity it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ActivityType {
    /// An execution.
    #[serde(rename = "FILL")]
    Fill,
    /// Cash deposited.
    #[serde(rename = "CSD")]
    CashDeposited,
    /// Cash withdrawn.
    #[serde(rename = "CSW")]
    CashWithdrawn,
    /// A fee of a fill.
    #[serde(rename = "FEE")]
    Fee,
    /// A dividend.
    #[serde(rename = "DIV")]
    Dividend,
    /// Cash in lieu of a fraction of a share. Alpaca has no word of its own for it: it is one of `SPLIT`'s.
    #[serde(rename = "CIL")]
    CashInLieu,
    /// The account began again with another balance. Alpaca has no word for it.
    #[serde(rename = "RESET")]
    Reset,
}

impl ActivityType {
    /// Every type.
    pub const ALL: [Self; 7] = [
        Self::Fill,
        Self::CashDeposited,
        Self::CashWithdrawn,
        Self::Fee,
        Self::Dividend,
        Self::CashInLieu,
        Self::Reset,
    ];

    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fill => "FILL",
            Self::CashDeposited => "CSD",
            Self::CashWithdrawn => "CSW",
            Self::Fee => "FEE",
            Self::Dividend => "DIV",
            Self::CashInLieu => "CIL",
            Self::Reset => "RESET",
        }
    }
}

view_row! {
    /// One activity.
    ActivityRow in "activities",
    key {
        /// The place of its event: its id.
        position: u64 = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose.
        account_id: AccountId,
        /// Its kind.
        activity_type: ActivityType,
        /// What was traded, or paid it.
        instrument_id: Option<InstrumentId>,
        /// The ticker of a fill.
        symbol: Option<String>,
        /// Buy or sell, of a fill.
        side: Option<Side>,
        /// Shares of a fill.
        qty: Option<Quantity>,
        /// The price of a fill.
        price: Option<Price>,
        /// The change of cash, before the fees of a fill.
        net_amount: Money,
        /// The order of a fill or a fee.
        order_id: Option<OrderId>,
        /// The fill, or that of a fee.
        fill_id: Option<FillId>,
        /// The corporate action.
        action_id: Option<String>,
        /// The market time; the wall clock's where the market has none yet.
        at: MarketTime,
    }
}

impl ActivityRow {
    fn begin(
        recorded: &Recorded,
        account_id: AccountId,
        activity_type: ActivityType,
        net_amount: Money,
        at: Option<MarketTime>,
    ) -> Self {
        Self {
            position: recorded.position,
            tenant_id: recorded.tenant_id,
            account_id,
            activity_type,
            instrument_id: None,
            symbol: None,
            side: None,
            qty: None,
            price: None,
            net_amount,
            order_id: None,
            fill_id: None,
            action_id: None,
            at: at.unwrap_or(recorded.recorded_at),
        }
    }

    /// A fill.
    pub fn of_fill(recorded: &Recorded, fill: &FillRow) -> Self {
        let net_amount = if fill.side == Side::Buy { fill.amount.negated() } else { fill.amount };
        let at = Some(fill.at);
        Self {
            instrument_id: Some(fill.instrument_id),
            symbol: Some(fill.symbol.clone()),
            side: Some(fill.side),
            qty: Some(fill.qty),
            price: Some(fill.price),
            order_id: Some(fill.order_id),
            fill_id: Some(fill.fill_id),
            ..Self::begin(recorded, fill.account_id, ActivityType::Fill, net_amount, at)
        }
    }

    /// What an event of an account is as an activity. The cash of a fill is the fill's, see [`Self::of_fill`].
    pub fn of_account(
        recorded: &Recorded,
        account_id: AccountId,
        event: &AccountEvent,
    ) -> Option<Self> {
        let begin = |kind, amount, at: Option<MarketTime>| {
            Self::begin(recorded, account_id, kind, amount, at)
        };
        Some(match event {
            AccountEvent::CashDeposited { amount, at, .. } => {
                begin(ActivityType::CashDeposited, *amount, *at)
            }
            AccountEvent::CashWithdrawn { amount, at, .. } => {
                begin(ActivityType::CashWithdrawn, amount.negated(), *at)
            }
            AccountEvent::FeeCharged { order_id, fill_id, amount, .. } => Self {
                order_id: Some(*order_id),
                fill_id: Some(*fill_id),
                ..begin(ActivityType::Fee, amount.negated(), None)
            },
            AccountEvent::DividendPaid { action_id, instrument_id, amount, at, .. } => Self {
                instrument_id: Some(*instrument_id),
                action_id: Some(action_id.clone()),
                ..begin(ActivityType::Dividend, *amount, Some(*at))
            },
            AccountEvent::CashPaidInLieu { action_id, instrument_id, amount, at, .. } => Self {
                instrument_id: Some(*instrument_id),
                action_id: Some(action_id.clone()),
                ..begin(ActivityType::CashInLieu, *amount, Some(*at))
            },
            AccountEvent::AccountReset { amount, at, .. } => {
                begin(ActivityType::Reset, *amount, *at)
            }
            AccountEvent::AccountOpened { .. }
            | AccountEvent::CashReserved { .. }
            | AccountEvent::ReservationReleased { .. }
            | AccountEvent::ReservationsAdjusted { .. }
            | AccountEvent::FillSettled { .. }
            | AccountEvent::PolicyChanged { .. }
            | AccountEvent::TradingDayBegan { .. }
            | AccountEvent::LossLimitReached { .. }
            | AccountEvent::LossLimitLifted { .. }
            | AccountEvent::AccessOffered { .. }
            | AccountEvent::OfferEnded { .. }
            | AccountEvent::AccessGranted { .. }
            | AccountEvent::AccessRevoked { .. } => return None,
        })
    }
}
