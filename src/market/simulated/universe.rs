//! What the simulated market trades: fifty well-known companies and a fund on the market itself.
//!
//! Tickers, names and sectors are those of the real companies. Every number is an assumption of the simulation:
//! plausible, round, and nobody's data.

use crate::market::luld::Tier;

/// A sector: its stocks move together beyond what the market makes them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sector {
    Technology,
    Communication,
    ConsumerDiscretionary,
    ConsumerStaples,
    HealthCare,
    Financials,
    Industrials,
    Energy,
    Utilities,
    RealEstate,
    Materials,
    /// The market as a whole.
    Index,
}

impl Sector {
    /// How many there are, the index not counted.
    pub(super) const COUNT: usize = Self::Index as usize;

    /// The words to show.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Technology => "Technology",
            Self::Communication => "Communication Services",
            Self::ConsumerDiscretionary => "Consumer Discretionary",
            Self::ConsumerStaples => "Consumer Staples",
            Self::HealthCare => "Health Care",
            Self::Financials => "Financials",
            Self::Industrials => "Industrials",
            Self::Energy => "Energy",
            Self::Utilities => "Utilities",
            Self::RealEstate => "Real Estate",
            Self::Materials => "Materials",
            Self::Index => "Index Fund",
        }
    }
}

/// One stock and what is assumed of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    pub(super) symbol: &'static str,
    pub(super) name: &'static str,
    pub(super) sector: Sector,
    /// The price, in dollars, around which it starts and to which splits bring it back.
    pub(super) price: f64,
    /// A year's standard deviation of its return.
    pub(super) volatility: f64,
    /// How much of the market's return it makes.
    pub(super) beta: f64,
    /// Shares traded on an ordinary day.
    pub(super) volume: f64,
    /// Dividends of a year as a part of its price, paid quarterly; 0 pays none.
    pub(super) dividends: f64,
    /// The width of its limit-up limit-down bands: all of these are in a large index.
    pub(super) tier: Tier,
}

const fn stock(
    symbol: &'static str,
    name: &'static str,
    sector: Sector,
    price: f64,
    (volatility, beta): (f64, f64),
    volume: f64,
    dividends: f64,
) -> Stock {
    Stock { symbol, name, sector, price, volatility, beta, volume, dividends, tier: Tier::One }
}

use Sector::{
    Communication, ConsumerDiscretionary, ConsumerStaples, Energy, Financials, HealthCare, Index,
    Industrials, Materials, RealEstate, Technology, Utilities,
};

