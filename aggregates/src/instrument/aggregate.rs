//! The Instrument aggregate: halted or not, which split gates it, how far each dividend has come, the last close, and of an
//! option how it expired.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::command::InstrumentCommand;
use super::error::InstrumentError;
use super::event::{Dividend, DividendStage, Expired, InstrumentEvent, InstrumentKind, Split};
use crate::id::InstrumentId;
use crate::money::{AmountError, Price, Ratio};
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// One instrument. `Default` is one that is not listed yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    instrument_id: Option<InstrumentId>,
    symbol: String,
    name: String,
    kind: InstrumentKind,
    halted: bool,
    splitting: Option<(String, Split)>,
    splits: BTreeMap<String, Split>,
    dividends: BTreeMap<String, Dividend>,
    last_close: Option<(NaiveDate, Price)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired: Option<Expired>,
}

event_sourced!(Instrument, "instrument", InstrumentCommand, InstrumentEvent {
    InstrumentListed "1.0",
    TradingHalted "1.0",
    TradingResumed "1.0",
    SplitBegun "1.0",
    SplitCompleted "1.0",
    DividendDeclared "1.0",
    DividendAccrualCompleted "1.0",
    DividendCompleted "1.0",
    OfficiallyClosed "1.1",
    ContractExpired "1.1",
    ContractSettled "1.0",
}, InstrumentError);

impl Instrument {
    /// Its id, once listed.
    pub fn instrument_id(&self) -> Option<InstrumentId> {
        self.instrument_id
    }

    /// Its ticker.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> InstrumentKind {
        self.kind
    }

    /// Whether trading in it is halted.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// The split that gates it at present.
    pub fn splitting(&self) -> Option<(&str, &Split)> {
        self.splitting.as_ref().map(|(action_id, split)| (action_id.as_str(), split))
    }

    /// Its dividends by action, with how far each has come.
    pub fn dividends(&self) -> &BTreeMap<String, Dividend> {
        &self.dividends
    }

    /// The last official close and its session.
    pub fn last_close(&self) -> Option<(NaiveDate, Price)> {
        self.last_close
    }

    /// Of an option that has expired, at what and whether all accounts are settled.
    pub fn expired(&self) -> Option<&Expired> {
        self.expired.as_ref()
    }

    fn dividend_at(&self, action_id: &str, stage: DividendStage) -> Result<(), InstrumentError> {
        match self.dividends.get(action_id) {
            Some(dividend) if dividend.stage == stage => Ok(()),
            _ => Err(InstrumentError::AlreadyApplied(format!(
                "dividend {action_id} is not {stage:?}"
            ))),
        }
    }
}

fn positive(price: Price) -> Result<Price, AmountError> {
    if price.is_positive() {
        return Ok(price);
    }
    Err(AmountError::NotPositive { kind: "price", value: price.decimal() })
}

impl Decide for Instrument {
    fn decide(
        &self,
        command: &InstrumentCommand,
        _: &Rules,
    ) -> Result<Vec<InstrumentEvent>, InstrumentError> {
        let listed = self.instrument_id.is_some();
        let again = |what: String| Err(InstrumentError::AlreadyApplied(what));
        if let InstrumentCommand::List { instrument_id, symbol, name, kind, at } = command {
            if listed {
                return again(format!("{symbol} is listed already"));
            }
            return Ok(vec![InstrumentEvent::InstrumentListed {
                instrument_id: *instrument_id,
                symbol: symbol.clone(),
                name: name.clone(),
                kind: *kind,
                at: *at,
            }]);
        }
        if !listed {
            return Err(InstrumentError::NotListed);
        }
        Ok(vec![match command {
            InstrumentCommand::List { symbol, .. } => {
                return again(format!("{symbol} is listed already"));
            }
            InstrumentCommand::Halt { reason, at } => {
                if self.halted {
                    return again(format!("{} is halted already", self.symbol));
                }
                InstrumentEvent::TradingHalted { reason: reason.clone(), at: *at }
            }
            InstrumentCommand::Resume { reason, at } => {
                if !self.halted {
                    return again(format!("{} is trading already", self.symbol));
                }
                InstrumentEvent::TradingResumed { reason: reason.clone(), at: *at }
            }
            InstrumentCommand::BeginSplit { action_id, split } => {
                let known = self.splits.contains_key(action_id);
                match &self.splitting {
                    Some((other, _)) if other != action_id && !known => {
                        return again(format!(
                            "split {other} of {} is under way: {action_id} comes after it",
                            self.symbol
                        ));
                    }
                    None if !known => {}
                    _ => {
                        return again(format!(
                            "split {action_id} of {} has begun already",
                            self.symbol
                        ));
                    }
                }
                Ratio::of_split(split.numerator, split.denominator)?;
                split.last_close.map(positive).transpose()?;
                InstrumentEvent::SplitBegun { action_id: action_id.clone(), split: split.clone() }
            }
            InstrumentCommand::CompleteSplit { action_id, at } => {
                if self.splitting.as_ref().is_none_or(|(id, _)| id != action_id) {
                    return again(format!("split {action_id} of {} is not under way", self.symbol));
                }
                InstrumentEvent::SplitCompleted { action_id: action_id.clone(), at: *at }
            }
            InstrumentCommand::DeclareDividend { action_id, amount, ex, pay, at } => {
                if self.dividends.contains_key(action_id) {
                    return again(format!(
                        "dividend {action_id} of {} is known already",
                        self.symbol
                    ));
                }
                InstrumentEvent::DividendDeclared {
                    action_id: action_id.clone(),
                    amount: positive(*amount)?,
                    ex: *ex,
                    pay: *pay,
                    at: *at,
                }
            }
            InstrumentCommand::CompleteAccrual { action_id, at } => {
                self.dividend_at(action_id, DividendStage::Declared)?;
                InstrumentEvent::DividendAccrualCompleted { action_id: action_id.clone(), at: *at }
            }
            InstrumentCommand::CompleteDividend { action_id, at } => {
                self.dividend_at(action_id, DividendStage::Accrued)?;
                InstrumentEvent::DividendCompleted { action_id: action_id.clone(), at: *at }
            }
            InstrumentCommand::Expire { session, price, source, last_price_at, at } => {
                if self.kind != InstrumentKind::Option {
                    return Err(InstrumentError::NotAnOption(self.symbol.clone()));
                }
                if self.expired.is_some() {
                    return again(format!("{} has expired already", self.symbol));
                }
                InstrumentEvent::ContractExpired {
                    session: *session,
                    price: positive(*price)?,
                    source: source.clone(),
                    last_price_at: *last_price_at,
                    at: *at,
                }
            }
            InstrumentCommand::CompleteExpiry { at } => {
                if self.expired.as_ref().is_none_or(|expired| expired.settled) {
                    return again(format!("{} has not expired or is settled", self.symbol));
                }
                InstrumentEvent::ContractSettled { at: *at }
            }
            InstrumentCommand::Close { session, price, source, quote, at } => {
                if self.last_close.is_some_and(|(last, _)| last >= *session) {
                    return again(format!(
                        "the session {session} of {} is closed already",
                        self.symbol
                    ));
                }
                if let Some(quote) = quote {
                    if self.kind != InstrumentKind::Option {
                        return Err(InstrumentError::NotAnOption(self.symbol.clone()));
                    }
                    if quote.middle()? != *price {
                        let (price, bid, ask) = (*price, quote.bid, quote.ask);
                        return Err(InstrumentError::NotTheMiddle { price, bid, ask });
                    }
                }
                InstrumentEvent::OfficiallyClosed {
                    session: *session,
                    price: positive(*price)?,
                    source: source.clone(),
                    quote: *quote,
                    at: *at,
                }
            }
        }])
    }

