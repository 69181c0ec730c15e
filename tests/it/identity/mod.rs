//! Who may act: users, sessions, keys, and the facts about them in the log.

mod facts;
mod jwt;
pub mod people;
mod processes;
mod sessions;
mod users;