/// All of it. The place in the list is part of what draws are made from: new ones go to its end.
#[rustfmt::skip]
pub(super) const STOCKS: [Stock; 51] = [
    stock("SPY", "SPDR S&P 500 ETF Trust", Index, 420.0, (0.16, 1.0), 70e6, 0.013),
    stock("AAPL", "Apple Inc.", Technology, 180.0, (0.28, 1.15), 55e6, 0.005),
    stock("MSFT", "Microsoft Corporation", Technology, 330.0, (0.25, 1.05), 24e6, 0.008),
    stock("NVDA", "NVIDIA Corporation", Technology, 120.0, (0.48, 1.7), 45e6, 0.0004),
    stock("AVGO", "Broadcom Inc.", Technology, 160.0, (0.38, 1.35), 20e6, 0.014),
    stock("ORCL", "Oracle Corporation", Technology, 125.0, (0.31, 1.0), 9e6, 0.012),
    stock("AMD", "Advanced Micro Devices, Inc.", Technology, 115.0, (0.50, 1.7), 50e6, 0.0),
    stock("INTC", "Intel Corporation", Technology, 35.0, (0.40, 1.1), 45e6, 0.013),
    stock("CRM", "Salesforce, Inc.", Technology, 215.0, (0.34, 1.2), 6e6, 0.006),
    stock("ADBE", "Adobe Inc.", Technology, 480.0, (0.34, 1.2), 3e6, 0.0),
    stock("CSCO", "Cisco Systems, Inc.", Technology, 50.0, (0.22, 0.9), 18e6, 0.03),
    stock("IBM", "International Business Machines Corporation", Technology, 150.0, (0.22, 0.75), 4e6, 0.04),
    stock("QCOM", "QUALCOMM Incorporated", Technology, 120.0, (0.34, 1.3), 8e6, 0.02),
    stock("TXN", "Texas Instruments Incorporated", Technology, 165.0, (0.27, 1.05), 5e6, 0.03),
    stock("GOOGL", "Alphabet Inc. Class A", Communication, 135.0, (0.29, 1.1), 28e6, 0.005),
    stock("META", "Meta Platforms, Inc.", Communication, 310.0, (0.38, 1.25), 18e6, 0.004),
    stock("NFLX", "Netflix, Inc.", Communication, 420.0, (0.40, 1.2), 5e6, 0.0),
    stock("DIS", "The Walt Disney Company", Communication, 95.0, (0.28, 1.1), 11e6, 0.008),
    stock("VZ", "Verizon Communications Inc.", Communication, 38.0, (0.20, 0.5), 18e6, 0.065),
    stock("T", "AT&T Inc.", Communication, 18.0, (0.23, 0.6), 35e6, 0.06),
    stock("AMZN", "Amazon.com, Inc.", ConsumerDiscretionary, 135.0, (0.34, 1.25), 45e6, 0.0),
    stock("TSLA", "Tesla, Inc.", ConsumerDiscretionary, 220.0, (0.56, 1.8), 100e6, 0.0),
    stock("HD", "The Home Depot, Inc.", ConsumerDiscretionary, 310.0, (0.24, 1.0), 3.5e6, 0.026),
    stock("MCD", "McDonald's Corporation", ConsumerDiscretionary, 275.0, (0.18, 0.65), 3e6, 0.022),
    stock("NKE", "NIKE, Inc.", ConsumerDiscretionary, 105.0, (0.30, 1.1), 8e6, 0.014),
    stock("SBUX", "Starbucks Corporation", ConsumerDiscretionary, 95.0, (0.26, 0.95), 7e6, 0.023),
    stock("WMT", "Walmart Inc.", ConsumerStaples, 55.0, (0.18, 0.5), 18e6, 0.014),
    stock("COST", "Costco Wholesale Corporation", ConsumerStaples, 540.0, (0.21, 0.75), 2e6, 0.007),
    stock("PG", "The Procter & Gamble Company", ConsumerStaples, 150.0, (0.17, 0.5), 6e6, 0.025),
    stock("KO", "The Coca-Cola Company", ConsumerStaples, 60.0, (0.16, 0.5), 13e6, 0.03),
    stock("PEP", "PepsiCo, Inc.", ConsumerStaples, 175.0, (0.16, 0.5), 5e6, 0.029),
    stock("UNH", "UnitedHealth Group Incorporated", HealthCare, 500.0, (0.25, 0.7), 3.5e6, 0.015),
    stock("JNJ", "Johnson & Johnson", HealthCare, 160.0, (0.16, 0.5), 7e6, 0.03),
    stock("LLY", "Eli Lilly and Company", HealthCare, 450.0, (0.30, 0.6), 3e6, 0.008),
    stock("PFE", "Pfizer Inc.", HealthCare, 35.0, (0.25, 0.6), 35e6, 0.05),
    stock("MRK", "Merck & Co., Inc.", HealthCare, 108.0, (0.20, 0.45), 9e6, 0.027),
    stock("JPM", "JPMorgan Chase & Co.", Financials, 150.0, (0.24, 1.05), 10e6, 0.026),
    stock("BAC", "Bank of America Corporation", Financials, 30.0, (0.28, 1.2), 40e6, 0.03),
    stock("V", "Visa Inc.", Financials, 240.0, (0.21, 0.9), 6e6, 0.008),
    stock("MA", "Mastercard Incorporated", Financials, 390.0, (0.22, 0.95), 3e6, 0.006),
    stock("GS", "The Goldman Sachs Group, Inc.", Financials, 340.0, (0.27, 1.2), 2.2e6, 0.03),
    stock("BA", "The Boeing Company", Industrials, 215.0, (0.38, 1.3), 7e6, 0.0),
    stock("CAT", "Caterpillar Inc.", Industrials, 255.0, (0.28, 1.1), 3e6, 0.02),
    stock("GE", "General Electric Company", Industrials, 110.0, (0.30, 1.15), 6e6, 0.008),
    stock("UPS", "United Parcel Service, Inc.", Industrials, 165.0, (0.26, 0.95), 3.5e6, 0.04),
    stock("XOM", "Exxon Mobil Corporation", Energy, 110.0, (0.25, 0.7), 17e6, 0.034),
    stock("CVX", "Chevron Corporation", Energy, 160.0, (0.24, 0.75), 8e6, 0.038),
    stock("NEE", "NextEra Energy, Inc.", Utilities, 65.0, (0.26, 0.55), 10e6, 0.03),
    stock("PLD", "Prologis, Inc.", RealEstate, 115.0, (0.28, 1.05), 4e6, 0.03),
    stock("LIN", "Linde plc", Materials, 370.0, (0.20, 0.85), 2e6, 0.014),
    stock("F", "Ford Motor Company", ConsumerDiscretionary, 13.0, (0.36, 1.3), 50e6, 0.045),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn fifty_companies_and_a_fund_each_once() {
        let symbols: BTreeSet<&str> = STOCKS.iter().map(|stock| stock.symbol).collect();
        assert_eq!(symbols.len(), 51);
        assert_eq!(STOCKS.iter().filter(|stock| stock.sector == Index).count(), 1);
    }
}
