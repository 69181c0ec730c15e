//! What a package of options comes to when it expires: between the strikes its worth is a straight line of the underlying's
//! price, so the most, the least and the break-evens are found at the strikes, at 0 and beyond the highest strike.
//!
//! It is told of packages that only open, and whose options expire on one day: what else an order changes depends on what
//! is held, or on prices of that day. Calls that shares held cover are told with these shares, at what they cost: without them
//! a covered call would lose without bound. Fees are left out.

use aggregates::instrument::{OptionTerms, Right};
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::order::{Leg, OrderSpec, Side};
use chrono::NaiveDate;
use projections::positions::PositionRow;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

/// Decimals of a break-even.
const DECIMALS: u32 = 6;
/// Decimals of dollars.
const CENTS: u32 = 2;

/// What an order of options comes to when its options expire, if all of it fills at `net_price`. Where it sells calls that
/// shares held cover, losses, profits and break-evens are of the order and these shares, from what they cost. Dollars; fees
/// are left out.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Payoff")]
pub struct PayoffAnswer {
    /// The day on which they expire.
    pub expiration_date: NaiveDate,
    /// What one package costs in dollars a share, below zero what it brings: of one option its price with that sign.
    pub net_price: Price,
    /// What all of it costs; below zero what it brings.
    pub net_cost: Money,
    /// The shares held that cover the calls it sells, and are counted in; absent if it sells no more calls than it buys, or if
    /// not all of these are covered.
    pub covering_shares: Option<Quantity>,
    /// What these cost a share.
    pub covering_price: Option<Price>,
    /// The most that can be lost, 0 or more; absent if there is no bound.
    pub max_loss: Option<Money>,
    /// There is no bound on what can be lost.
    pub unlimited_loss: bool,
    /// The most that can be won, below zero if it always loses; absent if there is no bound.
    pub max_profit: Option<Money>,
    /// There is no bound on what can be won.
    pub unlimited_profit: bool,
    /// The prices of the underlying at which nothing is won or lost.
    pub break_even: Vec<Price>,
}

/// A payoff by the underlying's price: that of one package.
#[derive(Debug, PartialEq)]
struct Line {
    /// `None` without a bound.
    least: Option<Decimal>,
    /// `None` without a bound.
    most: Option<Decimal>,
    zeros: Vec<Decimal>,
}

/// Shares that an account holds of what an order of options is on, and that cover nothing yet.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shares {
    free: Quantity,
    cost: Option<Price>,
}

impl Shares {
    /// Those that no order has reserved, less those that short calls may need.
    ///
    /// # Errors
    /// A number beyond its bound.
    pub(super) fn free_for(spec: &OrderSpec, held: &[PositionRow]) -> Result<Self, AmountError> {
        let legs = spec.package();
        let Some(on) = legs.iter().find_map(|leg| leg.contract.as_ref()) else {
            return Ok(Self::default());
        };
        let Some(row) = held.iter().find(|row| row.instrument_id == on.underlying_id) else {
            return Ok(Self::default());
        };
        let mut free = row.qty_available().max(Quantity::ZERO);
        for other in held.iter().filter(|row| row.qty.is_negative()) {
            let call = other.contract.as_ref().filter(|terms| terms.right == Right::Call);
            if let Some(terms) = call.filter(|terms| terms.underlying_id == on.underlying_id) {
                free = free.plus(terms.shares_of(other.qty)?)?;
            }
        }
        Ok(Self { free: free.max(Quantity::ZERO), cost: row.avg_entry_price() })
    }

    /// The shares that cover all calls that so many packages sell beyond those they buy, with what they cost a share.
    fn covering(&self, slope: Decimal, qty: Quantity) -> Option<(Quantity, Price)> {
        let needed = (-slope).checked_mul(qty.decimal())?;
        let needed = Quantity::new(needed).ok().filter(|it| it.is_positive())?;
        Some((needed, self.cost.filter(|_| needed <= self.free)?))
    }
}