    fn evolve(&mut self, event: &InstrumentEvent) -> Result<(), Impossible> {
        let lists = matches!(event, InstrumentEvent::InstrumentListed { .. });
        if lists == self.instrument_id.is_some() {
            return Err(Impossible("an instrument is listed once, before all else".into()));
        }
        match event {
            InstrumentEvent::InstrumentListed { instrument_id, symbol, name, kind, .. } => {
                self.instrument_id = Some(*instrument_id);
                self.symbol.clone_from(symbol);
                self.name.clone_from(name);
                self.kind = *kind;
            }
            InstrumentEvent::TradingHalted { .. } | InstrumentEvent::TradingResumed { .. } => {
                let halts = matches!(event, InstrumentEvent::TradingHalted { .. });
                if halts == self.halted {
                    return Err(Impossible("a halt or a resumption twice".into()));
                }
                self.halted = halts;
            }
            InstrumentEvent::SplitBegun { action_id, split } => {
                if self.splitting.is_some() || self.splits.contains_key(action_id) {
                    return Err(Impossible(format!("split {action_id} twice or during another")));
                }
                self.splitting = Some((action_id.clone(), split.clone()));
            }
            InstrumentEvent::SplitCompleted { action_id, .. } => match self.splitting.take() {
                Some((id, split)) if id == *action_id => {
                    self.splits.insert(id, split);
                }
                _ => {
                    return Err(Impossible(format!(
                        "split {action_id} completed without having begun"
                    )));
                }
            },
            InstrumentEvent::DividendDeclared { action_id, amount, ex, pay, .. } => {
                let stage = DividendStage::Declared;
                let dividend = Dividend { amount: *amount, ex: *ex, pay: *pay, stage };
                if self.dividends.insert(action_id.clone(), dividend).is_some() {
                    return Err(Impossible(format!("dividend {action_id} declared twice")));
                }
            }
            InstrumentEvent::DividendAccrualCompleted { action_id, .. } => {
                self.advance(action_id, DividendStage::Declared, DividendStage::Accrued)?;
            }
            InstrumentEvent::DividendCompleted { action_id, .. } => {
                self.advance(action_id, DividendStage::Accrued, DividendStage::Paid)?;
            }
            InstrumentEvent::OfficiallyClosed { session, price, .. } => {
                self.last_close = Some((*session, *price));
            }
            InstrumentEvent::ContractExpired { session, price, source, last_price_at, at } => {
                if self.kind != InstrumentKind::Option || self.expired.is_some() {
                    return Err(Impossible("an option expires once".into()));
                }
                self.expired = Some(Expired {
                    session: *session,
                    price: *price,
                    source: source.clone(),
                    last_price_at: *last_price_at,
                    at: *at,
                    settled: false,
                });
            }
            InstrumentEvent::ContractSettled { .. } => {
                let expired = self.expired.as_mut().filter(|expired| !expired.settled);
                let expired = expired
                    .ok_or_else(|| Impossible("a contract is settled once, expired".into()))?;
                expired.settled = true;
            }
        }
        Ok(())
    }
}

impl Instrument {
    fn advance(
        &mut self,
        action_id: &str,
        from: DividendStage,
        to: DividendStage,
    ) -> Result<(), Impossible> {
        match self.dividends.get_mut(action_id) {
            Some(dividend) if dividend.stage == from => {
                dividend.stage = to;
                Ok(())
            }
            other => Err(Impossible(format!("dividend {action_id} becomes {to:?} from {other:?}"))),
        }
    }
}
