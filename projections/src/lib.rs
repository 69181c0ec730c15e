//! The query views of Blotter: folds from events to rows, and the runner that keeps them.
//!
//! A group of views ([`group`]) shares a checkpoint; one step folds a batch of the log into its tables. What is
//! folded how stands in one file a view (`accounts`, `orders`, `positions`, `journal` …), what a face may ask of
//! them in [`query`].

pub mod accounts;
pub mod activities;
mod books;
pub mod checkpoint;
pub mod column;
pub mod error;
pub mod fills;
pub mod fold;
pub mod group;
pub mod instruments;
pub mod journal;
pub mod legs;
pub mod log;
mod market;
pub mod movements;
pub mod orders;
pub mod positions;
pub mod query;
pub mod rebuild;
pub mod row;
pub mod runner;
pub mod snapshots;
mod tail;
pub mod trading;
mod writes;

pub use error::ProjectionError;
pub use group::{Group, Step};
pub use runner::{Runner, Views};
