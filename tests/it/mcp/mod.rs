//! MCP over the real binary, as clients speak it: the official client in both eras of the protocol, raw requests for
//! what it would never send, and lines on standard input.

pub mod desk;
mod narrowing;
mod refusals;
pub mod resources;
mod stdio;
mod stdio_limits;
mod stopping;
pub mod work;
