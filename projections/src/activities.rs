//! The view of activities: what changed an account's cash, and how options ended, in the words of Alpaca's account
//! activities. Append-only, at most one row an event; a fill of an mleg order has one a leg, which come to its cash together.

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, FillId, InstrumentId, OrderId, TenantId};
use aggregates::instrument::OptionEnd;
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::order::{LegFill, Side};
use aggregates::position::PositionEvent;
use aggregates::stream::StreamId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fills::FillRow;
use crate::log::Recorded;
use crate::positions::PositionRow;
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
    /// Options were exercised by their owner. The cash is that of the shares, see [`Self::OptionTrade`].
    #[serde(rename = "OPEXC")]
    OptionExercised,
    /// Short options were assigned.
    #[serde(rename = "OPASN")]
    OptionAssigned,
    /// Options expired for nothing, or were not exercised.
    #[serde(rename = "OPEXP")]
    OptionExpired,
    /// Options were settled in cash.
    #[serde(rename = "OPCSH")]
    OptionCashSettled,
    /// Shares that an exercise or an assignment brought or took, at the strike.
    #[serde(rename = "OPTRD")]
    OptionTrade,
    /// Options whose exercise could not be paid were sold at their last bid. Alpaca has no word for it.
    #[serde(rename = "OPSLD")]
    OptionSoldOut,
    /// Options whose underlying was split became others, or were paid out.
    #[serde(rename = "OPCA")]
    OptionAdjusted,
    /// The account began again with another balance. Alpaca has no word for it.
    #[serde(rename = "RESET")]
    Reset,
}

impl ActivityType {
    /// Every type.
    pub const ALL: [Self; 14] = [
        Self::Fill,
        Self::CashDeposited,
        Self::CashWithdrawn,
        Self::Fee,
        Self::Dividend,
        Self::CashInLieu,
        Self::OptionExercised,
        Self::OptionAssigned,
        Self::OptionExpired,
        Self::OptionCashSettled,
        Self::OptionTrade,
        Self::OptionSoldOut,
        Self::OptionAdjusted,
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
            Self::OptionExercised => "OPEXC",
            Self::OptionAssigned => "OPASN",
            Self::OptionExpired => "OPEXP",
            Self::OptionCashSettled => "OPCSH",
            Self::OptionTrade => "OPTRD",
            Self::OptionSoldOut => "OPSLD",
            Self::OptionAdjusted => "OPCA",
            Self::Reset => "RESET",
        }
    }

    /// What an end of options is.
    pub const fn of_end(how: OptionEnd) -> Self {
        match how {
            OptionEnd::Exercised => Self::OptionExercised,
            OptionEnd::Assigned => Self::OptionAssigned,
            OptionEnd::Expired | OptionEnd::Abandoned => Self::OptionExpired,
            OptionEnd::CashSettled => Self::OptionCashSettled,
            OptionEnd::SoldOut => Self::OptionSoldOut,
            OptionEnd::PaidOut => Self::OptionAdjusted,
        }
    }
}

