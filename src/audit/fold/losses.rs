//! Limits on losses, reckoned again: what an account was worth when its day began and when it was stopped, what it might
//! lose of that, and that nothing was left then which could open.
//!
//! An event is checked before it is applied: its holdings have to be all that the account holds then. How high the equity
//! was between two events nobody can tell who has the log alone: that it was no lower than was told before is checked
//! here, the rest by running the engine again.

use std::fmt;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Streams;
use super::account::Account;
use super::act::Act;
use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::margin::{holdings, priced};
use super::options::{Terms, shares_of};
use crate::audit::report::{Code, Findings, listed};

/// What the losses of an account are counted from.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Losses {
    pub(in crate::audit) day: String,
    pub(in crate::audit) opening: Amount,
    pub(in crate::audit) peak: Amount,
    pub(in crate::audit) stop: Option<Stop>,
}

/// The limit that stopped an account.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Stop {
    pub(in crate::audit) limit: String,
    pub(in crate::audit) base: Amount,
    pub(in crate::audit) max_loss: Amount,
    pub(in crate::audit) equity: Amount,
    pub(in crate::audit) before: String,
    pub(in crate::audit) at: String,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, opening, peak, stop } = self;
        write!(
            f,
            "the day {day} with an equity of {opening} at its begin and of {peak} at the highest"
        )?;
        match stop {
            Some(stop) => write!(f, ", stopped by a {stop}"),
            None => f.write_str(", not stopped"),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, base, max_loss, equity, before, at } = self;
        write!(
            f,
            "{limit} of {max_loss} from {base}, at an equity of {equity} at {at}, {before} before"
        )
    }
}

impl Losses {
    /// As the view has it.
    pub(in crate::audit) fn shown(&self) -> Value {
        let mut shown = json!({
            "day": self.day, "opening": self.opening.dollars(), "peak": self.peak.dollars(),
        });
        if let Some(stop) = &self.stop {
            shown["stop"] = json!({
                "limit": stop.limit, "base": stop.base.dollars(), "max_loss": stop.max_loss.dollars(),
                "equity": stop.equity.dollars(), "before": stop.before, "at": stop.at,
            });
        }
        shown
    }
}

impl Account {
    /// A limit of the policy.
    fn limit(&self, name: &str) -> Option<Amount> {
        self.policy.get(name).and_then(Value::as_str).and_then(Amount::read)
    }

    pub(super) fn limits_losses(&self) -> bool {
        let names = ["max_daily_loss", "max_daily_loss_pct", "max_drawdown_pct"];
        names.iter().any(|name| self.limit(name).is_some())
    }

