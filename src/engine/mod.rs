//! The engine: works the market's lines, fills orders, keeps the market's time. [`core`] holds the rules, as a pure
//! step machine.

pub mod core;
