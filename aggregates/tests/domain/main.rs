//! The domain from outside: what each aggregate answers, what many commands together keep, what is stored.
//! One binary, no I/O but the generated documents. Budget: 30 seconds in a debug build.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod adjusting;
mod adjusting_properties;
mod book;
mod bounds;
mod contracts;
mod documents;
mod endings;
mod examples;
mod families;
mod families_margin;
mod family_properties;
mod given;
mod given_position;
mod invariants;
mod limits;
mod losses;
mod margin;
mod margin_options;
mod margin_options_properties;
mod margin_properties;
mod matrix;
mod notional;
mod one_symbol;
mod option_endings;
mod option_life;
mod option_life_properties;
mod option_orders;
mod option_remainders;
mod option_together;
mod oracle;
mod previews;
mod properties;
mod reducing;
mod replacing;
mod samples;
mod stops;
mod users;
