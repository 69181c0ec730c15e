//! Orders that belong together, checked as a whole when a command that touched one of them is over: an entry with its
//! exits (bracket, oto), or two exits (oco). An entry opens and never closes, an exit closes and never opens.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Streams;
use super::act::Traded;
use super::amount::Amount;
use super::order::Order;
use crate::audit::report::{Code, Findings, listed};

/// The orders of one family.
pub(super) struct Family<'a> {
    name: Uuid,
    /// What opens a position for the exits; an oco has none.
    entry: Option<&'a Order>,
    exits: Vec<&'a Order>,
    /// The shares that are reserved under the names of its exits.
    reserved: Amount,
}

impl Streams {
    /// The name of the family that an order belongs to: the order that the others were placed with.
    pub(super) fn family(&self, id: Uuid) -> Option<Uuid> {
        let order = self.orders.get(&id)?;
        match order.class() {
            "bracket" | "oco" | "oto" => Some(order.parent.unwrap_or(id)),
            _ => None,
        }
    }
}

/// Checks that what fills did to positions is the part of their orders.
pub(super) fn keep_their_parts(
    traded: &[Traded],
    streams: &Streams,
    position: u64,
    findings: &mut Findings,
) {
    for Traded { order: id, qty, opens, .. } in traded {
        let Some(order) = streams.orders.get(id) else { continue };
        let other = if *opens { order.is_exit() } else { order.is_entry() };
        findings.expect(!other, position, Code::Order, || {
            let (part, did) = if *opens { ("exit", "opens") } else { ("entry", "closes") };
            format!("order {id} is an {part} and {did} {qty} shares")
        });
    }
}

/// The families of these orders.
pub(super) fn families<'a>(touched: &BTreeSet<Uuid>, streams: &'a Streams) -> Vec<Family<'a>> {
    let names: BTreeSet<Uuid> = touched.iter().filter_map(|id| streams.family(*id)).collect();
    names.into_iter().map(|name| Family::of(name, streams)).collect()
}

impl<'a> Family<'a> {
    fn of(name: Uuid, streams: &'a Streams) -> Self {
        let parent = streams.orders.get(&name);
        let (entry, first) = match parent {
            Some(parent) if parent.class() == "oco" => (None, Some((name, parent))),
            parent => (parent, None),
        };
        let children = streams.families.get(&name).into_iter().flatten();
        let children = children.filter_map(|id| Some((*id, streams.orders.get(id)?)));
        let (mut exits, mut reserved) = (Vec::new(), Amount::ZERO);
        for (id, exit) in first.into_iter().chain(children) {
            let holding = streams.positions.get(&(exit.account, exit.instrument));
            let shares = holding.and_then(|holding| holding.reservations.get(&id));
            reserved += shares.copied().unwrap_or_default();
            exits.push(exit);
        }
        Self { name, entry, exits, reserved }
    }

    pub(super) fn check(&self, position: u64, findings: &mut Findings) {
        let Self { name, entry, exits, reserved } = self;
        if entry.is_some_and(|entry| entry.status == "rejected")
            || exits.iter().any(|exit| exit.status == "rejected")
        {
            return;
        }
        let open: Vec<&&Order> = exits.iter().filter(|exit| !exit.is_terminal()).collect();
        let mut expect = |holds: bool, what: &str| {
            findings.expect(holds, position, Code::Order, || {
                let told = |order: &&Order| {
                    format!("{} {} of {}", order.status, order.filled_qty, order.qty)
                };
                let exits = listed(exits.iter().map(told));
                let entry = listed(entry.as_ref().map(told));
                format!("family {name}: {what}; its entry is {entry}, its exits are {exits}")
            });
        };
        let number = if entry.is_some_and(|entry| entry.class() == "oto") { 1 } else { 2 };
        expect(exits.len() == number, "an exit is missing or one too many");
        expect(open.is_empty() || open.len() == number, "its exits end together");
        let held = open.iter().filter(|exit| exit.status == "held").count();
        expect(held == 0 || held == number, "its exits are held together");
        let leaves: BTreeSet<Amount> = open.iter().map(|exit| exit.leaves()).collect();
        expect(leaves.len() <= 1, "its exits are open for the same shares");
        if let Some(entry) = entry {
            let works = !entry.is_terminal();
            expect(!works || !open.is_empty(), "an entry is open without exits");
            expect(held == 0 || works, "exits wait for an entry that has ended");
            expect(
                works && held > 0 && entry.filled_qty.is_zero() || held == 0,
                "exits are held beside what has filled",
            );
            let split = std::iter::once(entry).chain(exits).any(|order| !order.splits.is_empty());
            let closed: Amount = exits.iter().map(|exit| exit.filled_qty).sum();
            // Both of them lose the same.
            let lost = exits.first().map_or(Amount::ZERO, |exit| exit.lost);
            let rest = entry.filled_qty - closed - lost;
            let right = leaves.first().is_none_or(|leaves| *leaves == rest);
            // A split counts what has filled in old shares and what is open in new ones.
            expect(held > 0 || split || right, "its exits are open for what it holds");
        }
        let needed = match leaves.first() {
            Some(leaves) if held == 0 => *leaves,
            _ => Amount::ZERO,
        };
        findings.expect(*reserved == needed, position, Code::Reservation, || {
            format!("family {name} reserves {reserved} shares, where {needed} belong")
        });
    }
}
