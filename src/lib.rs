//! Blotter: an event-sourced trading ledger for paper trading, on Postgres.

pub mod analysis;
pub mod audit;
pub mod body;
pub mod config;
pub mod database;
pub mod engine;
pub mod identity;
pub mod ledger;
pub mod market;
pub mod mcp;
pub mod rest;
pub mod service;
