//! Blotter: an event-sourced trading ledger for paper trading, on Postgres.

pub mod database;
pub mod ledger;
