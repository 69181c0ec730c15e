//! The rules of fills, sessions and corporate actions, each by a case worked by hand; and the engine against a naive
//! scan that shares no code with it.

mod actions;
mod adjusting;
mod auctions;
mod bands;
mod bars;
mod contradictions;
mod desk;
mod expiry;
mod expiry_always;
mod expiry_and_splits;
mod extended;
mod families;
mod forgetting;
mod losses;
mod market_halts;
mod naive;
mod naive_families;
mod naive_losses;
mod naive_margin;
mod naive_packages;
mod naive_trails;
mod notional;
mod options;
mod package_scan;
mod print_scan;
mod prints;
mod quotes;
mod recording;
mod scan;
mod split_values;
mod stops;
mod terms;
mod trailing;
