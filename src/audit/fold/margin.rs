//! Margin, computed again: the standing that a decision on a margin account says it relied on, and whether it permits
//! what was decided.
//!
//! A standing is checked before its event is applied: it has to name everything that the account holds then, and no
//! other thing; the figures follow from cash, holdings and the prices that it names.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use super::Streams;
use super::account::Account;
use super::act::{Act, Fill};
use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::options::Terms;
use super::requirement::{self, Book};
use crate::audit::report::{Code, Findings, listed};

/// What backs and what has to back the holdings of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    equity: Amount,
    initial: Amount,
    maintenance: Amount,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equity, initial, maintenance } = self;
        write!(
            f,
            "an equity of {equity}, an initial margin of {initial} and a maintenance margin of {maintenance}"
        )
    }
}

/// Checks what an event of a margin account relied on, before it is applied.
pub(super) fn check(
    streams: &Streams,
    id: Uuid,
    event_type: &str,
    body: Fields<'_>,
    act: &Act,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let Some(account) = streams.accounts.get(&id) else { return Ok(()) };
    let position = act.position;
    if !account.is_margin() {
        let filled = !act.fills.is_empty();
        return secured(streams, (id, account), (event_type, filled), body, position, findings);
    }
    // What ends with an option is told as it is afterwards.
    let figures = match body.get("margin").filter(|_| event_type != "OptionSettled") {
        Some(_) => {
            let told = body.object("margin")?;
            Some(standing(streams, (id, account.cash), told, position, findings)?)
        }
        None => None,
    };
    let held = |order: Uuid| account.reservations.get(&order).copied().unwrap_or_default();
    let (asked, opens) = match event_type {
        "CashWithdrawn" => (body.money("amount")?, false),
        "CashReserved" => (body.money("amount")?, opens_by(streams, body)?),
        "ReservationsAdjusted" => {
            // What a fill passes on was reserved before.
            if !act.fills.is_empty() {
                return Ok(());
            }
            let (mut more, mut opens) = (Amount::ZERO, false);
            for part in body.list("changes")? {
                more += part.money("to")? - held(part.uuid("order_id")?);
                opens |= opens_by(streams, part)?;
            }
            (more, opens)
        }
        "FillSettled" => {
            let fill = body.uuid("fill_id")?;
            let fill = act.fills.iter().find(|known| known.id == fill);
            let needed = fill.map(|fill| needed(streams, id, fill)).transpose()?;
            (needed.unwrap_or_default() - body.money("released")?, false)
        }
        _ => return Ok(()),
    };
    if asked.sign() <= 0 {
        return Ok(());
    }
    let Some(Figures { equity, initial, maintenance }) = figures else {
        findings.report(
            position,
            Code::Margin,
            format!("{event_type} takes {asked} of margin and does not say how the account stood"),
        );
        return Ok(());
    };
    let free = equity - initial - account.reserved;
    findings.expect(asked <= free, position, Code::Margin, || {
        format!("{event_type} takes {asked} of margin, and {free} was free")
    });
    findings.expect(!opens || equity >= maintenance, position, Code::Margin, || {
        format!(
            "an order opens with an equity of {equity}, where {maintenance} has to back what is held"
        )
    });
    Ok(())
}

/// Whether what an order reserves may open something: an order of options that only closes may reserve too.
fn opens_by(streams: &Streams, body: Fields<'_>) -> Result<bool, Fault> {
    let order = streams.orders.get(&body.uuid("order_id")?);
    Ok(order.is_none_or(|order| !order.is_of_options() || order.opens_options()))
}

/// What a cash account gives of its money: never what secures its short puts.
fn secured(
    streams: &Streams,
    (id, account): (Uuid, &Account),
    (event_type, filled): (&str, bool),
    body: Fields<'_>,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let amount = match event_type {
        "CashReserved" | "CashWithdrawn" => body.money("amount")?,
        // What a fill or a split changes was reserved before.
        "ReservationsAdjusted" if !filled && body.get("action_id").is_none() => {
            let more = |part: &Fields<'_>| -> Result<Amount, Fault> {
                Ok(part.money("to")? - part.money("from")?)
            };
            body.list("changes")?.iter().map(more).sum::<Result<_, Fault>>()?
        }
        _ => return Ok(()),
    };
    if amount.sign() <= 0 {
        return Ok(());
    }
    let mut collateral = Amount::ZERO;
    for (_, holding) in streams.positions.range((id, Uuid::nil())..=(id, Uuid::max())) {
        let put = holding.contract.as_ref().filter(|terms| !terms.is_call);
        if let Some(terms) = put.filter(|_| holding.qty.sign() < 0) {
            collateral += terms.exercise(holding.qty.abs()).ok_or("a strike has no bound")?;
        }
    }
    let free = account.cash - account.reserved - collateral;
    findings.expect(amount <= free, position, Code::Account, || {
        format!("{event_type} takes {amount} of {free}, beside {collateral} that secure short puts")
    });
    Ok(())
}

