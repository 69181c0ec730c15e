//! Free text of clients: capped, and without characters that hide or reorder what a reader sees.

use super::error::Fault;

/// The longest account name, in characters.
pub const NAME_MAX: usize = 100;
/// The longest note of an order, in characters.
pub const NOTE_MAX: usize = 500;
/// The longest `Idempotency-Key`, in characters.
pub const KEY_MAX: usize = 128;

/// Control and NUL characters, and those that reorder or hide text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What is wrong with `text` in a field that takes 1 to `most` characters.
pub fn fault(field: &str, text: &str, most: usize) -> Option<Fault> {
    let long = text.chars().count();
    if long == 0 || long > most {
        let message = format!("{field} has {long} characters: it takes 1 to {most}");
        return Some(Fault::new(field, "invalid_text", message));
    }
    text.chars().any(is_hidden).then(|| {
        let message = format!("{field} has control or bidirectional characters: leave them out");
        Fault::new(field, "invalid_text", message)
    })
}

/// That an unknown name may be meant as a known one: where one of them goes on from the other with `_`. Empty where there is
/// none.
pub fn meant(unknown: &str, known: &[&str]) -> String {
    let goes_on = |long: &str, short: &str| {
        !short.is_empty() && long.strip_prefix(short).is_some_and(|rest| rest.starts_with('_'))
    };
    let near = known.iter().filter(|name| goes_on(name, unknown) || goes_on(unknown, name));
    match Vec::from_iter(near.copied()).join(" or ") {
        none if none.is_empty() => none,
        near => format!("perhaps {near} is meant; "),
    }
}
