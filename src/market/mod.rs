//! The market as it reaches the server: the line format of ticks, sources of them, and the exchange's calendar.
//!
//! Guarantees: nothing here reads a system clock, and nothing is made up to fill a gap of a source.

pub mod calendar;
mod calendar_table;
pub mod fields;
pub mod pace;
pub mod playback;
pub mod reading;
pub mod recorded;
pub mod source;
pub mod tick;
