//! REST over a real database: the contract of each route, its statuses, and what bad input leaves behind (nothing).

mod auctions;
mod closing;
mod cors;
mod cost;
mod edge;
mod extended;
mod families;
mod filters;
mod input;
mod margin;
mod notional;
pub mod openapi;
mod orders;
mod overload;
mod permissions;
mod portfolio;
mod previews;
mod reads;
mod replacing;
mod standby;
mod stream;
mod untaken;
