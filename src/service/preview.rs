//! What an order would come to, before it is placed: nothing is stored, and no event is written.
//!
//! The order goes to the Sequencer and is decided there by the code that places and fills orders, on the aggregates
//! in its memory, which are what the next command would meet. Views would be cheaper to ask and could be behind; a
//! fold of the account's history would grow with it. So a preview is answered where orders are taken: by the process
//! that writes. The market is what the engine shows: the standing quote, less what fills took of it.
//!
//! Property, held by a test: what a preview tells is what placing does when nothing has moved in between, refusals
//! included.

use aggregates::id::{AccountId, OrderId};
use aggregates::market::{MarketTime, Reference};
use aggregates::money::{AmountError, Money, Price, Quantity, Residue};
use aggregates::order::{
    CancelReason, OrderClass, OrderSpec, OrderStatus, OrderType, PositionIntent, Side, StopLoss,
    TakeProfit, TimeInForce, TriggerBy,
};
use aggregates::trading::{Figures, Impact, Met, Trial};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::payoff::Shares;
use super::placing::{name_contracts, symbols};
use super::{
    Caller, HoldingGreeksAnswer, OrderRequest, PayoffAnswer, Service, ServiceError, Value,
};

/// What an order would come to. Amounts are dollars and shares.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Preview")]
pub struct PreviewAnswer {
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
    /// The worst price of a limit order; of an mleg order the net price of a package, below zero for one that has to bring
    /// money.
    pub limit_price: Option<Price>,
    /// The trigger of a stop order; of a trailing one, where it would begin, if it would follow the market at once.
    pub stop_price: Option<Price>,
    /// Which prices would trigger it.
    pub trigger_by: Option<TriggerBy>,
    /// How long it would live.
    pub time_in_force: TimeInForce,
    /// Which other orders it would belong with.
    pub order_class: OrderClass,
    /// The take-profit that would be placed with it.
    pub take_profit: Option<TakeProfit>,
    /// The stop-loss that would be placed with it.
    pub stop_loss: Option<StopLoss>,
    /// Whether an order of one option would open a position or close one.
    pub position_intent: Option<PositionIntent>,
    /// The legs of an mleg order.
    pub legs: Vec<PreviewLeg>,
    /// What the options would come to when they expire, at `estimated_price`; absent of an order of a stock, where it closes
    /// anything, where its options expire on different days, and without a price.
    pub payoff: Option<PayoffAnswer>,
    /// The greeks of what the whole order would add to the position; absent of an order of a stock.
    pub greeks: Option<HoldingGreeksAnswer>,
    /// Where it would stand after its arrival.
    pub status: OrderStatus,
    /// Why it would be canceled on arrival.
    pub cancel_reason: Option<CancelReason>,
    /// Shares, contracts or packages that would fill at once.
    pub filled_qty: Quantity,
    /// Their average price in dollars a share, to 6 decimals; of an mleg order the net price.
    pub filled_avg_price: Option<Price>,
    /// What the fills at once would be charged.
    pub fees: Money,
    /// The average price of the whole order, to 6 decimals: what fills at once at its price, the rest at the limit,
    /// the stop that it waits for, or the reference. Absent if the rest has none of them.
    pub estimated_price: Option<Price>,
    /// What the order costs at that price, the fees of one more fill for the rest included; below zero is what a sell
    /// brings.
    pub estimated_cost: Option<Money>,
    /// What is set aside of the account when the order is taken: of the cash; in a margin account the initial margin
    /// of its worst cost. 0 for an order that only closes, which sets shares aside.
    pub worst_cost: Money,
    /// The price that this is counted at: the limit; of a market order the reference and the collar; of an mleg order the net
    /// price of a package, without a limit what its bought legs cost with the collar, where what is sold brings nothing.
    /// Absent of an order that only closes.
    pub worst_price: Option<Price>,
    /// The symbols held that have no price: without them there is no equity.
    pub unmarked: Vec<String>,
    /// The profit that the fills at once would take.
    pub realized_pl: Money,
    /// The account and the position as they are.
    pub before: FiguresAnswer,
    /// The same after the order's arrival.
    pub after: FiguresAnswer,
    /// The price that the order's worst cost is estimated from, with its source.
    pub reference: Option<Reference>,
    /// The market clock.
    pub market_time: MarketTime,
    /// The last event of the log that this stands on.
    pub position: u64,
}

/// A leg of an order on trial.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "PreviewLeg")]
pub struct PreviewLeg {
    /// The OCC symbol of the option, or the ticker of the stock.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How many of it one package has: contracts of an option, shares of a stock.
    pub ratio_qty: u32,
    /// Whether it would open a position or close one.
    pub position_intent: Option<PositionIntent>,
}

