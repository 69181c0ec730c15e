//! What one account holds of one instrument: FIFO lots, realized profit, shares that open sells have reserved.
//! Stream id: `<account_id>/<instrument_id>`. A split and a dividend name their corporate action, and none is applied twice.

mod aggregate;
mod command;
mod error;
mod event;
mod split;

pub use aggregate::Position;
pub use command::{PositionCommand, Trade};
pub use error::PositionError;
pub use event::{ClosedLot, Lot, PositionEvent, ShareReservation};
