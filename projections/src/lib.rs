//! The query views of Blotter: folds from events to rows, and the runner that keeps them.

pub mod log;
