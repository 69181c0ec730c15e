//! The orders that have arrived and were not yet evaluated against the standing quote, in the order of arrival.
//!
//! A log that is recovered without a tape keeps all its open orders here, so every change of it costs O(log n).

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::OrderId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Orders by the event by which each arrived: an order waits at most once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    in_order: BTreeSet<(u64, OrderId)>,
    /// The event by which each of them arrived.
    of: BTreeMap<OrderId, u64>,
}

impl Arrivals {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// Whether the order waits.
    pub fn contains(&self, order_id: OrderId) -> bool {
        self.of.contains_key(&order_id)
    }

    /// The orders that wait, the first arrival first.
    pub fn iter(&self) -> impl Iterator<Item = OrderId> {
        self.in_order.iter().map(|(_, order_id)| *order_id)
    }

    /// The order arrives by the event at `position`: its earlier arrival counts no more.
    pub(super) fn insert(&mut self, position: u64, order_id: OrderId) {
        if let Some(before) = self.of.insert(order_id, position) {
            self.in_order.remove(&(before, order_id));
        }
        self.in_order.insert((position, order_id));
    }

    /// The order waits no more.
    pub(super) fn remove(&mut self, order_id: OrderId) {
        if let Some(position) = self.of.remove(&order_id) {
            self.in_order.remove(&(position, order_id));
        }
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Stored as the pairs of event and order, in their order.
impl Serialize for Arrivals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.in_order.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Arrivals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let in_order = BTreeSet::<(u64, OrderId)>::deserialize(deserializer)?;
        let mut arrivals = Self::default();
        for (position, order_id) in in_order {
            arrivals.insert(position, order_id);
        }
        Ok(arrivals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn an_order_waits_once_and_at_its_latest_arrival() {
        let [first, second] = [1, 2].map(|n| OrderId::new(Uuid::from_u128(n)));
        let mut arrivals = Arrivals::default();
        arrivals.insert(1, first);
        arrivals.insert(2, second);
        arrivals.insert(3, first);
        assert_eq!(arrivals.iter().collect::<Vec<_>>(), [second, first]);
        let stored = serde_json::to_value(&arrivals).expect("pairs");
        assert_eq!(stored, serde_json::json!([[2, second], [3, first]]));
        assert_eq!(serde_json::from_value::<Arrivals>(stored).expect("pairs"), arrivals);
        arrivals.remove(first);
        assert!(!arrivals.contains(first) && arrivals.contains(second));
        arrivals.remove(second);
        assert!(arrivals.is_empty());
        assert_eq!(arrivals, Arrivals::default());
    }
}