impl PayoffAnswer {
    /// That of an order as it was taken, at the price of its package, with the shares that cover it; `None` where it is not
    /// told.
    pub(super) fn of(spec: &OrderSpec, price: Price, shares: &Shares) -> Option<Self> {
        let legs = spec.package();
        if !legs.iter().all(Leg::opens) {
            return None;
        }
        let net_price = if spec.side == Side::Sell { price.negated() } else { price };
        let expiration_date = expiration(&legs)?;
        let covering = shares.covering(slope(&legs)?, spec.qty);
        let covered = covering.and_then(|(_, cost)| Some((slope(&legs)?, cost.decimal())));
        let Line { least, most, zeros } = line(&legs, net_price.decimal(), covered)?;
        let of_all = |amount: Decimal| money(amount, spec.qty);
        let break_even = zeros.into_iter().map(|zero| Price::new(zero.round_dp(DECIMALS)));
        Some(Self {
            expiration_date,
            net_price,
            net_cost: spec.value(spec.qty, net_price).ok()?,
            covering_shares: covering.map(|(shares, _)| shares),
            covering_price: covering.map(|(_, cost)| cost),
            unlimited_loss: least.is_none(),
            max_loss: match least {
                Some(least) => Some(of_all(-least)?.max(Money::ZERO)),
                None => None,
            },
            unlimited_profit: most.is_none(),
            max_profit: match most {
                Some(most) => Some(of_all(most)?),
                None => None,
            },
            break_even: break_even.collect::<Result<_, _>>().ok()?,
        })
    }
}

/// The most that so many packages of these legs can lose when they expire, whatever was paid for them. Where there is no
/// bound, or they expire on different days, it is the strike of every option sold.
///
/// # Errors
/// Beyond the bound of money.
pub(super) fn most_lost(legs: &[Leg], qty: Quantity) -> Result<Money, AmountError> {
    let bounded = expiration(legs).and_then(|_| line(legs, Decimal::ZERO, None)?.least);
    if let Some(lost) = bounded.and_then(|least| money(-least, qty)) {
        return Ok(lost.max(Money::ZERO));
    }
    let sold = legs.iter().filter(|leg| leg.side == Side::Sell);
    let strikes = sold.filter_map(|leg| Some((leg, leg.contract.as_ref()?)));
    strikes
        .map(|(leg, terms)| terms.exercise_amount(leg.qty_of(qty)?))
        .try_fold(Money::ZERO, |sum, strike| sum.plus(strike?))
}

fn money(of_one: Decimal, qty: Quantity) -> Option<Money> {
    Money::new(of_one.checked_mul(qty.decimal())?.round_dp(CENTS).normalize()).ok()
}

/// The one day on which the options among the legs expire.
fn expiration(legs: &[Leg]) -> Option<NaiveDate> {
    let mut days = legs.iter().filter_map(|leg| leg.contract.as_ref()).map(|it| it.expiration);
    let day = days.next()?;
    days.all(|other| other == day).then_some(day)
}

/// The shares that a package is worth beyond all strikes, below zero where it has sold more calls than bought.
fn slope(legs: &[Leg]) -> Option<Decimal> {
    let mut slope = Decimal::ZERO;
    for leg in legs {
        if leg.contract.as_ref().is_none_or(|terms| terms.right == Right::Call) {
            slope = slope.checked_add(shares(leg)?)?;
        }
    }
    Some(slope)
}

