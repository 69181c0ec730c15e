//! What one account holds of one instrument: FIFO lots, realized profit, shares that open sells have reserved.
//! Stream id: `<account_id>/<instrument_id>`. The same in every split and dividend: each names its action once.

mod aggregate;
mod command;
mod error;
mod event;

pub use aggregate::Position;
pub use command::{PositionCommand, Trade};
pub use error::PositionError;
pub use event::{ClosedLot, Lot, PositionEvent, ShareReservation};
