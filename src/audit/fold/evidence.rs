//! The price of a fill and the stop of a trigger against the tick that they name (I24).
//!
//! | tick | market order | limit order |
//! |---|---|---|
//! | quote | a buy pays the ask, a sell gets the bid | the ask (bid) has reached the limit; the price is it or the limit |
//! | trade | the trade's price | the trade has reached the limit; the price is it or the limit |
//! | auction, official close | its price | the price has reached the limit, and is it |
//! | bar | the price of the point of the bar | strictly through the limit: the limit; at an open on the favourable side: the open |
//!
//! What a bar has triggered between its prices fills at the stop, which its path went through. No tick from before the
//! trigger fills.

use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::order::Order;
use crate::audit::report::{Code, Findings};

/// The tick that triggered an order.
#[derive(Clone, Debug)]
pub(super) struct Triggered {
    at: i64,
    place: u64,
    stop: Amount,
    /// The point of a bar.
    point: Option<String>,
}

impl Triggered {
    /// Whether a bar of these places triggered it between its prices.
    fn within(&self, place: u64, point: &str) -> bool {
        let between = matches!(point, "high" | "low");
        between && self.place == place && self.point.as_deref() == Some(point)
    }
}

/// The stop that an order has by its own words: fixed, or at its distance from a mark that is no worse than the price
/// that it was accepted by, and than the one from which on it follows. A split moves the mark.
fn own_stop(order: &Order, body: Fields<'_>) -> Result<Option<Amount>, Fault> {
    let Some(trail) = order.spec.get("trail") else { return Ok(order.stop_price) };
    let mark = body.amount("mark")?;
    let begun = order.reference.filter(|_| order.splits.is_empty());
    let moved_well = [begun, order.price_of("activation_price")]
        .into_iter()
        .flatten()
        .all(|begun| if order.is_buy { mark <= begun } else { mark >= begun });
    let distance = |name: &str| trail[name].as_str().and_then(Amount::read);
    let stop = match (distance("price"), distance("percent")) {
        (Some(amount), None) => mark.trailed_by(amount, order.is_buy),
        (None, Some(percent)) => mark.trailed_by_percent(percent, order.is_buy),
        _ => return Err("a trail is a price or a percent".into()),
    };
    Ok(Some(stop).filter(|_| moved_well))
}

/// Checks the trigger of `order`: the tick has reached its stop.
pub(super) fn trigger(
    order: &Order,
    body: Fields<'_>,
    at: i64,
    position: u64,
    findings: &mut Findings,
) -> Result<Triggered, Fault> {
    let stop = body.amount("stop_price")?;
    let evidence = body.object("evidence")?;
    evidence.text("source")?;
    let tick = evidence.object("tick")?;
    let mut point = None;
    let price = if tick.get("quote").is_some() {
        tick.object("quote")?.amount(if order.is_buy { "ask" } else { "bid" })?
    } else if tick.get("trade").is_some() {
        tick.object("trade")?.amount("price")?
    } else if tick.get("bar").is_some() {
        let bar = tick.object("bar")?;
        let which = bar.text("point")?;
        point = Some(which.to_owned());
        bar.amount(which)?
    } else {
        return Err("the evidence has neither quote nor trade nor bar".into());
    };
    let reached = if order.is_buy { price >= stop } else { price <= stop };
    let ticked_at = evidence.time("at")?;
    let limit = order.price_of("limit_offset").map(|off| stop.limit_beyond(off, order.is_buy));
    let right = reached
        && own_stop(order, body)? == Some(stop)
        && body.amount_or_none("limit_price")? == limit
        && ticked_at <= at;
    findings.expect(right, position, Code::Evidence, || {
        format!("a price of {price} triggers a stop of {stop}")
    });
    Ok(Triggered { at: ticked_at, place: evidence.whole("tape_place")?, stop, point })
}

