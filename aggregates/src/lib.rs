//! The domain of Blotter, pure: no I/O, no clock, no randomness, no runtime.
//!
//! `account`, `order`, `position`, `instrument`, `user` and `writer` are event-sourced aggregates; `trading` holds the
//! decisions that touch several of them and are committed together or not at all.

pub mod account;
pub mod id;
pub mod instrument;
pub mod margin;
pub mod market;
pub mod money;
pub mod order;
pub mod position;
pub mod refusal;
pub mod rules;
pub mod stream;
pub mod trading;
pub mod user;
pub mod writer;
