//! The state machine of an order: one table, and a function that reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an order stands. A resting order is `accepted`; a replaced one keeps its id and state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Waits for its parent's fill.
    Held,
    /// Works in the book.
    Accepted,
    /// Its stop was reached; it has not filled yet.
    Triggered,
    /// Some of it has filled, the rest works.
    PartiallyFilled,
    /// All of it has filled.
    Filled,
    /// Ended by its owner or by a rule.
    Canceled,
    /// Ended by time.
    Expired,
    /// Refused by the business; never worked.
    Rejected,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Accepted,
        Self::Triggered,
        Self::PartiallyFilled,
        Self::Filled,
        Self::Canceled,
        Self::Expired,
        Self::Rejected,
    ];

    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Accepted => "accepted",
            Self::Triggered => "triggered",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// Nothing happens to the order any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Expired | Self::Rejected)
    }
}

/// What can happen to an order, as far as its state is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// Taken to work.
    Place,
    /// Taken, to wait for a parent.
    PlaceHeld,
    /// Refused by the business.
    Reject,
    /// The parent has filled.
    Activate,
    /// The stop was reached.
    Trigger,
    /// A fill that leaves some open.
    FillPart,
    /// The fill that leaves nothing open.
    FillRest,
    /// New quantity or prices, by the owner.
    Replace,
    /// New quantity and prices, by a split.
    Adjust,
    /// New quantity, by a fill of an order that it belongs with.
    Resize,
    /// Ended by the owner or by a rule.
    Cancel,
    /// Ended by time.
    Expire,
}

impl Happening {
    /// Every happening.
    pub const ALL: [Self; 12] = [
        Self::Place,
        Self::PlaceHeld,
        Self::Reject,
        Self::Activate,
        Self::Trigger,
        Self::FillPart,
        Self::FillRest,
        Self::Replace,
        Self::Adjust,
        Self::Resize,
        Self::Cancel,
        Self::Expire,
    ];

    /// Whether it makes the order, rather than changing it.
    pub const fn begins(self) -> bool {
        matches!(self, Self::Place | Self::PlaceHeld | Self::Reject)
    }
}

/// Everything that may happen: from, what, to. `None` is an order that does not exist yet.
/// Any other pair of state and happening is an error.
#[rustfmt::skip]
pub const TABLE: &[(Option<OrderStatus>, Happening, OrderStatus)] = {
    use Happening::*;
    use OrderStatus::*;
    &[
        (None,                  Place,     Accepted),
        (None,                  PlaceHeld, Held),
        (None,                  Reject,    Rejected),

        (Some(Held),            Activate,  Accepted),
        (Some(Held),            Replace,   Held),
        (Some(Held),            Adjust,    Held),
        (Some(Held),            Resize,    Held),
        (Some(Held),            Cancel,    Canceled),
        (Some(Held),            Expire,    Expired),

        (Some(Accepted),        Trigger,   Triggered),
        (Some(Accepted),        FillPart,  PartiallyFilled),
        (Some(Accepted),        FillRest,  Filled),
        (Some(Accepted),        Replace,   Accepted),
        (Some(Accepted),        Adjust,    Accepted),
        (Some(Accepted),        Resize,    Accepted),
        (Some(Accepted),        Cancel,    Canceled),
        (Some(Accepted),        Expire,    Expired),

        (Some(Triggered),       FillPart,  PartiallyFilled),
        (Some(Triggered),       FillRest,  Filled),
        (Some(Triggered),       Replace,   Triggered),
        (Some(Triggered),       Adjust,    Triggered),
        (Some(Triggered),       Resize,    Triggered),
        (Some(Triggered),       Cancel,    Canceled),
        (Some(Triggered),       Expire,    Expired),

        (Some(PartiallyFilled), FillPart,  PartiallyFilled),
        (Some(PartiallyFilled), FillRest,  Filled),
        (Some(PartiallyFilled), Replace,   PartiallyFilled),
        (Some(PartiallyFilled), Adjust,    PartiallyFilled),
        (Some(PartiallyFilled), Resize,    PartiallyFilled),
        (Some(PartiallyFilled), Cancel,    Canceled),
        (Some(PartiallyFilled), Expire,    Expired),
    ]
};

/// The state after `happening` in `from`, or `None` if that cannot be.
pub fn next(from: Option<OrderStatus>, happening: Happening) -> Option<OrderStatus> {
    TABLE.iter().find(|(state, what, _)| *state == from && *what == happening).map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_terminal_state_and_only_placing_begins() {
        for happening in Happening::ALL {
            for state in OrderStatus::ALL.into_iter().filter(|state| state.is_terminal()) {
                assert_eq!(next(Some(state), happening), None, "{state:?} {happening:?}");
            }
            let begins = happening.begins();
            assert_eq!(next(None, happening).is_some(), begins, "{happening:?}");
            for state in OrderStatus::ALL {
                assert!(
                    !(begins && next(Some(state), happening).is_some()),
                    "{state:?} {happening:?}"
                );
            }
        }
    }

    #[test]
    fn every_pair_stands_at_most_once_and_every_open_state_can_end() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(
                !TABLE[..i].iter().any(|other| (other.0, other.1) == (row.0, row.1)),
                "{row:?}"
            );
        }
        for state in OrderStatus::ALL.into_iter().filter(|state| !state.is_terminal()) {
            assert_eq!(next(Some(state), Happening::Cancel), Some(OrderStatus::Canceled));
            assert_eq!(next(Some(state), Happening::Expire), Some(OrderStatus::Expired));
        }
        assert_eq!(TABLE.len(), 31);
    }
}
