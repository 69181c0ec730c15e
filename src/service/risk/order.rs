//! What an order would do to the risk of an account, before it is placed: decided as a preview is, by the code that
//! places and fills orders, and nothing is stored.
//!
//! Three standings are told: as it is, after the order's arrival, and as it would be if all of the order had filled at
//! its price. What depends on a price that is not known is absent.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use aggregates::instrument::MULTIPLIER;
use aggregates::market::{Evidence, EvidenceTick, MarketTime};
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::order::{
    CancelReason, LegExecution, OrderClass, OrderSpec, OrderStatus, OrderType, Side, net_price,
};
use aggregates::trading::{Figures, Impact, MarketView, Offer, Trial};
use projections::Group;
use projections::positions::PositionRow;
use projections::query;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::core::Glance;
use crate::ledger::LedgerError;
use crate::service::payoff::Shares;
use crate::service::positions::rate;
use crate::service::preview::{added, underlying_of};
use crate::service::{
    Caller, Fresh, HoldingGreeksAnswer, OrderRequest, PayoffAnswer, Service, ServiceError, Value,
};

/// What an order would do to the risk of an account. Amounts are dollars and shares.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OrderRisk")]
pub struct RiskAnswer {
    /// Whose account it would be placed in.
    pub account_id: AccountId,
    /// The ticker, or the OCC symbol of an option; absent of an mleg order.
    pub symbol: Option<String>,
    /// Buy or sell; absent of an mleg order.
    pub side: Option<Side>,
    /// The ticker of what the options are on; absent of an order of a stock.
    pub underlying_symbol: Option<String>,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Shares, contracts or packages; absent of a notional order.
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
    /// The price that this is counted at, as in a preview.
    pub worst_price: Option<Price>,
    /// The symbols held that have no price: without them equity and all that is a part of it are absent.
    pub unmarked: Vec<String>,
    /// The account as it is.
    pub before: RiskFigures,
    /// The account after the order's arrival.
    pub after: RiskFigures,
    /// The account if all of the order had filled at `if_filled_price`; absent for an order that does not stay open and
    /// for one whose price nobody can tell.
    pub if_filled: Option<RiskFigures>,
    /// Its limit, else the stop that it waits for, else the reference.
    pub if_filled_price: Option<Price>,
    /// What the options would come to when they expire, at the price that it would fill at; absent as in a preview.
    pub payoff: Option<PayoffAnswer>,
    /// The greeks of the account's options on the underlying and its shares, as they are; absent of an order of a stock.
    pub greeks_before: Option<HoldingGreeksAnswer>,
    /// The same with all of the order.
    pub greeks_after: Option<HoldingGreeksAnswer>,
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
    pub buying_power: Option<Value>,
    /// What new options may cost: nothing of it is borrowed.
    pub options_buying_power: Option<Money>,
    /// Cash and what the positions are worth.
    pub equity: Option<Value>,
    /// What backs the positions of a margin account when they are opened.
    pub initial_margin: Option<Money>,
    /// What has to back the positions of a margin account.
    pub maintenance_margin: Option<Money>,
    /// What the margin equity of an account, cash and shares without options, may lose before its margin call: below zero it is under one.
    pub margin_call_distance: Option<Value>,
    /// The same as a rate of the equity.
    pub margin_call_distance_pct: Option<String>,
    /// Shares or contracts held of the symbol, below zero when short; of an mleg order, shares of what its legs are on.
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
        let (held, unmarked) = self.price_holdings(caller, account_id, &mut trial).await?;
        let (impact, position) = self.parts.ledger.preview(trial.clone()).await?;
        let taken = &impact.taken;
        let covering = Shares::free_for(taken, &held)?;
        let (greeks_before, greeks_after) = self.greeks_around(taken, held).await?.unzip();
        let filled_price = Price::of_fills(
            impact.filled_amount,
            impact.filled_residue,
            taken.priced(impact.filled_qty)?,
        );
        let whole = match impact.status.is_terminal() {
            true => None,
            false => self.filled_whole(&trial).await?,
        };
        let spec = trial.spec;
        let (if_filled_price, filled) = whole.unzip();
        let payoff = if_filled_price
            .or(filled_price)
            .and_then(|price| PayoffAnswer::of(taken, price, &covering));
        let alone = spec.order_class != OrderClass::Mleg;
        let figures = |figures: &Figures| RiskFigures::of(figures, &spec);
        Ok(RiskAnswer {
            account_id,
            underlying_symbol: underlying_of(taken),
            payoff,
            greeks_before,
            greeks_after,
            side: alone.then_some(spec.side),
            order_type: spec.order_type,
            qty: Some(spec.qty).filter(|_| spec.notional.is_none()),
            notional: spec.notional,
            status: impact.status,
            cancel_reason: impact.cancel_reason,
            filled_qty: impact.filled_qty,
            fees: impact.fees,
            worst_cost: impact.worst_cost,
            worst_price: impact.reserve_price,
            unmarked,
            before: figures(&impact.before)?,
            after: figures(&impact.after)?,
            if_filled: filled.map(|impact: Impact| figures(&impact.after)).transpose()?,
            if_filled_price,
            market_time: trial.market.at,
            position,
            symbol: alone.then_some(spec.symbol),
        })
    }

    /// The prices of all that the account holds, and of what its options are on: a cash account is decided without them.
    /// Gives what it holds, and the symbols that have no price.
    pub(in crate::service) async fn price_holdings(
        &self,
        caller: &Caller,
        account_id: AccountId,
        trial: &mut Trial,
    ) -> Result<(Vec<PositionRow>, Vec<String>), ServiceError> {
        let (group, fresh) = (Group::Trading, Fresh::default());
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let mut held = query::holdings(snapshot.connection(), &[account_id]).await?;
        let held = held.remove(&account_id).unwrap_or_default();
        let symbols = held.iter().map(|row| row.symbol.as_str());
        let board = self.parts.engine.board();
        let mut unmarked = Vec::new();
        let mut mark = |symbol: &str| {
            let glance = board.glance(symbol);
            let on = glance.as_ref().and_then(|it| board.glance(&it.option.as_ref()?.underlying));
            let priced = |glance: &Glance| Some((glance.instrument_id, glance.marks()?));
            trial.market.marks.extend(on.as_deref().and_then(priced));
            let own = glance.as_deref().and_then(priced);
            let has_price = own.is_some();
            trial.market.marks.extend(own);
            has_price
        };
        mark(&trial.spec.symbol);
        for symbol in symbols {
            if !mark(symbol) {
                unmarked.push(symbol.to_owned());
            }
        }
        Ok((held, unmarked))
    }

    /// The greeks of what an account holds of the underlying of an order of options, without the order and with it.
    async fn greeks_around(
        &self,
        spec: &OrderSpec,
        held: Vec<PositionRow>,
    ) -> Result<Option<(HoldingGreeksAnswer, HoldingGreeksAnswer)>, ServiceError> {
        let Some(underlying) = underlying_of(spec) else { return Ok(None) };
        let mut all: BTreeMap<String, Quantity> = BTreeMap::new();
        for row in held {
            let on = self.underlying_of(&row.symbol);
            if on.as_ref().unwrap_or(&row.symbol) == &underlying {
                all.insert(row.symbol, row.qty);
            }
        }
        let before = self.greeks_of(all.clone()).await?;
        for (symbol, qty) in added(spec)? {
            let sum = all.entry(symbol).or_default();
            *sum = sum.plus(qty)?;
        }
        all.retain(|_, qty| !qty.is_zero());
        Ok(Some((before, self.greeks_of(all).await?)))
    }

    /// What the order would come to if the market came to its price and filled all of it there.
    async fn filled_whole(&self, trial: &Trial) -> Result<Option<(Price, Impact)>, ServiceError> {
        let Trial { spec, market, .. } = trial;
        let reference = market.reference.as_ref().map(|reference| reference.price);
        let reference = reference.filter(|_| spec.order_class != OrderClass::Mleg);
        let price = spec.limit_price.or(spec.stop_price).or(reference);
        let Some(price) = price.filter(|_| spec.trail.is_none()) else { return Ok(None) };
        let tick = |price| Evidence {
            source: "supposed".to_owned(),
            tape_place: market.tape_place,
            at: market.at,
            tick: EvidenceTick::Trade { price, size: spec.qty },
        };
        let trigger = spec.stop_price.map(tick);
        let Some(prices) = leg_prices(spec, price, market)? else { return Ok(None) };
        let legs = spec.legs.iter().flatten().zip(prices).map(|(leg, price)| LegExecution {
            instrument_id: leg.instrument_id,
            price,
            evidence: tick(price),
        });
        let (left, evidence, legs) = (Quantity::MAX, tick(price), legs.collect());
        let offer = Some(Offer { price, left, evidence, legs });
        let whole = Trial { trigger, offer, ..trial.clone() };
        match self.parts.ledger.preview(whole).await {
            Ok((impact, _)) => Ok(Some((price, impact))),
            Err(LedgerError::Refused(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Prices of the legs of an mleg order that come to a net price: those of the market, but for the first leg that can take
/// up what is between. `None` if none can; nothing of other orders.
fn leg_prices(
    spec: &OrderSpec,
    net: Price,
    market: &MarketView,
) -> Result<Option<Vec<Price>>, AmountError> {
    let legs = spec.legs.as_deref().unwrap_or_default();
    let marks = legs.iter().map(|leg| {
        let mark = market.marks.get(&leg.instrument_id)?;
        Some(if leg.side == Side::Buy { &mark.short } else { &mark.long }.price)
    });
    let Some(prices) = marks.collect::<Option<Vec<Price>>>() else { return Ok(None) };
    if legs.is_empty() {
        return Ok(Some(prices));
    }
    let between = net.minus(net_price(legs, prices.iter().copied())?)?;
    for (index, leg) in legs.iter().enumerate() {
        let signed = if leg.side == Side::Buy { between } else { between.negated() };
        let each = leg.contract.as_ref().map_or(Decimal::ONE, |terms| terms.shares.decimal());
        let of_all = signed.decimal().checked_mul(MULTIPLIER.into());
        let shift = of_all.zip(each.checked_mul(leg.ratio_qty.into()));
        let shift = shift.and_then(|(of_all, shares)| of_all.checked_div(shares));
        let Some(Ok(shift)) = shift.map(|shift| Price::new(shift.normalize())) else { continue };
        let mut shifted = prices.clone();
        shifted[index] = shifted[index].plus(shift)?;
        if !shifted[index].is_negative() && net_price(legs, shifted.iter().copied())? == net {
            return Ok(Some(shifted));
        }
    }
    Ok(None)
}

impl RiskFigures {
    fn of(figures: &Figures, spec: &OrderSpec) -> Result<Self, ServiceError> {
        let standing = figures.standing.as_ref();
        let equity = standing.map(Value::worth).transpose()?;
        let of_margin = standing.filter(|_| figures.margin);
        let distance = of_margin
            .map(|standing| Value::from(standing.equity).minus(standing.maintenance))
            .transpose()?;
        let (mut gross, mut net, mut held) = (Value::default(), Value::default(), Value::default());
        for holding in standing.iter().flat_map(|standing| &standing.holdings) {
            let value = Value::of_holding(holding)?;
            (gross, net) = (gross.plus(value.abs())?, net.plus(value)?);
            if holding.instrument_id == spec.instrument_id {
                held = value;
            }
        }
        let of_equity = |amount: Value| {
            let equity = equity.filter(|equity| *equity > Value::default())?;
            rate(amount, equity)
        };
        Ok(Self {
            cash: figures.cash,
            reserved: figures.reserved,
            buying_power: Value::buying_power(figures),
            options_buying_power: figures.options_buying_power,
            equity,
            initial_margin: of_margin.map(|standing| standing.initial),
            maintenance_margin: of_margin.map(|standing| standing.maintenance),
            margin_call_distance: distance,
            margin_call_distance_pct: distance.and_then(of_equity),
            position_qty: figures.qty,
            position_value: standing.map(|_| held),
            concentration: standing.and_then(|_| of_equity(held.abs())),
            gross_exposure: standing.map(|_| gross),
            net_exposure: standing.map(|_| net),
            leverage: standing.and_then(|_| of_equity(gross)),
        })
    }
}
