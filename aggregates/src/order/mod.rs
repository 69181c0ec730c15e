//! The whole life of one order, as a closed state machine.
//!
//! [`state`] holds the one table of what may follow what; [`aggregate`] applies it. Stream id: `<order_id>`.

mod adjusting;
mod aggregate;
mod command;
mod dollars;
mod error;
mod event;
mod exits;
mod legs;
mod replacing;
mod spec;
mod state;
mod trail;

pub use aggregate::{Order, worst_cost};
pub use command::{Execution, OrderCommand, Trigger};
pub use error::OrderError;
pub use event::{CancelReason, ExpiryReason, Lifetime, OrderEvent, ResizeCause};
pub(crate) use exits::not_apart;
pub use exits::{Exit, Exits, Part, StopLoss, TakeProfit};
pub(crate) use legs::STOCK_UNIT;
pub use legs::{
    LEGS, Leg, LegExecution, LegFill, PositionIntent, RATIO_MAX, SHARES_MAX, net_price,
};
pub use replacing::OrderChange;
pub use spec::{CLIENT_ORDER_ID_MAX, OrderClass, OrderSpec, OrderType, Side, TimeInForce};
pub use state::{Happening, OrderStatus, TABLE, next};
pub use trail::{Trail, TriggerBy};