/// Checks one fill of `order` at `price`.
pub(super) fn check(
    order: &Order,
    price: Amount,
    evidence: Fields<'_>,
    at: i64,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let mut expect = |holds: bool, message: &dyn Fn() -> String| {
        findings.expect(holds, position, Code::Evidence, message);
    };
    evidence.text("source")?;
    let ticked_at = evidence.time("at")?;
    expect(ticked_at <= at, &|| "the tick is from after the fill".into());
    let triggered = order.triggered();
    let precedes = triggered.is_some_and(|triggered| ticked_at < triggered.at);
    expect(!precedes, &|| "the tick is from before the trigger".into());
    let at_limit = match (order.limit_price, order.is_buy) {
        (Some(limit), true) => price <= limit,
        (Some(limit), false) => price >= limit,
        (None, _) => true,
    };
    expect(at_limit && price.sign() > 0, &|| format!("{price} is beyond the limit"));
    let tick = evidence.object("tick")?;
    if tick.get("quote").is_some() {
        let quote = tick.object("quote")?;
        let (bid, ask) = (quote.amount("bid")?, quote.amount("ask")?);
        let size =
            if order.is_buy { quote.amount("ask_size")? } else { quote.amount("bid_size")? };
        expect(bid.sign() > 0 && bid <= ask && size.sign() > 0, &|| {
            format!("nothing fills against bid {bid}, ask {ask} and a size of {size}")
        });
        let touch = if order.is_buy { ask } else { bid };
        expect(fits(order, price, touch), &|| format!("{price} against bid {bid} and ask {ask}"));
    } else if tick.get("trade").is_some() {
        let trade = tick.object("trade")?.amount("price")?;
        expect(fits(order, price, trade), &|| format!("{price} against a trade at {trade}"));
    } else if tick.get("bar").is_some() {
        let bar = tick.object("bar")?;
        let (low, high) = (bar.amount("low")?, bar.amount("high")?);
        let open = bar.amount("open")?;
        let point = bar.text("point")?;
        let there = bar.amount(point)?;
        expect(low <= price && price <= high, &|| {
            format!("{price} is outside the bar, {low} to {high}")
        });
        let place = evidence.whole("tape_place")?;
        let within = triggered.filter(|triggered| triggered.within(place, point));
        let at_stop = within.is_some_and(|triggered| triggered.stop == price);
        match order.limit_price {
            None if within.is_some() => {
                expect(at_stop, &|| format!("{price} is not the stop that a bar went through"));
            }
            None => expect(price == there, &|| format!("{price} at the {point} of a bar, {there}")),
            Some(limit) => {
                let favourable = if order.is_buy { open <= limit } else { open >= limit };
                let through = if order.is_buy { low < limit } else { high > limit };
                let fair = if price == limit {
                    through || open == limit
                } else if at_stop {
                    true
                } else {
                    favourable && price == open
                };
                expect(fair, &|| {
                    format!(
                        "{price} with a limit of {limit} in a bar from {low} to {high} that opens at {open}"
                    )
                });
            }
        }
    } else if let Some(kind) =
        ["auction", "official_close"].into_iter().find(|kind| tick.get(kind).is_some())
    {
        let cleared = tick.object(kind)?.amount("price")?;
        let auctioned = matches!(order.spec["time_in_force"].as_str(), Some("opg" | "cls"));
        expect(auctioned && price == cleared, &|| format!("{price} at an auction at {cleared}"));
    } else {
        return Err("the evidence is of no known kind".into());
    }
    Ok(())
}

/// Checks one fill of an mleg order at the net price `price`: each leg at the far side of its quote, all together within
/// the limit.
pub(super) fn check_legs(
    order: &Order,
    price: Amount,
    body: Fields<'_>,
    at: i64,
    position: u64,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let within = order.limit_price.is_none_or(|limit| price <= limit);
    findings.expect(within, position, Code::Evidence, || format!("{price} is beyond the limit"));
    for (leg, told) in order.legs.iter().zip(body.list("legs")?) {
        let evidence = told.object("evidence")?;
        evidence.text("source")?;
        let ticked_at = evidence.time("at")?;
        let quote = evidence.object("tick")?.object("quote")?;
        let (bid, ask) = (quote.amount("bid")?, quote.amount("ask")?);
        let (side, touch) = if leg.is_buy { ("ask_size", ask) } else { ("bid_size", bid) };
        let there = bid <= ask && quote.amount(side)?.sign() > 0 && ticked_at <= at;
        let paid = told.amount("price")?;
        findings.expect(there && paid == touch, position, Code::Evidence, || {
            format!("a leg at {paid} against bid {bid} and ask {ask}")
        });
    }
    Ok(())
}

/// Whether a fill at `price` fits a market that was at `there`.
fn fits(order: &Order, price: Amount, there: Amount) -> bool {
    match order.limit_price {
        None => price == there,
        Some(limit) => {
            let reached = if order.is_buy { there <= limit } else { there >= limit };
            reached && (price == there || price == limit)
        }
    }
}
