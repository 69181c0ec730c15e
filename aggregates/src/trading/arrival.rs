//! What an order does the moment it arrives: one rule, for the engine that proposes it and for a preview that tells
//! it in advance.

use crate::market::Evidence;
use crate::money::{Price, Quantity};
use crate::order::{CancelReason, LegExecution, TimeInForce};

/// What the market holds out to one order that arrives: the touch of a standing quote that may fill it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Dollars a share.
    pub price: Price,
    /// Shares that are left at this price.
    pub left: Quantity,
    /// The quote; of an mleg order that of one leg.
    pub evidence: Evidence,
    /// The legs of an mleg order, whose net price this is; none of others.
    pub legs: Vec<LegExecution>,
}

/// What an order does next on its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It takes so many shares, and is looked at once more.
    Fill(Quantity),
    /// It may not rest: what is open of it ends.
    End(CancelReason),
    /// It rests.
    Rest,
}

/// What an order with `leaves` shares open may take of `left`, in a margin account or not and for dollars or not: one that
/// names whole shares takes whole ones of a margin account, since it may open a short position or leave one, which is in
/// whole shares. One for dollars does neither.
pub fn takeable(
    (is_margin, for_dollars): (bool, bool),
    leaves: Quantity,
    left: Quantity,
) -> Quantity {
    let qty = left.min(leaves);
    if is_margin && !for_dollars && leaves.is_whole() { qty.whole_part() } else { qty }
}

/// What an order with `leaves` shares open does that can have `left` of them at once: none without an offer.
pub fn arrival(time_in_force: TimeInForce, leaves: Quantity, left: Quantity) -> Arrival {
    let qty = left.min(leaves);
    let whole = time_in_force != TimeInForce::Fok || qty == leaves;
    match time_in_force {
        _ if qty.is_positive() && whole => Arrival::Fill(qty),
        TimeInForce::Ioc => Arrival::End(CancelReason::ImmediateOrCancel),
        TimeInForce::Fok => Arrival::End(CancelReason::FillOrKill),
        _ => Arrival::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_shares_of_a_margin_account_fill_in_whole_ones() {
        let shares = |n: &str| n.parse::<Quantity>().expect("a quantity");
        for (order, leaves, left, takes) in [
            ((true, false), "10", "2.5", "2"),
            ((true, false), "10", "0.9", "0"),
            ((true, false), "10", "12.5", "10"),
            ((true, false), "1.5", "1.2", "1.2"),
            ((false, false), "10", "2.5", "2.5"),
            ((true, true), "10", "0.9", "0.9"),
        ] {
            assert_eq!(takeable(order, shares(leaves), shares(left)), shares(takes));
        }
    }

    #[test]
    fn an_order_takes_what_there_is_and_only_immediate_ones_end() {
        let shares = |n: &str| n.parse::<Quantity>().expect("a quantity");
        let (none, four, ten) = (shares("0"), shares("4"), shares("10"));
        for (time_in_force, at_rest) in [
            (TimeInForce::Day, Arrival::Rest),
            (TimeInForce::Gtc, Arrival::Rest),
            (TimeInForce::Ioc, Arrival::End(CancelReason::ImmediateOrCancel)),
            (TimeInForce::Fok, Arrival::End(CancelReason::FillOrKill)),
        ] {
            assert_eq!(arrival(time_in_force, ten, none), at_rest);
            assert_eq!(arrival(time_in_force, four, ten), Arrival::Fill(four));
            let part = arrival(time_in_force, ten, four);
            let all_or_none = time_in_force == TimeInForce::Fok;
            assert_eq!(part, if all_or_none { at_rest } else { Arrival::Fill(four) });
        }
    }
}
