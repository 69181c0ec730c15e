//! What one command did, over all streams that it touched: the parts have to agree when it is over.

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use super::adjusted::Adjustments;
use super::amount::Amount;
use super::cash;
use super::ending::Ends;
use super::family::{families, keep_their_parts};
use super::margin::percent;
use super::options::{Leg, Piece, Terms};
use super::{Account, Order, Streams, fields::Fault};
use crate::audit::report::{Code, Findings, listed};

/// An execution, as its order states it.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Fill {
    pub(in crate::audit) id: Uuid,
    pub(in crate::audit) order: Uuid,
    pub(in crate::audit) account: Uuid,
    pub(in crate::audit) is_buy: bool,
    pub(in crate::audit) of_options: bool,
    pub(in crate::audit) amount: Amount,
    pub(in crate::audit) fees: Amount,
    /// What it did, instrument by instrument.
    pub(in crate::audit) pieces: Vec<Piece>,
}

/// What a position did by a fill.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Traded {
    pub(in crate::audit) fill: Uuid,
    pub(in crate::audit) order: Uuid,
    pub(in crate::audit) account: Uuid,
    pub(in crate::audit) instrument: Uuid,
    pub(in crate::audit) is_buy: bool,
    pub(in crate::audit) qty: Amount,
    pub(in crate::audit) price: Amount,
    pub(in crate::audit) cash: Amount,
    /// It opened the position or added to it.
    pub(in crate::audit) opens: bool,
    /// What the position is in, if that is an option.
    pub(in crate::audit) contract: Option<Terms>,
}

/// Cash by a corporate action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::audit) struct Moved {
    pub(in crate::audit) action: String,
    pub(in crate::audit) instrument: Uuid,
    pub(in crate::audit) amount: Amount,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} by {}", self.amount, self.instrument, self.action)
    }
}

/// What an account entered of a fill.
fn of_order((_, order, amount): &(Uuid, Uuid, Amount)) -> String {
    format!("{amount} for order {order}")
}

/// The command under way.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Act {
    /// The id of the command.
    pub(in crate::audit) command: String,
    /// The account of the row.
    pub(in crate::audit) account: Option<Uuid>,
    /// The position of the row.
    pub(in crate::audit) position: u64,
    pub(in crate::audit) fills: Vec<Fill>,
    pub(in crate::audit) settled: Vec<(Uuid, Uuid, Amount)>,
    pub(in crate::audit) charged: Vec<(Uuid, Uuid, Amount)>,
    /// What its fills freed of reservations.
    pub(in crate::audit) released: Amount,
    pub(in crate::audit) traded: Vec<Traded>,
    pub(in crate::audit) dividends_settled: Vec<Moved>,
    pub(in crate::audit) dividends_paid: Vec<Moved>,
    pub(in crate::audit) in_lieu_due: Vec<Moved>,
    pub(in crate::audit) in_lieu_paid: Vec<Moved>,
    /// Accounts that began again.
    pub(in crate::audit) resets: BTreeSet<Uuid>,
    /// Accounts that a limit on losses stopped.
    pub(in crate::audit) stopped: BTreeSet<Uuid>,
    /// The accounts of positions that were given up.
    pub(in crate::audit) given_up: Vec<Uuid>,
    /// Options that ended, and what came of that.
    pub(in crate::audit) ends: Ends,
    /// Contracts that a split made others of.
    pub(in crate::audit) adjusted: Adjustments,
    /// Orders whose reservation has to be right when the command is over.
    pub(in crate::audit) touched: BTreeSet<Uuid>,
}

