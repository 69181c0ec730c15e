//! REST over a real database: the contract of each route, its statuses, and what bad input leaves behind (nothing).

mod edge;
mod input;
mod openapi;
mod orders;
mod overload;
mod reads;
mod stream;