/// What a package is worth when it expires less `net`, in dollars a share of its hundred, by the underlying's price. With the
/// shares that cover its `slope`, what these have gained from their cost is added.
fn line(legs: &[Leg], net: Decimal, covered: Option<(Decimal, Decimal)>) -> Option<Line> {
    let mut corners: Vec<Decimal> =
        legs.iter().filter_map(|leg| Some(leg.contract.as_ref()?.strike.decimal())).collect();
    corners.push(Decimal::ZERO);
    corners.sort_unstable();
    corners.dedup();
    let gained = |spot: Decimal| match covered {
        Some((slope, cost)) => cost.checked_sub(spot)?.checked_mul(slope),
        None => Some(Decimal::ZERO),
    };
    let worth = |spot: Decimal| worth(legs, net, spot)?.checked_add(gained(spot)?);
    let points = corners.iter().map(|spot| Some((*spot, worth(*spot)?)));
    let points: Vec<(Decimal, Decimal)> = points.collect::<Option<_>>()?;
    let slope = if covered.is_some() { Decimal::ZERO } else { slope(legs)? };
    let mut zeros: Vec<Decimal> =
        points.iter().filter(|(_, worth)| worth.is_zero()).map(|(spot, _)| *spot).collect();
    for pair in points.windows(2) {
        let [(from, at_from), (to, at_to)] = pair else { continue };
        if at_from.is_sign_negative() != at_to.is_sign_negative()
            && !at_from.is_zero()
            && !at_to.is_zero()
        {
            let part = at_from.checked_div(at_from.checked_sub(*at_to)?)?;
            zeros.push(to.checked_sub(*from)?.checked_mul(part)?.checked_add(*from)?);
        }
    }
    let (last, at_last) = points.last()?;
    if !slope.is_zero()
        && !at_last.is_zero()
        && at_last.is_sign_negative() != slope.is_sign_negative()
    {
        zeros.push(last.checked_sub(at_last.checked_div(slope)?)?);
    }
    zeros.sort_unstable();
    let worths = points.iter().map(|(_, worth)| *worth);
    Some(Line {
        least: worths.clone().min().filter(|_| slope >= Decimal::ZERO),
        most: worths.max().filter(|_| slope <= Decimal::ZERO),
        zeros,
    })
}

/// What one package is worth at a price of the underlying, less what it cost.
fn worth(legs: &[Leg], net: Decimal, spot: Decimal) -> Option<Decimal> {
    let hundred = Decimal::from(aggregates::instrument::MULTIPLIER);
    let mut sum = Decimal::ZERO.checked_sub(net.checked_mul(hundred)?)?;
    for leg in legs {
        let each = match &leg.contract {
            Some(terms) => intrinsic(terms, spot)?,
            None => spot,
        };
        sum = sum.checked_add(shares(leg)?.checked_mul(each)?)?;
    }
    Some(sum)
}

fn intrinsic(terms: &OptionTerms, spot: Decimal) -> Option<Decimal> {
    let strike = terms.strike.decimal();
    let gain = match terms.right {
        Right::Call => spot.checked_sub(strike)?,
        Right::Put => strike.checked_sub(spot)?,
    };
    Some(gain.max(Decimal::ZERO))
}

/// The shares that one package has of a leg, below zero of one that is sold.
fn shares(leg: &Leg) -> Option<Decimal> {
    let each = leg.contract.as_ref().map_or(Decimal::ONE, |terms| terms.shares.decimal());
    let shares = each.checked_mul(leg.ratio_qty.into())?;
    Some(if leg.side == Side::Sell { -shares } else { shares })
}

#[cfg(test)]
mod tests {
    use aggregates::id::InstrumentId;
    use aggregates::instrument::Contract;
    use aggregates::order::PositionIntent;

    use super::*;

    fn leg(side: Side, symbol: &str) -> Leg {
        let contract: Option<Contract> = symbol.parse().ok();
        let shares = if contract.is_some() { 1 } else { 100 };
        Leg {
            instrument_id: InstrumentId::of_symbol(symbol),
            symbol: symbol.to_owned(),
            side,
            ratio_qty: shares,
            position_intent: Some(PositionIntent::of(side, true)),
            contract: contract.map(|it| OptionTerms::of(&it, "AAPL", None, None).unwrap()),
        }
    }

    fn told(legs: &[Leg], net: &str) -> (Option<String>, Option<String>, Vec<String>) {
        told_with(legs, net, None)
    }

