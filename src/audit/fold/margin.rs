//! Margin, computed again: the standing that a decision on a margin account says it relied on, and whether it permits
//! what was decided.
//!
//! A standing is checked before its event is applied: it has to name everything that the account holds then, and no
//! other thing; the figures follow from cash, holdings and the prices that it names.

use uuid::Uuid;

use super::Streams;
use super::act::{Act, Fill};
use super::amount::Amount;
use super::fields::{Fault, Fields};
use crate::audit::report::{Code, Findings};

/// What backs and what has to back the holdings of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    equity: Amount,
    initial: Amount,
    maintenance: Amount,
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
    let Some(account) = streams.accounts.get(&id).filter(|account| account.kind == "margin") else {
        return Ok(());
    };
    let position = act.position;
    let figures = match body.get("margin") {
        Some(_) => {
            let told = body.object("margin")?;
            let computed = figures(streams, id, account.cash, told, position, findings)?;
            let stated =
                [told.money("equity")?, told.money("initial")?, told.money("maintenance")?];
            let Figures { equity, initial, maintenance } = computed;
            findings.expect(stated == [equity, initial, maintenance], position, Code::Margin, || {
                format!(
                    "equity, initial and maintenance margin are stated as {stated:?}; they are {computed:?}"
                )
            });
            Some(computed)
        }
        None => None,
    };
    let held = |order: Uuid| account.reservations.get(&order).copied().unwrap_or_default();
    let (asked, opens) = match event_type {
        "CashWithdrawn" => (body.money("amount")?, false),
        "CashReserved" => (body.money("amount")?, true),
        "ReservationsAdjusted" => {
            // What a fill passes on was reserved before.
            if !act.fills.is_empty() {
                return Ok(());
            }
            let mut more = Amount::ZERO;
            for part in body.list("changes")? {
                more += part.money("to")? - held(part.uuid("order_id")?);
            }
            (more, true)
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

/// What a fill takes of margin and fees beyond what it closes.
fn needed(streams: &Streams, account: Uuid, fill: &Fill) -> Result<Amount, Fault> {
    let held = streams.positions.get(&(account, fill.instrument)).map_or(Amount::ZERO, |p| p.qty);
    let against = if fill.is_buy { held.sign() < 0 } else { held.sign() > 0 };
    let opens = if against { fill.qty - fill.qty.min(held.abs()) } else { fill.qty };
    if opens.is_zero() {
        return Ok(Amount::ZERO);
    }
    let cost = opens.cash_up(fill.price).ok_or("the fill has no bound")?;
    Ok(percent(cost, "0.5")? + fill.fees)
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
    let mut named = Vec::new();
    for holding in told.list("holdings")? {
        let (qty, price) = (holding.amount("qty")?, holding.amount("price")?);
        named.push((holding.uuid("instrument_id")?, qty));
        holding.time("at")?;
        holding.text("source")?;
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
    let range = (account, Uuid::nil())..=(account, Uuid::max());
    let held: Vec<(Uuid, Amount)> = streams
        .positions
        .range(range)
        .filter(|(_, holding)| !holding.qty.is_zero())
        .map(|((_, instrument), holding)| (*instrument, holding.qty))
        .collect();
    named.sort();
    findings.expect(named == held, position, Code::Margin, || {
        format!("the standing names {named:?}, and {held:?} are held")
    });
    Ok(figures)
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
