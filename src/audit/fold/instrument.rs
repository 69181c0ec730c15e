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
}

/// One instrument.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Instrument {
    pub(in crate::audit) symbol: String,
    pub(in crate::audit) name: String,
    pub(in crate::audit) kind: String,
    pub(in crate::audit) halted: bool,
    pub(in crate::audit) splitting: Option<String>,
    pub(in crate::audit) last_close: Option<(String, Amount)>,
    pub(in crate::audit) actions: BTreeMap<String, Action>,
    /// Closes by session: the price and where it came from.
    pub(in crate::audit) closes: BTreeMap<String, (Amount, String)>,
}

impl Actions for Instrument {
    fn ratio(&self, action: &str) -> Option<(Amount, Amount)> {
        let gated = self.splitting.as_deref() == Some(action);
        self.actions.get(action).filter(|_| gated).and_then(|action| action.ratio)
    }

    fn dividend(&self, action: &str) -> Option<Amount> {
        self.actions
            .get(action)
            .filter(|action| action.stage == "declared")
            .and_then(|action| action.amount)
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
            }
            "TradingHalted" | "TradingResumed" => {
                let halts = event_type == "TradingHalted";
                expect(self.halted != halts, "it is so already");
                self.halted = halts;
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
                let action = Action { ratio: Some(ratio), amount: None, stage: "begun" };
                self.actions.insert(id.to_owned(), action);
            }
            "SplitCompleted" => {
                let id = body.text("action_id")?;
                expect(self.splitting.as_deref() == Some(id), "it is not under way");
                self.splitting = None;
                self.advance(id, "begun", "completed", &mut expect);
            }
            "DividendDeclared" => {
                let id = body.text("action_id")?;
                expect(!self.actions.contains_key(id), "it was declared before");
                let action =
                    Action { ratio: None, amount: Some(body.amount("amount")?), stage: "declared" };
                self.actions.insert(id.to_owned(), action);
            }
            "DividendAccrualCompleted" => {
                self.advance(body.text("action_id")?, "declared", "accrued", &mut expect)
            }
            "DividendCompleted" => {
                self.advance(body.text("action_id")?, "accrued", "paid", &mut expect)
            }
            "OfficiallyClosed" => {
                let (session, price) = (body.text("session")?.to_owned(), body.amount("price")?);
                // ISO dates order as text.
                let later = self.last_close.as_ref().is_none_or(|(last, _)| *last < session);
                expect(later && price.sign() > 0, "sessions close in order, at a price");
                self.closes.insert(session.clone(), (price, body.text("source")?.to_owned()));
                self.last_close = Some((session, price));
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
        expect: &mut impl FnMut(bool, &str),
    ) {
        match self.actions.get_mut(id).filter(|action| action.stage == from) {
            Some(action) => action.stage = to,
            None => expect(false, "it has not come so far"),
        }
    }
}
