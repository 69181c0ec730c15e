//! What is asked for when an order is placed or previewed, and what is wrong with it by itself.

use aggregates::id::{AccountId, InstrumentId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    Exits, Leg, OrderClass, OrderSpec, OrderType, PositionIntent, Side, TimeInForce, Trail,
    TriggerBy,
};
use aggregates::refusal::Refusal;
use serde::Serialize;

use super::{Fault, SYMBOL_MAX, text};
use crate::ledger::Words;

/// A new order. Amounts are dollars and shares.
#[derive(Clone, Debug, Serialize)]
pub struct OrderRequest {
    /// The ticker of a stock or the OCC symbol of an option; empty for an mleg order.
    pub symbol: String,
    /// Buy or sell; buy for an mleg order.
    pub side: Side,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Shares of a stock, contracts of an option, packages of an mleg order, above 0; 0 beside a notional.
    pub qty: Quantity,
    /// Dollars to buy for, in place of a quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notional: Option<Money>,
    /// The worst price of limit types; of an mleg order the net price of one package in dollars a share, below zero for
    /// one that has to bring money.
    pub limit_price: Option<Price>,
    /// The trigger of stop types.
    pub stop_price: Option<Price>,
    /// The distance of trailing types.
    pub trail: Option<Trail>,
    /// How far the limit of a trailing stop limit is beyond the stop that triggers it, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_offset: Option<Price>,
    /// The price from which on a trailing type follows the market: at once if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_price: Option<Price>,
    /// Which prices trigger stop types: the last trade if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_by: Option<TriggerBy>,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// When a gtd order ends, by the market clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<MarketTime>,
    /// Whether it may fill outside regular hours.
    pub extended_hours: bool,
    /// Which other orders it belongs with.
    pub order_class: OrderClass,
    /// The exits that are placed with it. The take-profit of an oco is the order itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exits: Option<Exits>,
    /// Of an order of one option whether it opens or closes a position; found from what is held if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_intent: Option<PositionIntent>,
    /// The legs of an mleg order. It has no symbol then, and its side is that of the package: buy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legs: Option<Vec<LegRequest>>,
    /// The client's own id, unique in the account for ever: sent again, it is the same order. Made if absent.
    pub client_order_id: Option<String>,
    /// Words of the owner's, erasable, never in the log.
    pub note: Option<String>,
}

impl OrderRequest {
    /// An order for the day, for regular hours and by itself, with nothing that only some orders have.
    pub fn plain(symbol: String, side: Side, order_type: OrderType, qty: Quantity) -> Self {
        Self {
            symbol,
            side,
            order_type,
            qty,
            notional: None,
            limit_price: None,
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            time_in_force: TimeInForce::Day,
            expires_at: None,
            extended_hours: false,
            order_class: OrderClass::Simple,
            exits: None,
            position_intent: None,
            legs: None,
            client_order_id: None,
            note: None,
        }
    }
}

/// One leg of a new mleg order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LegRequest {
    /// The symbol of the option, or the ticker of the stock that they are on.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How many of it one package has: contracts of an option, shares of a stock.
    pub ratio_qty: u32,
    /// Whether it opens or closes a position; found from what is held if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_intent: Option<PositionIntent>,
}

impl LegRequest {
    /// The leg in the words of the domain.
    fn leg(&self) -> Leg {
        let Self { symbol, side, ratio_qty, position_intent } = self.clone();
        let instrument_id = InstrumentId::of_symbol(&symbol);
        Leg { instrument_id, symbol, side, ratio_qty, position_intent, contract: None }
    }
}

impl OrderRequest {
    /// Every field that is wrong by itself, whatever the account and the market say.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = match self.order_class {
            OrderClass::Mleg => self.leg_faults(),
            _ => text::fault("symbol", &self.symbol, SYMBOL_MAX).into_iter().collect(),
        };
        if let Some(id) = &self.client_order_id {
            faults.extend(text::fault(
                "client_order_id",
                id,
                aggregates::order::CLIENT_ORDER_ID_MAX,
            ));
        }
        if let Some(note) = &self.note {
            faults.extend(text::fault("note", note, text::NOTE_MAX));
        }
        faults.extend(self.oco_fault());
        let spec = self.spec(AccountId::default(), "-");
        for error in spec.faults() {
            let fault = Fault::from(Refusal::from(error));
            if !faults.iter().any(|known| known.field == fault.field) {
                faults.push(fault);
            }
        }
        faults
    }

    /// What is wrong with the symbols of the legs of an mleg order, and that it has none of its own.
    fn leg_faults(&self) -> Vec<Fault> {
        let own = (!self.symbol.is_empty()).then(|| {
            let message = "an mleg order has no symbol of its own: its legs name what is traded, so leave symbol out";
            Fault::new("symbol", "invalid_order", message)
        });
        let legs = self.legs.iter().flatten().enumerate();
        let symbols = legs.filter_map(|(index, leg)| {
            text::fault(&format!("legs[{index}].symbol"), &leg.symbol, SYMBOL_MAX)
        });
        own.into_iter().chain(symbols).collect()
    }

    /// The order in the words of the domain. An mleg order has no symbol before the market has said what its legs are on.
    pub(super) fn spec(&self, account_id: AccountId, fresh_client_order_id: &str) -> OrderSpec {
        let client_order_id = self.client_order_id.as_deref().unwrap_or(fresh_client_order_id);
        let (limit_price, exits) = self.limit_and_exits();
        OrderSpec {
            account_id,
            instrument_id: InstrumentId::of_symbol(&self.symbol),
            symbol: self.symbol.clone(),
            side: self.side,
            order_type: self.order_type,
            qty: self.qty,
            notional: self.notional,
            limit_price,
            stop_price: self.stop_price,
            trail: self.trail,
            limit_offset: self.limit_offset,
            activation_price: self.activation_price,
            trigger_by: self
                .trigger_by
                .or_else(|| self.order_type.is_stop().then(TriggerBy::default)),
            time_in_force: self.time_in_force,
            good_till: self.expires_at,
            extended_hours: self.extended_hours,
            order_class: self.order_class,
            client_order_id: client_order_id.to_owned(),
            note_digest: self.note.as_deref().map(Words::digest),
            parent_order_id: None,
            exits: exits.map(Box::new),
            contract: None,
            position_intent: self.position_intent,
            legs: self.legs.as_ref().map(|legs| legs.iter().map(LegRequest::leg).collect()),
        }
    }
}