impl Act {
    /// Checks a command that is over, at its last row.
    pub(super) fn close(mut self, streams: &Streams, findings: &mut Findings) -> Result<(), Fault> {
        let position = self.position;
        self.fills_agree(findings);
        self.ends.agree(streams, self.account, position, findings)?;
        self.adjusted.agree(streams, position, findings)?;
        for (what, stated, paid) in [
            ("dividends", &mut self.dividends_settled, &mut self.dividends_paid),
            ("cash in lieu", &mut self.in_lieu_due, &mut self.in_lieu_paid),
        ] {
            stated.sort();
            paid.sort();
            findings.expect(stated == paid, position, Code::Command, || {
                let (stated, paid) = (listed(stated.iter()), listed(paid.iter()));
                format!("{what}: the position's part is {stated}, the account's {paid}")
            });
        }
        let alone = self.given_up.iter().find(|account| !self.resets.contains(account));
        findings.expect(alone.is_none(), position, Code::Command, || {
            format!("a position of account {} was given up, and the account goes on", listed(alone))
        });
        for account in &self.resets {
            let mut held =
                streams.positions.range((*account, Uuid::nil())..=(*account, Uuid::max()));
            let kept = held.find(|(_, holding)| !holding.is_blank());
            findings.expect(kept.is_none(), position, Code::Command, || {
                let kept = listed(kept.map(|((_, instrument), _)| instrument));
                format!("account {account} began again and kept its position in {kept}")
            });
        }
        for id in &self.stopped {
            let left = streams.accounts.get(id).map(|account| account.reserved).unwrap_or_default();
            findings.expect(left.is_zero(), position, Code::Losses, || {
                format!("account {id} was stopped, and {left} is still reserved to open")
            });
        }
        for order in &self.touched {
            reservation(*order, streams, !self.fills.is_empty(), position, findings)?;
        }
        cash::check(&self, streams, findings)?;
        keep_their_parts(&self.traded, streams, position, findings);
        for family in families(&self.touched, streams) {
            family.check(position, findings);
        }
        Ok(())
    }

    /// What it moved of what a cash account can use: by fills with their fees and by ends of options.
    pub(super) fn moved(&self) -> Amount {
        let settled: Amount = self.settled.iter().map(|(.., amount)| *amount).sum();
        let charged: Amount = self.charged.iter().map(|(.., amount)| *amount).sum();
        let paid: Amount = self.ends.paid.iter().map(|paid| paid.amount).sum();
        settled + self.released - charged + paid
    }

    /// The fees of its sells of shares.
    pub(super) fn fees_of_sells(&self) -> Amount {
        let sells = self.fills.iter().filter(|fill| !fill.is_buy && !fill.of_options);
        sells.map(|fill| fill.fees).sum()
    }

    fn fills_agree(&self, findings: &mut Findings) {
        let position = self.position;
        for fill in &self.fills {
            let cash = if fill.is_buy { -fill.amount } else { fill.amount };
            let settled: Vec<_> = self.settled.iter().filter(|(id, ..)| *id == fill.id).collect();
            let right = matches!(&settled[..], [(_, order, amount)] if (*order, *amount) == (fill.order, cash));
            findings.expect(right, position, Code::Command, || {
                let settled = listed(settled.iter().map(|entry| of_order(entry)));
                format!(
                    "fill {} of order {} moves {cash}; the account settled {settled}",
                    fill.id, fill.order
                )
            });
            let charged: Vec<_> = self.charged.iter().filter(|(id, ..)| *id == fill.id).collect();
            let right = match &charged[..] {
                [] => fill.fees.is_zero(),
                [(_, order, amount)] => (*order, *amount) == (fill.order, fill.fees),
                _ => false,
            };
            findings.expect(right, position, Code::Command, || {
                let charged = listed(charged.iter().map(|entry| of_order(entry)));
                format!(
                    "fill {} of order {} costs {} in fees; the account was charged {charged}",
                    fill.id, fill.order, fill.fees
                )
            });
            for piece in &fill.pieces {
                self.traded_agrees(fill, piece, findings);
            }
        }
        let known = |id: &Uuid| self.fills.iter().any(|fill| fill.id == *id);
        let pieces = || self.fills.iter().flat_map(|fill| &fill.pieces);
        let strays = self.settled.iter().chain(&self.charged).map(|(id, ..)| id);
        let strays = strays.filter(|id| !known(id));
        let traded = self.traded.iter().map(|traded| &traded.fill);
        for id in strays.chain(traded.filter(|id| !pieces().any(|piece| piece.id == **id))) {
            findings.report(
                position,
                Code::Command,
                format!("fill {id} was settled, and no order has it"),
            );
        }
    }

