//! Instruments, folded again: listing, halts, splits, dividends, closes.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::position::Actions;
use crate::audit::report::{Code, Findings};

/// A split or a dividend, and how far it has come.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Action {
    pub(in crate::audit) ratio: Option<(Amount, Amount)>,
    pub(in crate::audit) amount: Option<Amount>,
    pub(in crate::audit) stage: &'static str,
    /// The ex date and the pay date of a dividend.
    pub(in crate::audit) dates: Option<(String, String)>,
    /// The last close before a split.
    pub(in crate::audit) close_before: Option<Amount>,
    /// The market time of its first stage.
    pub(in crate::audit) began_at: i64,
    /// The market time and the position of its last stage.
    pub(in crate::audit) at: (i64, u64),
}

/// One official close.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Close {
    pub(in crate::audit) price: Amount,
    pub(in crate::audit) source: String,
    pub(in crate::audit) quoted_at: Option<i64>,
    pub(in crate::audit) at: i64,
    pub(in crate::audit) position: u64,
}

/// How an option has expired.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Expired {
    pub(in crate::audit) session: String,
    pub(in crate::audit) price: Amount,
    pub(in crate::audit) source: String,
    pub(in crate::audit) last_price_at: Option<i64>,
    pub(in crate::audit) at: i64,
    pub(in crate::audit) settled: bool,
}

/// One instrument.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Instrument {
    pub(in crate::audit) symbol: String,
    pub(in crate::audit) name: String,
    pub(in crate::audit) kind: String,
    pub(in crate::audit) listed_at: Option<i64>,
    pub(in crate::audit) halted: bool,
    pub(in crate::audit) halt_reason: Option<String>,
    pub(in crate::audit) splitting: Option<String>,
    pub(in crate::audit) last_close: Option<(String, Amount)>,
    pub(in crate::audit) actions: BTreeMap<String, Action>,
    pub(in crate::audit) expired: Option<Expired>,
    /// Closes by session.
    pub(in crate::audit) closes: BTreeMap<String, Close>,
}

impl Actions for Instrument {
    fn ratio(&self, action: &str) -> Option<(Amount, Amount)> {
        let gated = self.splitting.as_deref() == Some(action);
        self.actions.get(action).filter(|_| gated).and_then(|action| action.ratio)
    }

    fn dividend(&self, action: &str) -> Option<(Amount, &str)> {
        let action = self.actions.get(action).filter(|action| action.stage == "declared")?;
        Some((action.amount?, &action.dates.as_ref()?.0))
    }
}

