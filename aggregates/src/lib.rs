//! The domain of Blotter, pure: no I/O, no clock, no randomness, no runtime.

pub mod id;
pub mod money;