/// The figures that an order can move.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Figures")]
pub struct FiguresAnswer {
    /// The balance.
    pub cash: Money,
    /// What open orders have set aside: of the cash; in a margin account, of its margin.
    pub reserved: Money,
    /// What new orders may cost; absent for a margin account when a position has no price.
    pub buying_power: Option<Value>,
    /// What new options may cost: nothing of it is borrowed.
    pub options_buying_power: Option<Money>,
    /// Cash and what the positions are worth, at the prices of this moment; absent when one has none.
    pub equity: Option<Value>,
    /// What backs the positions of a margin account when they are opened.
    pub initial_margin: Option<Money>,
    /// What has to back the positions of a margin account.
    pub maintenance_margin: Option<Money>,
    /// Shares or contracts held of the symbol; of an mleg order, shares of what its legs are on.
    pub position_qty: Quantity,
    /// Those of them that no open order has reserved to close them and that cover no call of a cash account.
    pub position_qty_available: Quantity,
    /// What they cost over their quantity, to 6 decimals.
    pub avg_entry_price: Option<Price>,
    /// What they cost; below zero what they brought, when short.
    pub cost_basis: Money,
    /// Profit taken in the symbol so far.
    pub realized_pl: Money,
}

impl Service {
    /// Tells what an order would come to if it were placed now. Nothing is stored, and its `client_order_id` is not
    /// used up.
    ///
    /// # Errors
    /// What [`Service::place_order`] would answer, with the same code and figures; only the process that writes can
    /// tell.
    pub async fn preview_order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: &OrderRequest,
    ) -> Result<PreviewAnswer, ServiceError> {
        let mut trial = self.trial(caller, account_id, request).await?;
        let (held, unmarked) = self.price_holdings(caller, account_id, &mut trial).await?;
        let (reference, market_time) = (trial.market.reference.clone(), trial.market.at);
        let (asked, unlisted) = (trial.spec.clone(), self.unlisted(&trial.spec));
        let told = self.parts.ledger.preview(trial).await;
        let (impact, position) =
            told.map_err(|error| self.naming_nearest(error.into(), unlisted.as_ref()))?;
        // What an order of a stock asks for is shown as it was asked for.
        let spec = if impact.taken.is_of_options() { impact.taken.clone() } else { asked };
        let open = match spec.notional {
            Some(_) => Quantity::ZERO,
            None => spec.qty.minus(impact.filled_qty)?,
        };
        let mark = reference.as_ref().map(|reference| reference.price);
        let mark = mark.filter(|price| spec.is_activated_by(*price));
        let stop_price = spec.stop_at(mark);
        let waiting_for = stop_price.filter(|_| impact.status == OrderStatus::Accepted);
        let reference_price = reference.as_ref().map(|reference| reference.price);
        let priced = reference_price.filter(|_| spec.order_class != OrderClass::Mleg);
        let rest_price = spec.limit_price.or(waiting_for).or(priced);
        // An estimate beyond the bound of money is none.
        let estimate = estimate(&spec, &impact, open, rest_price).ok().flatten();
        let exits = spec.asked_exits();
        let estimated_price = estimate.and_then(|(price, _)| price);
        let greeks = match spec.is_of_options() {
            true => Some(self.greeks_of(added(&spec)?).await?),
            false => None,
        };
        let covering = Shares::free_for(&spec, &held)?;
        let alone = spec.order_class != OrderClass::Mleg;
        Ok(PreviewAnswer {
            account_id,
            underlying_symbol: underlying_of(&spec),
            position_intent: spec.position_intent,
            legs: legs_of(&spec),
            payoff: estimated_price.and_then(|price| PayoffAnswer::of(&spec, price, &covering)),
            greeks,
            status: impact.status,
            cancel_reason: impact.cancel_reason,
            filled_qty: impact.filled_qty,
            filled_avg_price: Price::of_fills(
                impact.filled_amount,
                impact.filled_residue,
                spec.priced(impact.filled_qty)?,
            ),
            fees: impact.fees,
            estimated_price,
            estimated_cost: estimate.map(|(_, cost)| cost),
            worst_cost: impact.worst_cost,
            worst_price: impact.reserve_price,
            unmarked,
            realized_pl: impact.after.realized_pl.minus(impact.before.realized_pl)?,
            before: impact.before.into(),
            after: impact.after.into(),
            reference,
            market_time,
            position,
            symbol: alone.then_some(spec.symbol),
            side: alone.then_some(spec.side),
            order_type: spec.order_type,
            qty: Some(spec.qty).filter(|_| spec.notional.is_none()),
            notional: spec.notional,
            limit_price: spec.limit_price,
            stop_price,
            trigger_by: spec.trigger_by,
            time_in_force: spec.time_in_force,
            order_class: spec.order_class,
            take_profit: exits.take_profit,
            stop_loss: exits.stop_loss,
        })
    }
}

