//! REST over a real database: the contract of each route, its statuses, and what bad input leaves behind (nothing).

mod input;
mod orders;
mod reads;
