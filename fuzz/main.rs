//! Runs one property of [`properties`] against input that libFuzzer mutates where it reaches new code. `scripts/fuzz`
//! builds this with the instrumentation and names the property in `BLOTTER_FUZZ`.

#![no_main]

mod properties;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static PROPERTY: LazyLock<properties::Property> = LazyLock::new(|| {
    let wanted = std::env::var("BLOTTER_FUZZ").unwrap_or_default();
    let named = properties::ALL.iter().find(|(name, ..)| *name == wanted);
    let known: Vec<_> = properties::ALL.iter().map(|(name, ..)| *name).collect();
    named.unwrap_or_else(|| panic!("BLOTTER_FUZZ is one of {known:?}, not {wanted:?}")).1
});

fuzz_target!(|input: &[u8]| PROPERTY(input));