impl Service {
    /// An order on trial at the market of this moment.
    ///
    /// # Errors
    /// Bad fields, no market clock yet, or the limits of an agent.
    pub(super) async fn trial(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: &OrderRequest,
    ) -> Result<Trial, ServiceError> {
        let faults = request.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        caller.on(account_id)?;
        let order_id = OrderId::new(Uuid::now_v7());
        let mut spec = request.spec(account_id, &order_id.to_string());
        let board = self.parts.engine.board();
        let market = self.market_of(&spec)?;
        self.are_contracts_still(&symbols(&spec))?;
        name_contracts(&mut spec, &market);
        let meeting = board.meeting(&spec);
        let (market, trigger, offer) = meeting.ok_or_else(|| self.no_clock())?;
        self.check_order(caller, &spec, &market).await?;
        let beside =
            spec.children(order_id).into_iter().find(|(_, child)| child.stop_price.is_some());
        let met = beside.and_then(|(_, child)| board.meeting(&child));
        let stop_loss = met.map(|(_, trigger, offer)| Met { trigger, offer }).unwrap_or_default();
        Ok(Trial { order_id, spec, market, trigger, offer, stop_loss })
    }
}

/// The average price and the cost of an order whose rest, if it stays open, fills at `rest_price`. `None` if that is
/// not known.
fn estimate(
    spec: &OrderSpec,
    impact: &Impact,
    open: Quantity,
    rest_price: Option<Price>,
) -> Result<Option<(Option<Price>, Money)>, AmountError> {
    if let Some(notional) = spec.notional.filter(|_| !impact.status.is_terminal()) {
        // What is not spent, or had, at once is later.
        let signed = if spec.side == Side::Buy { notional } else { notional.negated() };
        return Ok(Some((None, signed.plus(impact.fees)?)));
    }
    let rests = !impact.status.is_terminal() && !open.is_zero();
    let (rest, residue) = match rest_price.filter(|_| rests) {
        Some(price) => {
            let rest = spec.value(open, price)?;
            (rest, Residue::of_fill(spec.priced(open)?, price, rest)?)
        }
        None if rests => return Ok(None),
        None => (Money::ZERO, Residue::ZERO),
    };
    let residue = impact.filled_residue.plus(residue)?;
    let amount = impact.filled_amount.plus(rest)?;
    let qty = if rests { spec.qty } else { impact.filled_qty };
    let signed = if spec.side == Side::Buy { amount } else { amount.negated() };
    let cost = signed.plus(impact.fees)?.plus(impact.fees_open)?;
    Ok(Some((Price::of_fills(amount, residue, spec.priced(qty)?), cost)))
}

/// What all of an order of options would add to what is held, by symbol.
pub(super) fn added(spec: &OrderSpec) -> Result<Vec<(String, Quantity)>, AmountError> {
    let legs = spec.package().into_iter().map(|leg| {
        let qty = leg.qty_of(spec.qty)?;
        let signed = if leg.side == Side::Buy { qty } else { qty.negated() };
        Ok((leg.symbol, signed))
    });
    legs.collect()
}

/// The ticker of what the options of an order are on.
pub(super) fn underlying_of(spec: &OrderSpec) -> Option<String> {
    let legs = spec.package();
    legs.iter().find_map(|leg| leg.contract.as_ref()).map(|terms| terms.underlying.clone())
}

/// The legs of an mleg order.
fn legs_of(spec: &OrderSpec) -> Vec<PreviewLeg> {
    let legs = spec.legs.iter().flatten();
    legs.map(|leg| PreviewLeg {
        symbol: leg.symbol.clone(),
        side: leg.side,
        ratio_qty: leg.ratio_qty,
        position_intent: leg.position_intent,
    })
    .collect()
}

impl From<Figures> for FiguresAnswer {
    fn from(figures: Figures) -> Self {
        let equity = figures.standing.as_ref().and_then(|standing| Value::worth(standing).ok());
        let buying_power = Value::buying_power(&figures);
        let standing = figures.standing.filter(|_| figures.margin);
        Self {
            cash: figures.cash,
            reserved: figures.reserved,
            buying_power,
            options_buying_power: figures.options_buying_power,
            equity,
            initial_margin: standing.as_ref().map(|standing| standing.initial),
            maintenance_margin: standing.as_ref().map(|standing| standing.maintenance),
            position_qty: figures.qty,
            position_qty_available: figures.qty_available,
            avg_entry_price: Price::average(figures.cost, figures.shares),
            cost_basis: match figures.shares.is_negative() {
                true => figures.cost.negated(),
                false => figures.cost,
            },
            realized_pl: figures.realized_pl,
        }
    }
}
