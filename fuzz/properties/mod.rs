//! What holds for any bytes that others send, one property a reader.
//!
//! They are run by the fuzzer (`make fuzz`) and, over the seeds and a few thousand mutations, by the integration tests.

mod arguments;
mod cursors;
mod decimals;
mod orders;
mod ticks;

/// Panics on input for which it does not hold.
pub type Property = fn(&[u8]);

/// Each property with its name and its seeds, one a line.
pub const ALL: &[(&str, Property, &str)] = &[
    ("decimals", decimals::are_read_exactly_or_refused, include_str!("../seeds/decimals.txt")),
    ("cursors", cursors::open_unchanged_alone, include_str!("../seeds/cursors.txt")),
    ("ticks", ticks::are_written_as_they_are_read, include_str!("../seeds/ticks.txt")),
    ("orders", orders::are_read_whole_or_refused_by_name, include_str!("../seeds/orders.txt")),
    ("arguments", arguments::mean_the_same_on_both_faces, include_str!("../seeds/arguments.txt")),
];
