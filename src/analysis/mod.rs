//! What is computed from the market's prices alone. Knows neither accounts nor the engine: numbers in, numbers out.

pub mod options;
