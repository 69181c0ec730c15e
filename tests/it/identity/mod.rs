//! Who may act: users, sessions, keys, and the facts about them in the log.

mod agents;
mod counting;
mod facts;
mod forgetting;
mod grants;
mod guessing;
mod jwt;
mod matrix;
mod memories;
mod offers;
pub mod people;
mod processes;
mod registering;
mod sessions;
mod standby;
mod tenants;
mod tokens;
mod users;
