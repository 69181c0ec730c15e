//! What one account holds of one instrument: FIFO lots, realized profit, shares that open orders have reserved to close it.
//! Stream id: `<account_id>/<instrument_id>`. A split and a dividend name their corporate action, and none is applied twice.

mod adjusting;
mod aggregate;
mod closing;
mod command;
mod ending;
mod error;
mod event;
mod lots;
mod split;

pub use aggregate::Position;
pub use closing::Cut;
pub use command::{Adjusted, Delivery, Ending, PaidOut, PositionCommand, Trade};
pub use error::PositionError;
pub use event::{ClosedLot, ClosedShares, Lot, PositionEvent, ShareReservation};