view_row! {
    /// One activity.
    ActivityRow in "activities",
    key {
        /// The place of its event.
        position: u64 = 0,
        /// Which leg of an mleg order, from 1; 0 of all else. With the place its id.
        leg: u8 = 1,
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
        /// Buy or sell, of a fill or of the end of an option: long ones are sold, also those that a split makes others of, and
        /// those others are bought.
        side: Option<Side>,
        /// Shares of a fill, contracts of an option.
        qty: Option<Quantity>,
        /// The price of a fill, the strike that shares were delivered at, the bid that an option was sold at, or what a share of
        /// one was settled with in cash.
        price: Option<Price>,
        /// The change of cash, before the fees of a fill.
        net_amount: Money,
        /// The order of a fill or a fee.
        order_id: Option<OrderId>,
        /// The fill, the same for all its legs, or that of a fee; the end of an option.
        fill_id: Option<FillId>,
        /// The corporate action.
        action_id: Option<String>,
        /// How an option ended.
        option_end: Option<OptionEnd>,
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
            leg: 0,
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
            option_end: None,
            at: at.unwrap_or(recorded.recorded_at),
        }
    }

    /// A fill: of an mleg order each leg.
    pub fn of_fill(recorded: &Recorded, fill: &FillRow) -> Vec<Self> {
        let of_leg = |n: u8, leg: &LegFill| {
            let side = leg.position_intent.side();
            let told = (leg.instrument_id, leg.symbol.as_str(), side);
            Self { leg: n, ..Self::traded(recorded, fill, told, (leg.qty, leg.price, leg.amount)) }
        };
        match &fill.legs {
            Some(legs) => (1..).zip(legs).map(|(n, leg)| of_leg(n, leg)).collect(),
            None => {
                let told = (fill.instrument_id, fill.symbol.as_str(), fill.side);
                vec![Self::traded(recorded, fill, told, (fill.qty, fill.price, fill.amount))]
            }
        }
    }

    /// What a fill did in one instrument.
    fn traded(
        recorded: &Recorded,
        fill: &FillRow,
        (instrument_id, symbol, side): (InstrumentId, &str, Side),
        (qty, price, amount): (Quantity, Price, Money),
    ) -> Self {
        let (net_amount, at) = (signed(side, amount), Some(fill.at));
        Self {
            instrument_id: Some(instrument_id),
            symbol: Some(symbol.to_owned()),
            side: Some(side),
            qty: Some(qty),
            price: Some(price),
            order_id: Some(fill.order_id),
            fill_id: Some(fill.fill_id),
            ..Self::begin(recorded, fill.account_id, ActivityType::Fill, net_amount, at)
        }
    }

    /// What an event of a position is as an activity, of the holding as it was before: the end of options, what a split makes of
    /// them, and shares that one delivered. The cash of a fill is the fill's.
    ///
    /// # Errors
    /// The shares come to more than money can be.
    pub fn of_position(
        recorded: &Recorded,
        held: Option<&PositionRow>,
        event: &PositionEvent,
    ) -> Result<Option<Self>, AmountError> {
        let StreamId::Position(account_id, instrument_id) = recorded.stream else {
            return Ok(None);
        };
        let adjusted = |action_id: &String, symbol, moved: Quantity, at| Self {
            instrument_id: Some(instrument_id),
            symbol,
            side: Some(if moved.is_negative() { Side::Sell } else { Side::Buy }),
            qty: Some(moved.abs()),
            action_id: Some(action_id.clone()),
            ..Self::begin(recorded, account_id, ActivityType::OptionAdjusted, Money::ZERO, Some(at))
        };
        Ok(Some(match event {
            PositionEvent::OptionEnded {
                how,
                ending_id,
                side,
                qty,
                proceeds,
                settlement_price,
                bid,
                mark,
                action_id,
                at,
                ..
            } => {
                let terms = held.and_then(|row| row.contract.as_ref());
                let price = match how {
                    OptionEnd::SoldOut => bid.as_ref().map(|bid| bid.price),
                    OptionEnd::PaidOut if mark.is_some() => mark.as_ref().map(|mark| mark.price),
                    OptionEnd::CashSettled | OptionEnd::PaidOut => {
                        let settled = terms.zip(*settlement_price);
                        settled.map(|(terms, price)| terms.intrinsic(price)).transpose()?
                    }
                    _ => None,
                };
                let (kind, cash) = (ActivityType::of_end(*how), signed(*side, *proceeds));
                Self {
                    instrument_id: Some(instrument_id),
                    symbol: held.map(|row| row.symbol.clone()),
                    side: Some(*side),
                    qty: Some(*qty),
                    price,
                    fill_id: Some(*ending_id),
                    action_id: action_id.clone(),
                    option_end: Some(*how),
                    ..Self::begin(recorded, account_id, kind, cash, Some(*at))
                }
            }
            PositionEvent::ContractAdjusted { action_id, qty, at, .. } => {
                let symbol = held.map(|row| row.symbol.clone());
                adjusted(action_id, symbol, qty.negated(), *at)
            }
            PositionEvent::AdjustedContractOpened {
                action_id, symbol, position_qty, at, ..
            } => adjusted(action_id, Some(symbol.clone()), *position_qty, *at),
            PositionEvent::SharesDelivered { symbol, ending_id, side, qty, price, at, .. } => {
                let cash = signed(*side, Money::of_fill(*qty, *price)?);
                Self {
                    instrument_id: Some(instrument_id),
                    symbol: Some(symbol.clone()),
                    side: Some(*side),
                    qty: Some(*qty),
                    price: Some(*price),
                    fill_id: Some(*ending_id),
                    ..Self::begin(recorded, account_id, ActivityType::OptionTrade, cash, Some(*at))
                }
            }
            _ => return Ok(None),
        }))
    }

    /// What an event of an account is as an activity. The cash of options that ended is that of their positions, see
    /// [`Self::of_position`]. The cash of a fill is the fill's, see [`Self::of_fill`].
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
            | AccountEvent::OptionSettled { .. }
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

/// The change of cash of what was bought or sold.
fn signed(side: Side, amount: Money) -> Money {
    match side {
        Side::Buy => amount.negated(),
        Side::Sell => amount,
    }
}