    /// What the position took of one piece of a fill.
    fn traded_agrees(&self, fill: &Fill, piece: &Piece, findings: &mut Findings) {
        let traded: Vec<_> = self.traded.iter().filter(|traded| traded.fill == piece.id).collect();
        let same = |traded: &&Traded| {
            (traded.order, traded.account, traded.instrument, traded.is_buy, traded.price)
                == (fill.order, fill.account, piece.instrument, piece.is_buy, piece.price)
                && traded.contract == piece.contract
        };
        let qty: Amount = traded.iter().map(|traded| traded.qty).sum();
        let moved: Amount = traded.iter().map(|traded| traded.cash).sum();
        let right = traded.iter().all(same) && qty == piece.qty && moved == piece.amount;
        findings.expect(right, self.position, Code::Command, || {
            let Piece { id, qty: shares, amount, .. } = piece;
            format!("fill {id} is of {shares} for {amount}; the position took {qty} for {moved}")
        });
    }
}

/// What an order reserves when a command that touched it is over: nothing once it has ended (I5), and all that is
/// open while it works.
fn reservation(
    id: Uuid,
    streams: &Streams,
    filled: bool,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let Some(order) = streams.orders.get(&id) else {
        findings.report(
            position,
            Code::Reservation,
            format!("order {id} reserves, and was never placed"),
        );
        return Ok(());
    };
    let account = streams.accounts.get(&order.account);
    let cash =
        account.and_then(|account| account.reservations.get(&id)).copied().unwrap_or_default();
    let holding = streams.positions.get(&(order.account, order.instrument));
    let shares =
        holding.and_then(|holding| holding.reservations.get(&id)).copied().unwrap_or_default();
    if order.is_of_options() {
        of_options(id, order, cash, streams, position, findings);
        return Ok(());
    }
    if order.is_exit() {
        // Exits reserve shares alone, and together: their family is checked as a whole.
        findings.expect(cash.is_zero(), position, Code::Reservation, || {
            format!("order {id} is an exit, and reserves {cash} of the account")
        });
        return Ok(());
    }
    if order.sold_out && filled {
        let free = holding.map_or(Amount::ZERO, |holding| holding.qty.abs() - holding.reserved);
        findings.expect(free.is_zero(), position, Code::Reservation, || {
            format!("order {id} sells fewer shares than its dollars come to, with {free} free")
        });
    }
    if account.is_some_and(Account::is_margin) {
        return on_margin(id, order, (cash, shares), filled, position, findings);
    }
    let priced = (order.is_buy && order.left().is_none()) == order.reserve_price.is_some()
        || order.status == "rejected";
    findings.expect(priced, position, Code::Reservation, || {
        "a buy reserves at a price, a sell does not".into()
    });
    let (needs_cash, needs_shares) =
        match (order.is_terminal() || order.status == "held", order.is_buy) {
            (true, _) => (Amount::ZERO, Amount::ZERO),
            (false, true) => {
                let price = order.reserve_price.unwrap_or_default();
                let cost = order.left().or_else(|| order.leaves().cash_up(price));
                (cost.ok_or("the reservation has no bound")?, Amount::ZERO)
            }
            (false, false) => (Amount::ZERO, needed_shares(order, shares)),
        };
    // Fees are reserved on top, and a split never raises what is reserved.
    let enough = if needs_cash.is_zero() || !order.splits.is_empty() {
        cash.is_zero() == needs_cash.is_zero()
    } else {
        cash >= needs_cash
    };
    findings.expect(enough, position, Code::Reservation, || {
        format!(
            "order {id} is {} and reserves {cash} of cash, where {needs_cash} belongs",
            order.status
        )
    });
    findings.expect(shares == needs_shares, position, Code::Reservation, || {
        format!(
            "order {id} is {} and reserves {shares} shares, where {needs_shares} belong",
            order.status
        )
    });
    Ok(())
}

