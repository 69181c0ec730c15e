//! Risk: of an order before it is placed, and of all that an account holds.

mod account;
mod closes;
mod figures;
mod missing;
mod order;
mod outlook;
mod performance;
mod scenarios;

pub use account::PortfolioRiskAnswer;
pub use order::{RiskAnswer, RiskFigures};
pub use scenarios::{HORIZON_MAX, RiskMethod, RiskRequest};