/// What a fill takes of margin and fees beyond what it closes.
fn needed(streams: &Streams, account: Uuid, fill: &Fill) -> Result<Amount, Fault> {
    // What an order of options takes depends on all options on what they are on, before and after.
    let Some(piece) = fill.pieces.first().filter(|_| !fill.of_options) else {
        return Ok(Amount::ZERO);
    };
    let held = streams.positions.get(&(account, piece.instrument)).map_or(Amount::ZERO, |p| p.qty);
    let against = if piece.is_buy { held.sign() < 0 } else { held.sign() > 0 };
    let opens = if against { piece.qty - piece.qty.min(held.abs()) } else { piece.qty };
    if opens.is_zero() {
        return Ok(Amount::ZERO);
    }
    let cost = opens.cash_up(piece.price).ok_or("the fill has no bound")?;
    Ok(percent(cost, "0.5")? + fill.fees)
}

/// Checks how an account with this cash is told to stand.
pub(super) fn standing(
    streams: &Streams,
    (id, cash): (Uuid, Amount),
    told: Fields<'_>,
    position: u64,
    findings: &mut Findings,
) -> Result<Figures, Fault> {
    let computed = figures(streams, id, cash, told, position, findings)?;
    let stated = Figures {
        equity: told.money("equity")?,
        initial: told.money("initial")?,
        maintenance: told.money("maintenance")?,
    };
    findings.expect(stated == computed, position, Code::Margin, || {
        format!("the account is stated to have {stated}; it has {computed}")
    });
    Ok(computed)
}

fn figures(
    streams: &Streams,
    account: Uuid,
    cash: Amount,
    told: Fields<'_>,
    position: u64,
    findings: &mut Findings,
) -> Result<Figures, Fault> {
    let mut figures = Figures { equity: cash, ..Figures::default() };
    let (mut named, mut books) = (Vec::new(), BTreeMap::<Uuid, Book>::new());
    for holding in told.list("holdings")? {
        let (qty, price) = (holding.amount("qty")?, holding.amount("price")?);
        named.push((holding.uuid("instrument_id")?, qty));
        holding.time("at")?;
        holding.text("source")?;
        let instrument = holding.uuid("instrument_id")?;
        if let Some(terms) = Terms::of(holding, "contract")? {
            books.entry(terms.underlying).or_default().options.push((terms, qty, price));
            continue;
        }
        books.entry(instrument).or_default().underlying = Some((qty, price));
        let value = qty.cash(price).ok_or("a holding is worth more than there is")?;
        let size = value.abs();
        figures.equity += value;
        figures.initial += percent(size, "0.5")?;
        figures.maintenance += match (qty.sign() < 0, price >= exactly("5")?) {
            (false, _) => percent(size, "0.25")?,
            (true, true) => per_share(qty, "5")?.max(percent(size, "0.3")?),
            (true, false) => per_share(qty, "2.5")?.max(size),
        };
    }
    let own = (figures.initial, figures.maintenance);
    let (stated, kept) = (told.money("initial")?, told.money("maintenance")?);
    let options = stated - own.0;
    let secured = told.get("secured_puts").is_some() && told.flag("secured_puts")?;
    let range = requirement::range(books.values(), secured)?;
    let short = range.short;
    let right = range.contains(options) && kept - own.1 == options && (!secured || short);
    findings.expect(right, position, Code::Margin, || {
        let kept = kept - own.1;
        let short = if secured && !short { "; puts are stated as secured, and none is short" } else { "" };
        format!(
            "the options need an initial margin of {options} and a maintenance margin of {kept} by what is stated, \
             where {range} belongs as each of them{short}"
        )
    });
    (figures.initial, figures.maintenance) = (own.0 + options, own.1 + options);
    let held = priced(streams, account);
    named.sort();
    findings.expect(named == held, position, Code::Margin, || {
        format!("the standing names {}, and {} are held", holdings(&named), holdings(&held))
    });
    Ok(figures)
}

/// What an account holds that has to have a price, by instrument: also what its short options are on, if none of that is
/// held.
pub(super) fn priced(streams: &Streams, account: Uuid) -> Vec<(Uuid, Amount)> {
    let range = (account, Uuid::nil())..=(account, Uuid::max());
    let held = || streams.positions.range(range.clone()).filter(|(_, held)| !held.qty.is_zero());
    let short = held().filter(|(_, holding)| holding.qty.sign() < 0);
    let on = short.filter_map(|(_, holding)| Some(holding.contract.as_ref()?.underlying));
    let mut priced: BTreeMap<Uuid, Amount> = on.map(|id| (id, Amount::ZERO)).collect();
    priced.extend(held().map(|((_, instrument), holding)| (*instrument, holding.qty)));
    priced.into_iter().collect()
}

/// Holdings, as a problem tells them.
pub(super) fn holdings(held: &[(Uuid, Amount)]) -> String {
    listed(held.iter().map(|(instrument, qty)| format!("{qty} of {instrument}")))
}

fn exactly(text: &str) -> Result<Amount, Fault> {
    Amount::read(text).ok_or_else(|| format!("{text} is no amount"))
}

/// A part of an amount, up to the cent.
pub(super) fn percent(amount: Amount, part: &str) -> Result<Amount, Fault> {
    amount.cash_up(exactly(part)?).ok_or_else(|| "an amount has no bound".into())
}

fn per_share(qty: Amount, dollars: &str) -> Result<Amount, Fault> {
    qty.abs().cash_up(exactly(dollars)?).ok_or_else(|| "an amount has no bound".into())
}
