//! MCP over the real binary, as clients speak it: the official client in both eras of the protocol, and raw requests
//! for what it would never send.

mod desk;
mod narrowing;
mod refusals;
mod resources;
mod work;