    /// What may be lost of these dollars by a limit.
    fn may_lose(&self, limit: &str, base: Amount) -> Option<Amount> {
        let part = |name| self.limit(name).and_then(|percent| base.part_down(percent));
        match limit {
            "drawdown" => part("max_drawdown_pct"),
            _ => [self.limit("max_daily_loss"), part("max_daily_loss_pct")]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// Money came in, or went out.
    pub(super) fn move_losses(&mut self, amount: Amount) {
        if let Some(losses) = &mut self.losses {
            losses.opening += amount;
            losses.peak += amount;
        }
    }

    /// The count of its losses ends; what stopped it by them does too, where the account begins again.
    pub(super) fn end_losses(&mut self, begins_again: bool) {
        let stop = self.losses.take().and_then(|losses| losses.stop);
        if let Some(stop) = stop.filter(|_| begins_again) {
            self.set_state(&stop.before);
        }
    }

    pub(super) fn set_state(&mut self, state: &str) {
        state.clone_into(&mut self.trading_state);
        self.policy["trading_state"] = state.into();
    }

    /// Takes an event of the count.
    pub(super) fn count_losses(
        &mut self,
        event_type: &str,
        body: Fields<'_>,
        act: &mut Act,
    ) -> Result<(), Fault> {
        match event_type {
            "TradingDayBegan" => {
                let stop = self.losses.take().and_then(|losses| losses.stop);
                let (opening, peak) = (body.money("equity")?, body.money("peak")?);
                let day = body.text("day")?.to_owned();
                self.losses = Some(Losses { day, opening, peak, stop });
            }
            "LossLimitReached" => {
                let state = self.trading_state.clone();
                self.set_state(body.text("trading_state")?);
                if let Some(losses) = &mut self.losses {
                    let before = losses.stop.take().map_or(state, |stop| stop.before);
                    losses.peak = body.money("peak")?;
                    losses.stop = Some(Stop {
                        limit: body.text("limit")?.to_owned(),
                        base: body.money("base")?,
                        max_loss: body.money("max_loss")?,
                        equity: body.money("equity")?,
                        before,
                        at: body.text("at")?.to_owned(),
                    });
                }
                act.stopped.extend(act.account);
            }
            _ => {
                self.set_state(body.text("trading_state")?);
                if let Some(losses) = &mut self.losses {
                    losses.stop = None;
                }
            }
        }
        Ok(())
    }
}

/// Checks an event of the count before it is applied.
pub(super) fn check(
    streams: &Streams,
    id: Uuid,
    event_type: &str,
    body: Fields<'_>,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let Some(account) = streams.accounts.get(&id) else { return Ok(()) };
    let mut expect = |right: bool, what: String| {
        findings.expect(right, position, Code::Losses, || what);
    };
    let losses = account.losses.as_ref();
    match event_type {
        "LossLimitLifted" => {
            let stop = losses.and_then(|losses| losses.stop.as_ref());
            let (state, day) = (body.text("trading_state")?, body.text("day")?);
            let right = losses.is_some_and(|losses| losses.day.as_str() < day)
                && stop.is_some_and(|stop| stop.limit == "daily_loss" && stop.before == state);
            expect(
                right,
                format!(
                    "on {day} a stop is lifted to {state}; the stop is {}, of {}",
                    listed(stop),
                    listed(losses)
                ),
            );
            return Ok(());
        }
        "TradingDayBegan" | "LossLimitReached" => {}
        _ => return Ok(()),
    }
    let (equity, peak) = (body.money("equity")?, body.money("peak")?);
    let (worth, due, named, held) = worth(streams, id, account.cash, body)?;
    let what =
        format!("the holdings are told as {}, and are {}", holdings(&named), holdings(&held));
    expect(named == held, what);
    let told = body.money("dividends_due")?;
    expect(told == due, format!("dividends of {told} are told as due, and {due} are"));
    expect(equity == worth, format!("the equity is told as {equity}, and is {worth}"));
    let known = losses.map(|losses| losses.peak);
    expect(
        known.is_none_or(|known| known <= peak),
        format!("the highest equity is told as {peak}, after {}", listed(known)),
    );
    if event_type == "TradingDayBegan" {
        let day = body.text("day")?;
        let next = losses.is_none_or(|losses| losses.day.as_str() < day);
        expect(account.limits_losses(), "a day is counted from that no limit needs".into());
        expect(next, format!("the day {day} begins after {}", listed(losses)));
        let begins = losses.is_some() || peak == equity;
        expect(begins && equity <= peak, format!("a count begins at {equity} and at {peak}"));
        return Ok(());
    }
    let limit = body.text("limit")?;
    let (base, max_loss) = (body.money("base")?, body.money("max_loss")?);
    let from = if limit == "drawdown" { Some(peak) } else { losses.map(|losses| losses.opening) };
    let what = format!("a {limit} is counted from {base}, and {} belongs", listed(from));
    expect(from == Some(base), what);
    let allowed = account.may_lose(limit, base);
    expect(
        allowed == Some(max_loss),
        format!("a {limit} of {max_loss} is told as allowed, and {} is", listed(allowed)),
    );
    let loss = base - equity;
    let stop = losses.and_then(|losses| losses.stop.as_ref());
    let may_stop = stop.is_none_or(|stop| stop.limit == "daily_loss" && limit == "drawdown");
    expect(
        loss >= max_loss && loss.sign() > 0 && may_stop,
        format!(
            "the account is stopped by a loss of {loss} and may lose {max_loss}; what it is counted from is {}",
            listed(losses)
        ),
    );
    let state = if account.trading_state == "halted" { "halted" } else { "reducing" };
    let told = body.text("trading_state")?;
    expect(told == state, format!("the stop leaves it {told}, where {state} belongs"));
    Ok(())
}

type Held = Vec<(Uuid, Amount)>;

/// What an account is worth at the prices that an event tells, its dividends due, the holdings that it names and those
/// that there are.
fn worth(
    streams: &Streams,
    id: Uuid,
    cash: Amount,
    told: Fields<'_>,
) -> Result<(Amount, Amount, Held, Held), Fault> {
    let mut named = Vec::new();
    let mut worth = cash;
    for holding in told.list("holdings")? {
        let (qty, price) = (holding.amount("qty")?, holding.amount("price")?);
        holding.time("at")?;
        holding.text("source")?;
        let terms = Terms::of(holding, "contract")?;
        let shares = shares_of(terms.as_ref(), qty).ok_or("a holding is of more than there is")?;
        named.push((holding.uuid("instrument_id")?, qty));
        worth += shares.cash(price).ok_or("a holding is worth more than there is")?;
    }
    named.sort();
    let mut due = Amount::ZERO;
    for (_, holding) in streams.positions.range((id, Uuid::nil())..=(id, Uuid::max())) {
        due += holding.accrued.values().copied().sum();
    }
    Ok((worth + due, due, named, priced(streams, id)))
}
