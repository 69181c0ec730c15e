//! Risk of what is held: what it gains when the market moves, how much may be lost, and how well an account did.
//!
//! Holdings are revalued as a whole under each move, options by the model that they are priced with, so that what bends
//! counts: nothing is taken from greeks. Everything here is `f64`: these are estimates, and no money is moved by them. The
//! same inputs give the same bits everywhere: functions are those of `libm`, and draws come from a seed. A figure that its
//! inputs do not tell is `None`, never 0. Formulas and units: `docs/risk.md`.

pub mod draws;
pub mod performance;
pub mod sample;
pub mod stake;
pub mod tail;

#[cfg(test)]
mod tests;
