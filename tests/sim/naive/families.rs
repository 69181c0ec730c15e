//! Orders that belong together: what holds of them between commits.

use std::collections::BTreeMap;

use super::{Amount, Naive, Order, hold};

impl Naive {
    /// Exits are open together and for the same shares, which one of them reserves; an entry is open with them alone.
    pub(super) fn families_at_rest(&self) -> Result<(), String> {
        let mut families: BTreeMap<&str, Vec<(&str, &Order)>> = BTreeMap::new();
        for (id, order) in &self.orders {
            if let Some(family) = &order.family {
                families.entry(family).or_default().push((id, order));
            }
        }
        for orders in families.values() {
            let (entry, exits): (Vec<_>, Vec<_>) =
                orders.iter().partition(|(_, order)| order.entry);
            let open: Vec<_> = exits.iter().filter(|(_, order)| !order.ended).collect();
            hold("no exit is alone", open.is_empty() || open.len() == exits.len())?;
            let leaves: Vec<Amount> =
                open.iter().map(|(_, order)| order.qty - order.filled).collect();
            hold("exits are open for the same", leaves.iter().all(|it| *it == leaves[0]))?;
            let held = open.iter().filter(|(_, order)| order.held).count();
            hold("exits are held together", held == 0 || held == open.len())?;
            if let Some((_, entry)) = entry.first() {
                hold("an entry has its exits", entry.ended || !open.is_empty())?;
                hold(
                    "exits wait for what may fill",
                    held == 0 || !entry.ended && entry.fills == 0,
                )?;
            }
            let reserved: Amount = exits
                .iter()
                .flat_map(|(id, _)| self.positions.values().filter_map(|it| it.reserved.get(*id)))
                .sum();
            let needed = leaves.first().copied().filter(|_| held == 0).unwrap_or(0);
            hold("exits reserve once what they are open for", reserved == needed)?;
        }
        Ok(())
    }
}
