//! Reading payloads as plain JSON, apart from the types that wrote them.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::amount::Amount;

/// Why a payload cannot be checked.
pub(in crate::audit) type Fault = String;

/// The body of an event, or an object inside it.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The body of `{"<event_type>": {…}}`.
    pub(in crate::audit) fn of_event(payload: &'a Value, event_type: &str) -> Result<Self, Fault> {
        let outer = payload.as_object().filter(|outer| outer.len() == 1);
        let body = outer.and_then(|outer| outer.get(event_type)).and_then(Value::as_object);
        body.map(Self).ok_or_else(|| format!("the payload is not one {event_type} object"))
    }

    /// An object that stands by itself.
    pub(in crate::audit) fn of(value: &'a Value) -> Result<Self, Fault> {
        value.as_object().map(Self).ok_or_else(|| "no object".into())
    }

    /// A field that may be absent.
    pub(in crate::audit) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(in crate::audit) fn value(self, name: &str) -> Result<&'a Value, Fault> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }

    pub(in crate::audit) fn object(self, name: &str) -> Result<Self, Fault> {
        self.value(name)?.as_object().map(Self).ok_or_else(|| format!("{name} is not an object"))
    }

    pub(in crate::audit) fn list(self, name: &str) -> Result<Vec<Self>, Fault> {
        let items = self.value(name)?.as_array();
        let objects =
            items.and_then(|items| items.iter().map(|item| item.as_object().map(Self)).collect());
        objects.ok_or_else(|| format!("{name} is not a list of objects"))
    }

    pub(in crate::audit) fn text(self, name: &str) -> Result<&'a str, Fault> {
        self.value(name)?.as_str().ok_or_else(|| format!("{name} is not a string"))
    }

    pub(in crate::audit) fn whole(self, name: &str) -> Result<u64, Fault> {
        self.value(name)?.as_u64().ok_or_else(|| format!("{name} is not a whole number"))
    }

    pub(in crate::audit) fn flag(self, name: &str) -> Result<bool, Fault> {
        self.value(name)?.as_bool().ok_or_else(|| format!("{name} is neither true nor false"))
    }

    pub(in crate::audit) fn uuid(self, name: &str) -> Result<Uuid, Fault> {
        self.text(name)?.parse().map_err(|_| format!("{name} is not a UUID"))
    }

    /// Shares, or dollars a share.
    pub(in crate::audit) fn amount(self, name: &str) -> Result<Amount, Fault> {
        let text = self.text(name)?;
        Amount::read(text).ok_or_else(|| format!("{name} is not an amount: {text}"))
    }

    pub(in crate::audit) fn amount_or_none(self, name: &str) -> Result<Option<Amount>, Fault> {
        self.get(name).map(|_| self.amount(name)).transpose()
    }

    /// Dollars: whole cents.
    pub(in crate::audit) fn money(self, name: &str) -> Result<Amount, Fault> {
        let amount = self.amount(name)?;
        if amount.is_cents() {
            Ok(amount)
        } else {
            Err(format!("{name} has a part of a cent: {amount}"))
        }
    }

    /// A moment, in microseconds since 1970.
    pub(in crate::audit) fn time(self, name: &str) -> Result<i64, Fault> {
        let text = self.text(name)?;
        let time = chrono::DateTime::parse_from_rfc3339(text);
        time.map(|time| time.timestamp_micros())
            .map_err(|_| format!("{name} is not a time: {text}"))
    }

    pub(in crate::audit) fn time_or_none(self, name: &str) -> Result<Option<i64>, Fault> {
        self.get(name).map(|_| self.time(name)).transpose()
    }
}
