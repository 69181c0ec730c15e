//! The engine: works the market's lines, fills orders, keeps the market's time.
//!
//! [`core`] holds the rules, as a pure step machine; [`runtime`] runs it on the ledger, for those who hold its
//! [`handle`]; [`tape`] is the record of the lines; [`player`] plays sources into it; [`history`] finds after a restart
//! where log and tape left it, `standby` keeps up with them where another process writes, [`replay`] whether it did what it should; [`board`] is what everyone may read, and [`archive`] what the tape says of bars and depth.

mod alarms;
pub mod archive;
pub mod board;
pub mod core;
pub mod following;
pub mod handle;
pub mod history;
pub mod player;
pub mod replay;
pub mod runtime;
mod standby;
pub mod tape;

pub use archive::TapeArchive;
pub use board::{Board, Condition};
pub use handle::{Engine, EngineError, Report, Works, engine};
pub use history::PostgresHistory;
pub use player::{Control, Player, PlayerError, player};
pub use runtime::{Desk, Feed};
