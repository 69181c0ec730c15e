//! The query views of Blotter.
