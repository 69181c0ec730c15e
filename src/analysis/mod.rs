//! What is computed from the market's prices alone. Knows neither accounts nor the engine: numbers in, numbers out.

mod normal;
pub mod options;
pub mod risk;
