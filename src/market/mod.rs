//! The market as it reaches the server: the line format of ticks, sources of them, and the exchange's calendar.
//!
//! Guarantees: nothing here reads a system clock, and nothing is made up to fill a gap of a source. One source is made
//! up as a whole, and everything of it says so: [`simulated`].

pub mod archive;
pub mod bars;
pub mod calendar;
mod calendar_table;
pub mod fields;
pub mod luld;
pub mod pace;
pub mod playback;
pub mod reading;
pub mod recorded;
pub mod simulated;
pub mod source;
pub mod tick;
