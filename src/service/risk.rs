//! What an order would do to the risk of an account, before it is placed: decided as a preview is, by the code that
//! places and fills orders, and nothing is stored.
//!
//! Three standings are told: as it is, after the order's arrival, and as it would be if all of the order had filled at
//! its price. What depends on a price that is not known is absent.

use aggregates::id::AccountId;
use aggregates::market::{Evidence, EvidenceTick, MarketTime};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{CancelReason, OrderSpec, OrderStatus, OrderType, Side};
use aggregates::trading::{Figures, Impact, Offer, Trial};
use projections::Group;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::positions::rate;
use super::{Caller, Fresh, OrderRequest, Service, ServiceError, Value};
use crate::ledger::LedgerError;

/// What an order would do to the risk of an account. Amounts are dollars and shares.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OrderRisk")]
pub struct RiskAnswer {
    /// Whose account it would be placed in.
    pub account_id: AccountId,
    /// The ticker.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Shares; absent of a notional order.
    pub qty: Option<Quantity>,
    /// Dollars that it would buy for, in place of a quantity.
    pub notional: Option<Money>,
    /// Where it would stand after its arrival.
    pub status: OrderStatus,
    /// Why it would be canceled on arrival.
    pub cancel_reason: Option<CancelReason>,
    /// Shares that would fill at once.
    pub filled_qty: Quantity,
    /// What these fills would be charged.
    pub fees: Money,
    /// What is set aside of the account when it is taken.
    pub worst_cost: Money,
    /// The account as it is.
    pub before: RiskFigures,
    /// The account after the order's arrival.
    pub after: RiskFigures,
    /// The account if all of the order had filled at `if_filled_price`; absent for an order that does not stay open and
    /// for one whose price nobody can tell.
    pub if_filled: Option<RiskFigures>,
    /// Its limit, else the stop that it waits for, else the reference.
    pub if_filled_price: Option<Price>,
    /// The market clock.
    pub market_time: MarketTime,
    /// The last event of the log that this stands on.
    pub position: u64,
}

/// The risk of an account, and of its position in one symbol. Rates are of the equity: 0.25 is 25 %.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "RiskFigures")]
pub struct RiskFigures {
    /// The balance.
    pub cash: Money,
    /// What open orders have set aside.
    pub reserved: Money,
    /// What new orders may cost.
    pub buying_power: Option<Money>,
    /// Cash and what the positions are worth.
    pub equity: Option<Money>,
    /// What backs the positions of a margin account when they are opened.
    pub initial_margin: Option<Money>,
    /// What has to back the positions of a margin account.
    pub maintenance_margin: Option<Money>,
    /// What the equity of a margin account may lose before its margin call: below zero it is under one.
    pub margin_call_distance: Option<Money>,
    /// The same as a rate of the equity.
    pub margin_call_distance_pct: Option<String>,
    /// Shares held of the symbol; below zero when short.
    pub position_qty: Quantity,
    /// What they are worth.
    pub position_value: Option<Value>,
    /// Their size as a rate of the equity.
    pub concentration: Option<String>,
    /// What all positions are worth together, long and short ones alike.
    pub gross_exposure: Option<Value>,
    /// What long positions are worth less what short ones are.
    pub net_exposure: Option<Value>,
    /// `gross_exposure` as a rate of the equity.
    pub leverage: Option<String>,
}

