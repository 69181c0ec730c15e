//! How well an account did: from its worth at the closes of sessions, deposits left out.

use chrono::NaiveDate;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::closes::DAYS_MIN;
use super::missing::MissingAnswer;
use crate::analysis::risk::performance::{drawdown, sharpe, sortino, volatility};
use crate::service::history::Timeline;
use crate::service::market::figure;
use crate::service::{RateAnswer, ServiceError, Value};

/// How well an account did, by its worth at the official closes of about a year. Rates are parts: 0.05 is 5 %.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Performance")]
pub struct PerformanceAnswer {
    /// How many sessions a return is known of: what the account gained, less what was paid in, as a part of its worth before.
    pub sessions: usize,
    /// The first of them.
    pub from: Option<NaiveDate>,
    /// The last of them.
    pub to: Option<NaiveDate>,
    /// A year's standard deviation of the returns.
    pub volatility: Option<String>,
    /// The mean return beyond the risk-free one over the standard deviation, of a year.
    pub sharpe_ratio: Option<String>,
    /// The same over the deviation of what returns lack to the risk-free one.
    pub sortino_ratio: Option<String>,
    /// The furthest that it was below its highest worth before, as a part of that.
    pub max_drawdown: Option<String>,
    /// The same at the last close.
    pub drawdown: Option<String>,
    /// What money earns without risk, as the market has told.
    pub risk_free_rate: Option<RateAnswer>,
}

/// The returns of an account, session by session.
#[derive(Debug)]
pub(super) struct Returns(Vec<(NaiveDate, f64)>);

impl Returns {
    /// Those of the sessions before and after which its worth is known.
    ///
    /// # Errors
    /// An amount cannot be held.
    pub(super) fn of(timeline: &Timeline) -> Result<Self, ServiceError> {
        let mut returns = Vec::with_capacity(timeline.closes.len());
        let mut before = timeline.begun_with;
        let mut begins = before.is_some();
        for at in &timeline.closes {
            // What is paid in before its first close is what an account begins with.
            let paid_in = if begins {
                before = before.map(|cash| cash.plus(at.paid_in)).transpose()?;
                Value::default()
            } else {
                at.paid_in
            };
            begins = false;
            if let (Some(before), Some(after)) = (before, at.equity) {
                let gain = after.minus(before)?.minus(paid_in)?;
                let part = gain.decimal().checked_div(before.decimal());
                let part = part.filter(|_| before > Value::default());
                returns.extend(part.and_then(|it| it.to_f64()).map(|it| (at.close.session, it)));
            }
            before = at.equity;
        }
        Ok(Self(returns))
    }

    /// The figures, and why others are absent, for a year of so many sessions, in some of which these symbols had no close.
    pub(super) fn answer(
        &self,
        risk_free: Option<(f64, RateAnswer)>,
        year: f64,
        unmarked: &[String],
    ) -> (PerformanceAnswer, Vec<MissingAnswer>) {
        let returns: Vec<f64> = self.0.iter().map(|(_, it)| *it).collect();
        let fallen = drawdown(&returns);
        let mut missing = Vec::new();
        let mut lack =
            |why: MissingAnswer, figures: &[&'static str]| missing.push(why.told(figures));
        let what = "sessions with an equity before and after them";
        let have = returns.len();
        if fallen.is_none() {
            let why = MissingAnswer::too_little_history(what, 0, 1).of(unmarked.to_vec());
            lack(why, &["performance.max_drawdown", "performance.drawdown"]);
        }
        let enough = have >= DAYS_MIN;
        let (mut volatility_of, mut sharpe_of, mut sortino_of) = (None, None, None);
        if enough {
            volatility_of = volatility(&returns, year);
        } else {
            let why = MissingAnswer::too_little_history(what, have, DAYS_MIN);
            let why = why.of(unmarked.to_vec());
            lack(
                why,
                &[
                    "performance.volatility",
                    "performance.sharpe_ratio",
                    "performance.sortino_ratio",
                ],
            );
        }
        match &risk_free {
            Some((rate, _)) if enough => {
                sharpe_of = sharpe(&returns, *rate, year);
                sortino_of = sortino(&returns, *rate, year);
                let constant = "the equity has not moved, so nothing is counted against its moves";
                if sharpe_of.is_none() {
                    lack(
                        MissingAnswer::new("no_variation", constant),
                        &["performance.sharpe_ratio"],
                    );
                }
                let above = "no session's return was below the risk-free one";
                if sortino_of.is_none() {
                    lack(MissingAnswer::new("no_variation", above), &["performance.sortino_ratio"]);
                }
            }
            None if enough => {
                let why = "the market has told no risk-free rate for all symbols";
                lack(
                    MissingAnswer::new("no_rate", why),
                    &["performance.sharpe_ratio", "performance.sortino_ratio"],
                );
            }
            _ => {}
        }
        let shown = |number: Option<f64>| number.and_then(figure);
        let answer = PerformanceAnswer {
            sessions: have,
            from: self.0.first().map(|(session, _)| *session),
            to: self.0.last().map(|(session, _)| *session),
            volatility: shown(volatility_of),
            sharpe_ratio: shown(sharpe_of),
            sortino_ratio: shown(sortino_of),
            max_drawdown: shown(fallen.map(|fallen| fallen.largest)),
            drawdown: shown(fallen.map(|fallen| fallen.present)),
            risk_free_rate: risk_free.map(|(_, told)| told),
        };
        (answer, missing)
    }
}