    fn told_with(
        legs: &[Leg],
        net: &str,
        covered: Option<(i64, i64)>,
    ) -> (Option<String>, Option<String>, Vec<String>) {
        let covered = covered.map(|(slope, cost)| (slope.into(), cost.into()));
        let Line { least, most, zeros } = line(legs, net.parse().unwrap(), covered).unwrap();
        let shown = |amount: Decimal| amount.normalize().to_string();
        (least.map(shown), most.map(shown), zeros.into_iter().map(shown).collect())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    const CALL_190: &str = "AAPL240119C00190000";
    const CALL_191: &str = "AAPL240119C00191000";
    const PUT_180: &str = "AAPL240119P00180000";
    const PUT_181: &str = "AAPL240119P00181000";

    #[test]
    fn a_long_call_loses_what_it_cost_and_wins_without_bound() {
        let legs = [leg(Side::Buy, CALL_190)];
        assert_eq!(told(&legs, "2.5"), (some("-250"), None, vec!["192.5".to_owned()]));
    }

    #[test]
    fn a_naked_call_loses_without_bound_and_a_put_down_to_zero() {
        let legs = [leg(Side::Sell, CALL_190)];
        assert_eq!(told(&legs, "-2.5"), (None, some("250"), vec!["192.5".to_owned()]));
        let legs = [leg(Side::Sell, PUT_180)];
        assert_eq!(told(&legs, "-2"), (some("-17800"), some("200"), vec!["178".to_owned()]));
    }

    #[test]
    fn a_credit_spread_is_bounded_by_its_width() {
        let legs = [leg(Side::Sell, CALL_190), leg(Side::Buy, CALL_191)];
        assert_eq!(told(&legs, "-0.38"), (some("-62"), some("38"), vec!["190.38".to_owned()]));
    }

    #[test]
    fn an_iron_condor_breaks_even_twice() {
        let legs = [
            leg(Side::Buy, PUT_180),
            leg(Side::Sell, PUT_181),
            leg(Side::Sell, CALL_190),
            leg(Side::Buy, CALL_191),
        ];
        let even = vec!["180.4".to_owned(), "190.6".to_owned()];
        assert_eq!(told(&legs, "-0.6"), (some("-40"), some("60"), even));
    }

    #[test]
    fn a_covered_call_has_the_shares_in_its_price() {
        let legs = [leg(Side::Buy, "AAPL"), leg(Side::Sell, CALL_190)];
        assert_eq!(told(&legs, "185"), (some("-18500"), some("500"), vec!["185".to_owned()]));
    }

    #[test]
    fn a_call_that_held_shares_cover_is_told_with_them_from_what_they_cost() {
        let legs = [leg(Side::Sell, CALL_190)];
        assert_eq!(slope(&legs), Some(Decimal::from(-100)));
        // Bought at 187: they lose 18,700 less the premium of 250, or win 300 and the premium.
        let told = told_with(&legs, "-2.5", Some((-100, 187)));
        assert_eq!(told, (some("-18450"), some("550"), vec!["184.5".to_owned()]));
        let shares = |free: &str| Shares { free: free.parse().unwrap(), cost: "187".parse().ok() };
        let two: Quantity = "2".parse().unwrap();
        let covering = |free: &str| shares(free).covering(Decimal::from(-100), two);
        assert_eq!(covering("200"), Some(("200".parse().unwrap(), "187".parse().unwrap())));
        assert_eq!(covering("199"), None, "one of the two would be naked");
        assert_eq!(shares("500").covering(Decimal::ZERO, two), None, "a spread needs no shares");
    }

    #[test]
    fn what_cannot_be_bounded_counts_by_its_strikes() {
        let qty: Quantity = "2".parse().unwrap();
        let lost = |legs: &[Leg]| most_lost(legs, qty).unwrap().to_string();
        assert_eq!(lost(&[leg(Side::Sell, CALL_190), leg(Side::Buy, CALL_191)]), "200.00");
        assert_eq!(lost(&[leg(Side::Sell, CALL_190)]), "38000.00");
        assert_eq!(lost(&[leg(Side::Buy, CALL_190)]), "0.00");
        let calendar = [leg(Side::Sell, CALL_190), leg(Side::Buy, "AAPL240216C00190000")];
        assert_eq!((expiration(&calendar), lost(&calendar).as_str()), (None, "38000.00"));
    }
}