impl Instrument {
    /// Takes one event of the instrument.
    pub(super) fn apply(
        &mut self,
        event_type: &str,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let mut expect = |holds: bool, message: &str| {
            findings
                .expect(holds, position, Code::Instrument, || format!("{event_type}: {message}"));
        };
        expect(
            (event_type == "InstrumentListed") == self.symbol.is_empty(),
            "it is listed once, before all else",
        );
        match event_type {
            "InstrumentListed" => {
                self.symbol = body.text("symbol")?.to_owned();
                self.name = body.text("name")?.to_owned();
                self.kind = body.text("kind")?.to_owned();
                self.listed_at = body.time_or_none("at")?;
            }
            "TradingHalted" | "TradingResumed" => {
                let halts = event_type == "TradingHalted";
                expect(self.halted != halts, "it is so already");
                self.halted = halts;
                let reason = body.text("reason")?;
                self.halt_reason = halts.then(|| reason.to_owned());
            }
            "SplitBegun" => {
                let (id, split) = (body.text("action_id")?, body.object("split")?);
                let ratio = (split.amount("numerator")?, split.amount("denominator")?);
                expect(ratio.0.sign() > 0 && ratio.1.sign() > 0, "the ratio is none");
                expect(
                    self.splitting.is_none() && !self.actions.contains_key(id),
                    "another is under way, or it was",
                );
                self.splitting = Some(id.to_owned());
                let began_at = split.time("at")?;
                let action = Action {
                    ratio: Some(ratio),
                    amount: None,
                    stage: "begun",
                    dates: None,
                    close_before: split.amount_or_none("last_close")?,
                    began_at,
                    at: (began_at, position),
                };
                self.actions.insert(id.to_owned(), action);
            }
            "SplitCompleted" => {
                let id = body.text("action_id")?;
                expect(self.splitting.as_deref() == Some(id), "it is not under way");
                self.splitting = None;
                let at = (body.time("at")?, position);
                self.advance(id, "begun", "completed", at, &mut expect);
            }
            "DividendDeclared" => {
                let id = body.text("action_id")?;
                expect(!self.actions.contains_key(id), "it was declared before");
                let began_at = body.time("at")?;
                let action = Action {
                    ratio: None,
                    amount: Some(body.amount("amount")?),
                    stage: "declared",
                    dates: Some((body.text("ex")?.to_owned(), body.text("pay")?.to_owned())),
                    close_before: None,
                    began_at,
                    at: (began_at, position),
                };
                self.actions.insert(id.to_owned(), action);
            }
            "DividendAccrualCompleted" => {
                let at = (body.time("at")?, position);
                self.advance(body.text("action_id")?, "declared", "accrued", at, &mut expect)
            }
            "DividendCompleted" => {
                let at = (body.time("at")?, position);
                self.advance(body.text("action_id")?, "accrued", "completed", at, &mut expect)
            }
            "OfficiallyClosed" => {
                let (session, price) = (body.text("session")?.to_owned(), body.amount("price")?);
                // ISO dates order as text.
                let later = self.last_close.as_ref().is_none_or(|(last, _)| *last < session);
                expect(later && price.sign() > 0, "sessions close in order, at a price");
                let (source, at) = (body.text("source")?.to_owned(), body.time("at")?);
                let quote =
                    body.get("quote").is_some().then(|| body.object("quote")).transpose()?;
                let quoted_at = quote.map(|quote| quote.time("at")).transpose()?;
                if let Some(quote) = quote {
                    let middle = quote.amount("bid")?.middle(quote.amount("ask")?);
                    expect(self.kind == "option", "only an option closes without a trade");
                    expect(middle == price, "it closes at the middle of its quote");
                    expect(
                        quoted_at.is_none_or(|seen| seen <= at),
                        "it closes at a quote of before",
                    );
                }
                let close = Close { price, source, quoted_at, at, position };
                self.closes.insert(session.clone(), close);
                self.last_close = Some((session, price));
            }
            "ContractExpired" => {
                expect(self.kind == "option" && self.expired.is_none(), "an option expires once");
                let (last_price_at, at) = (body.time_or_none("last_price_at")?, body.time("at")?);
                expect(
                    last_price_at.is_none_or(|seen| seen <= at),
                    "what stands in for its close is a price of before",
                );
                self.expired = Some(Expired {
                    session: body.text("session")?.to_owned(),
                    price: body.amount("price")?,
                    source: body.text("source")?.to_owned(),
                    last_price_at,
                    at,
                    settled: false,
                });
            }
            "ContractSettled" => {
                let settled = self.expired.as_mut().filter(|expired| !expired.settled);
                expect(settled.is_some(), "it is settled once, when it has expired");
                if let Some(expired) = settled {
                    expired.settled = true;
                }
                body.time("at")?;
            }
            other => return Err(format!("an instrument has no event {other}")),
        }
        Ok(())
    }

    fn advance(
        &mut self,
        id: &str,
        from: &str,
        to: &'static str,
        at: (i64, u64),
        expect: &mut impl FnMut(bool, &str),
    ) {
        match self.actions.get_mut(id).filter(|action| action.stage == from) {
            Some(action) => {
                action.stage = to;
                action.at = at;
            }
            None => expect(false, "it has not come so far"),
        }
    }
}
