//! What a package of options comes to when it expires: between the strikes its worth is a straight line of the underlying's
//! price, so the most, the least and the break-evens are found at the strikes, at 0 and beyond the highest strike.
//!
//! It is told of packages that only open, and whose options expire on one day: what else an order changes depends on what
//! is held, or on prices of that day. Fees are left out.

use aggregates::instrument::{OptionTerms, Right};
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::order::{Leg, OrderSpec, Side};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

/// Decimals of a break-even.
const DECIMALS: u32 = 6;
/// Decimals of dollars.
const CENTS: u32 = 2;

/// What an order of options comes to when its options expire, if all of it fills at `net_price`. Dollars; fees are left out.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Payoff")]
pub struct PayoffAnswer {
    /// The day on which they expire.
    pub expiration_date: NaiveDate,
    /// What one package costs in dollars a share, below zero what it brings: of one option its price with that sign.
    pub net_price: Price,
    /// What all of it costs; below zero what it brings.
    pub net_cost: Money,
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

impl PayoffAnswer {
    /// That of an order as it was taken, at the price of its package; `None` where it is not told.
    pub(super) fn of(spec: &OrderSpec, price: Price) -> Option<Self> {
        let legs = spec.package();
        if !legs.iter().all(Leg::opens) {
            return None;
        }
        let net_price = if spec.side == Side::Sell { price.negated() } else { price };
        let expiration_date = expiration(&legs)?;
        let Line { least, most, zeros } = line(&legs, net_price.decimal())?;
        let of_all = |amount: Decimal| money(amount, spec.qty);
        let break_even = zeros.into_iter().map(|zero| Price::new(zero.round_dp(DECIMALS)));
        Some(Self {
            expiration_date,
            net_price,
            net_cost: spec.value(spec.qty, net_price).ok()?,
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
    let bounded = expiration(legs).and_then(|_| line(legs, Decimal::ZERO)?.least);
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

/// What a package is worth when it expires less `net`, in dollars a share of its hundred, by the underlying's price.
fn line(legs: &[Leg], net: Decimal) -> Option<Line> {
    let mut corners: Vec<Decimal> =
        legs.iter().filter_map(|leg| Some(leg.contract.as_ref()?.strike.decimal())).collect();
    corners.push(Decimal::ZERO);
    corners.sort_unstable();
    corners.dedup();
    let points = corners.iter().map(|spot| Some((*spot, worth(legs, net, *spot)?)));
    let points: Vec<(Decimal, Decimal)> = points.collect::<Option<_>>()?;
    let mut slope = Decimal::ZERO;
    for leg in legs {
        if leg.contract.as_ref().is_none_or(|terms| terms.right == Right::Call) {
            slope = slope.checked_add(shares(leg)?)?;
        }
    }
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
        let Line { least, most, zeros } = line(legs, net.parse().unwrap()).unwrap();
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
