//! The integration tests: one binary, so that all of them share one Postgres.
//!
//! Run with `cargo test --test it`: the threads of one process share a cluster (up in 0.2 s), and each test gets a
//! database of its own, copied from a migrated template (about 50 ms). With a runner that starts a process per
//! test everything works too, only slower: each process takes a cluster of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append_only;
mod arrows;
mod audit;
mod backup;
mod bad_input;
mod embedded;
mod engine;
mod faults;
mod fuzz;
#[path = "../../projections/tests/support/history.rs"]
mod history;
mod identity;
mod isolation;
mod ledger;
mod market;
mod mcp;
mod migrations;
mod movements;
mod options_trading;
mod parity;
mod pools;
mod portfolio_risk;
mod process;
mod projections;
mod readme;
mod rest;
mod row_security;
mod stopping;
mod support;
mod views;
mod writers;