impl Service {
    /// Tells what an order would do to the risk of an account if it were placed now. Nothing is stored.
    ///
    /// # Errors
    /// What [`Service::place_order`] would answer, with the same code and figures; only the process that writes can
    /// tell.
    pub async fn analyze_order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: &OrderRequest,
    ) -> Result<RiskAnswer, ServiceError> {
        let mut trial = self.trial(caller, account_id, request).await?;
        self.price_holdings(caller, account_id, &mut trial).await?;
        let (impact, position) = self.parts.ledger.preview(trial.clone()).await?;
        let whole = match impact.status.is_terminal() {
            true => None,
            false => self.filled_whole(&trial).await?,
        };
        let spec = trial.spec;
        let (if_filled_price, filled) = whole.unzip();
        let figures = |figures: &Figures| RiskFigures::of(figures, &spec);
        Ok(RiskAnswer {
            account_id,
            side: spec.side,
            order_type: spec.order_type,
            qty: Some(spec.qty).filter(|_| spec.notional.is_none()),
            notional: spec.notional,
            status: impact.status,
            cancel_reason: impact.cancel_reason,
            filled_qty: impact.filled_qty,
            fees: impact.fees,
            worst_cost: impact.worst_cost,
            before: figures(&impact.before)?,
            after: figures(&impact.after)?,
            if_filled: filled.map(|impact: Impact| figures(&impact.after)).transpose()?,
            if_filled_price,
            market_time: trial.market.at,
            position,
            symbol: spec.symbol,
        })
    }

    /// The prices of all that the account holds: a cash account is decided without them.
    async fn price_holdings(
        &self,
        caller: &Caller,
        account_id: AccountId,
        trial: &mut Trial,
    ) -> Result<(), ServiceError> {
        let (group, fresh) = (Group::Trading, Fresh::default());
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let mut held = query::holdings(snapshot.connection(), &[account_id]).await?;
        let held = held.remove(&account_id).unwrap_or_default();
        let symbols = held.iter().map(|row| row.symbol.as_str());
        for symbol in symbols.chain([trial.spec.symbol.as_str()]) {
            let glance = self.parts.engine.board().glance(symbol);
            if let Some((id, mark)) = glance.and_then(|it| Some((it.instrument_id, it.marks()?))) {
                trial.market.marks.insert(id, mark);
            }
        }
        Ok(())
    }

    /// What the order would come to if the market came to its price and filled all of it there.
    async fn filled_whole(&self, trial: &Trial) -> Result<Option<(Price, Impact)>, ServiceError> {
        let Trial { spec, market, .. } = trial;
        let reference = market.reference.as_ref().map(|reference| reference.price);
        let price = spec.limit_price.or(spec.stop_price).or(reference);
        let Some(price) = price.filter(|_| spec.trail.is_none()) else { return Ok(None) };
        let tick = |price| Evidence {
            source: "supposed".to_owned(),
            tape_place: market.tape_place,
            at: market.at,
            tick: EvidenceTick::Trade { price, size: spec.qty },
        };
        let trigger = spec.stop_price.map(tick);
        let offer = Some(Offer { price, left: Quantity::MAX, evidence: tick(price) });
        let whole = Trial { trigger, offer, ..trial.clone() };
        match self.parts.ledger.preview(whole).await {
            Ok((impact, _)) => Ok(Some((price, impact))),
            Err(LedgerError::Refused(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl RiskFigures {
    fn of(figures: &Figures, spec: &OrderSpec) -> Result<Self, ServiceError> {
        let standing = figures.standing.as_ref();
        let equity = standing.map(|standing| standing.equity);
        let of_margin = standing.filter(|_| figures.margin);
        let distance =
            of_margin.map(|standing| standing.equity.minus(standing.maintenance)).transpose()?;
        let (mut gross, mut net, mut held) = (Value::default(), Value::default(), Value::default());
        for holding in standing.iter().flat_map(|standing| &standing.holdings) {
            let value = Value::of_fill(holding.qty, holding.price)?;
            (gross, net) = (gross.plus(value.abs())?, net.plus(value)?);
            if holding.instrument_id == spec.instrument_id {
                held = value;
            }
        }
        let of_equity = |amount: Value| {
            let equity = equity.filter(|equity| equity.is_positive())?;
            rate(amount, equity)
        };
        Ok(Self {
            cash: figures.cash,
            reserved: figures.reserved,
            buying_power: figures.buying_power,
            equity,
            initial_margin: of_margin.map(|standing| standing.initial),
            maintenance_margin: of_margin.map(|standing| standing.maintenance),
            margin_call_distance: distance,
            margin_call_distance_pct: distance.and_then(|distance| of_equity(distance.into())),
            position_qty: figures.qty,
            position_value: standing.map(|_| held),
            concentration: standing.and_then(|_| of_equity(held.abs())),
            gross_exposure: standing.map(|_| gross),
            net_exposure: standing.map(|_| net),
            leverage: standing.and_then(|_| of_equity(gross)),
        })
    }
}
