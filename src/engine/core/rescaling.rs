//! What was seen before a split, told in the shares and contracts that there are after it.
//!
//! It goes on to value what is held until the market tells of prices: so a split alone does not change the equity
//! of an account. It fills and triggers nothing any more.

use aggregates::instrument::Split;
use aggregates::money::{Price, Quantity, Ratio};
use rust_decimal::RoundingStrategy;

use super::state::{Issue, Last, Seen, Standing};

impl Issue {
    /// The figures of what is split.
    pub(super) fn rescale(&mut self, split: &Split) {
        self.awaits_price = true;
        // What only fills and triggers is of no use any more.
        (self.print, self.bands) = (None, None);
        if let Some(quote) = &mut self.quote {
            quote.rescale(split);
        }
        let prices = [&mut self.last, &mut self.trade].into_iter().flatten();
        for last in prices.chain(self.daily.as_mut().map(|(_, last)| last)) {
            last.rescale(split);
        }
        if let Some((_, price)) = &mut self.closed {
            *price = after(*price, split);
        }
    }
}

impl Seen {
    /// The same of what a contract has become.
    pub(super) fn rescaled(mut self, split: &Split) -> Self {
        if let Some(quote) = &mut self.quote {
            quote.rescale(split);
        }
        if let Some(last) = &mut self.last {
            last.rescale(split);
        }
        self
    }
}

impl Standing {
    fn rescale(&mut self, split: &Split) {
        (self.eligible, self.extended) = (false, false);
        for price in [&mut self.bid, &mut self.ask] {
            *price = after(*price, split);
        }
        for size in [&mut self.bid_size, &mut self.ask_size] {
            let ratio = Ratio::of_split(split.numerator, split.denominator);
            *size = ratio.and_then(|ratio| size.split_by(ratio, false)).unwrap_or(*size);
        }
    }
}

impl Last {
    pub(super) fn rescale(&mut self, split: &Split) {
        self.price = after(self.price, split);
    }
}

fn after(price: Price, split: &Split) -> Price {
    scaled(price, split.numerator, split.denominator)
}

/// A price divided by a split, to the decimals that a price carries; as it was where that cannot be computed.
pub(super) fn scaled(price: Price, numerator: Quantity, denominator: Quantity) -> Price {
    let product = price.decimal().checked_mul(denominator.decimal());
    let quotient = product.and_then(|product| product.checked_div(numerator.decimal()));
    let half_even = RoundingStrategy::MidpointNearestEven;
    let rounded = quotient.map(|exact| exact.round_dp_with_strategy(Price::DECIMALS, half_even));
    rounded.and_then(|exact| Price::new(exact).ok()).unwrap_or(price)
}