/// An order of options sets aside all that is open of what it closes, and money if it opens anything.
fn of_options(
    id: Uuid,
    order: &Order,
    money: Amount,
    streams: &Streams,
    position: u64,
    findings: &mut Findings,
) {
    let idle = order.is_terminal();
    let leaves = if idle { Amount::ZERO } else { order.leaves() };
    let set_aside = |instrument: Uuid| {
        let holding = streams.positions.get(&(order.account, instrument));
        let own = holding.and_then(|holding| holding.reservations.get(&id));
        own.copied().unwrap_or_default()
    };
    let closes: Vec<(Uuid, Option<Amount>)> = match &order.legs[..] {
        [] if order.opens_options() => vec![(order.instrument, Some(Amount::ZERO))],
        [] => vec![(order.instrument, Some(leaves))],
        legs => {
            let part =
                |leg: &Leg| if leg.opens() { Some(Amount::ZERO) } else { leg.qty_of(leaves) };
            legs.iter().map(|leg| (leg.instrument, part(leg))).collect()
        }
    };
    let right = closes.iter().all(|(instrument, needed)| Some(set_aside(*instrument)) == *needed);
    let opens = order.opens_options();
    let paid = if idle { money.is_zero() } else { money.sign() > 0 || !opens };
    findings.expect(right && paid && money.sign() >= 0, position, Code::Reservation, || {
        let told = |(instrument, needed): &(Uuid, Option<Amount>)| {
            let needed = needed.map_or("more than there is".to_owned(), |qty| qty.to_string());
            format!("{needed} of {instrument}, of which it set aside {}", set_aside(*instrument))
        };
        format!(
            "order {id} of options is {} with {leaves} open, {}, and reserves {money}; it closes {}",
            order.status,
            if opens { "opens" } else { "opens nothing" },
            listed(closes.iter().map(told))
        )
    });
}

/// The shares that a sell which works has to have set aside, `shares` as it has.
fn needed_shares(order: &Order, shares: Amount) -> Amount {
    match order.sells_for_dollars() {
        None => order.leaves(),
        Some((Some(open), _)) => open,
        // Free shares may be fewer than its dollars come to.
        Some((None, at_most)) => at_most.filter(|most| shares > *most).unwrap_or(shares),
    }
}

/// The same in a margin account: shares that it closes are set aside, and initial margin for the others. A fill of
/// another order may have taken of the shares: then it has at least something to open with.
fn on_margin(
    id: Uuid,
    order: &Order,
    (cash, shares): (Amount, Amount),
    filled: bool,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let idle = order.is_terminal() || order.status == "held";
    // Of a notional order it is dollars that are open.
    // Nothing says how many shares one that sells for dollars had before its first fill, so how many others have taken.
    let untold = matches!(order.sells_for_dollars(), Some((None, _)));
    let open = match order.sells_for_dollars() {
        Some(_) => needed_shares(order, shares),
        None => order.left().unwrap_or(order.leaves()),
    };
    let opens = if idle { Amount::ZERO } else { open - shares };
    let least = match order.reserve_price.filter(|_| !filled && order.splits.is_empty()) {
        Some(price) => percent(opens.cash_up(price).ok_or("the reservation has no bound")?, "0.5")?,
        None => Amount::ZERO,
    };
    let fits = untold && !idle || opens.is_zero() == cash.is_zero();
    let right = fits && cash >= least && (!idle || shares.is_zero());
    findings.expect(right && opens.sign() >= 0, position, Code::Reservation, || {
        format!(
            "order {id} is {} with {} open, and reserves {shares} shares and {cash} of margin, where {least} belongs",
            order.status,
            order.leaves()
        )
    });
    Ok(())
}
