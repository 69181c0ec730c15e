//! Fields that nobody has taken: refused by name, with those that there are.

use std::collections::BTreeSet;

use super::Fields;
use crate::service::{Fault, text};

/// What is shown of a name that a client made up, in characters.
const SHOWN: usize = 64;

impl Fields {
    /// The names of the fields beside those that are `known`, fit to be shown.
    pub fn names_beside(&self, known: &[&str]) -> Vec<String> {
        let unknown = self.left.iter().map(|(name, _)| name);
        unknown.filter(|name| !known.contains(&name.as_str())).map(|name| shown(name)).collect()
    }

    /// What was wrong with the fields, and those that nobody has taken.
    pub(super) fn every_fault(self) -> Vec<Fault> {
        let Self { left, known, mut faults } = self;
        let known: BTreeSet<String> = known.into_iter().collect();
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let there_are = match known.is_empty() {
            true => "it has none".to_owned(),
            false => format!("it has {}", names.join(", ")),
        };
        for (field, _) in left {
            let shown = shown(&field);
            let hint = text::meant(&shown, &names);
            let message = format!("{shown} is not a field of this request: {hint}{there_are}");
            faults.push(Fault::new(shown, "unknown_field", message));
        }
        faults
    }
}

/// A name that a client made up, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !text::is_hidden(*c)).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_told_which_ones_there_are() {
        let mut fields = Fields::of_body(br#"{"b":"x","odd":1,"a":null}"#)
            .unwrap_or_else(|_| panic!("it is an object"));
        assert_eq!(fields.text("b", 9).as_deref(), Some("x"));
        assert_eq!((fields.flag("a"), fields.flag("c")), (None, None));
        let faults = fields.every_fault();
        let [odd] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!(odd.field.as_str(), "odd");
        assert_eq!(odd.message, "odd is not a field of this request: it has a, b, c");
        let mut fields = Fields::of_body(br#"{"trail":"1","trail_percent_off":"1","":"1"}"#)
            .unwrap_or_else(|_| panic!("it is an object"));
        assert_eq!((fields.text("trail_price", 9), fields.text("trail_percent", 9)), (None, None));
        let told: Vec<_> = fields.every_fault().into_iter().map(|fault| fault.message).collect();
        let has = "it has trail_percent, trail_price";
        assert_eq!(
            told,
            [
                format!(
                    "trail is not a field of this request: perhaps trail_percent or trail_price is meant; {has}"
                ),
                format!(
                    "trail_percent_off is not a field of this request: perhaps trail_percent is meant; {has}"
                ),
                format!(" is not a field of this request: {has}"),
            ]
        );
        let none = Fields::of_query(Some("x=1")).unwrap_or_else(|_| panic!("it is a query"));
        assert_eq!(none.every_fault()[0].message, "x is not a field of this request: it has none");
    }
}
