//! The `blotter` command.

fn main() {}
