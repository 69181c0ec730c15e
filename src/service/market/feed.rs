//! Lines that the operator posts, and the controls of a market that plays.

use std::collections::BTreeMap;

use aggregates::market::MarketTime;
use chrono::Utc;
use schemars::JsonSchema;
use serde::Serialize;

use super::hours::outside;
use crate::engine::player::{Control, PlayerError};
use crate::market::calendar::new_york_date;
use crate::market::reading::{MAX_FEED_LINES, parse_lines};
use crate::market::source::FEED;
use crate::service::{Service, ServiceError};

/// What became of lines that were posted.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "FeedResult")]
pub struct FeedAnswer {
    /// Lines that were worked.
    pub accepted: u64,
    /// Lines that changed or filled nothing.
    pub ignored: u64,
    /// How many were ignored for each reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The last position of the log when all that they caused had committed.
    pub position: u64,
}

/// Where the market stands after it was told what to do.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "ControlResult")]
pub struct ControlAnswer {
    /// The market clock.
    pub market_time: Option<MarketTime>,
    /// The last position of the log.
    pub position: u64,
}

impl Service {
    /// Works lines of the market. Answers when all that they caused has committed; a line that was worked before is
    /// ignored.
    ///
    /// # Errors
    /// The market has a source of its own, a line is malformed (none is applied), or
    /// the engine's.
    pub async fn feed(&self, lines: &[u8]) -> Result<FeedAnswer, ServiceError> {
        if self.parts.player.is_some() {
            let message = "the market has a source of its own: start the server with --market feed to post lines";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let now = self.market_time().map_or_else(Utc::now, |clock| clock.max(Utc::now()));
        let ticks = parse_lines(lines, MAX_FEED_LINES, now)
            .map_err(|error| ServiceError::Unreadable(error.to_string()))?;
        let report = self.parts.engine.lines(FEED, ticks).await?;
        let reasons = report.reasons.into_iter().map(|(reason, n)| (reason.word(), n)).collect();
        Ok(FeedAnswer {
            accepted: report.accepted,
            ignored: report.ignored,
            reasons,
            position: report.position,
        })
    }

    /// Tells a market with a source of its own what to do, and answers when it has been done: a run to an instant
    /// when everything up to it, and what that caused, has committed.
    ///
    /// # Errors
    /// The market is fed or plays in another process, time would go back or beyond
    /// what the calendar knows, another order ended the run, or the source failed.
    pub async fn control(&self, control: Control) -> Result<ControlAnswer, ServiceError> {
        let Some(player) = &self.parts.player else {
            let message =
                "the market is fed: its clock is that of the lines posted to /v1/market/feed";
            return Err(ServiceError::Conflict(message.to_owned()));
        };
        if let Control::RunTo(to) = control {
            let end = self.parts.calendar.session_on(new_york_date(to));
            end.map_err(|error| outside("at", &error))?;
        }
        player.control(control).await.map_err(|error| match error {
            PlayerError::NotHere => ServiceError::NotHere(error.to_string()),
            PlayerError::Backwards(_) | PlayerError::Interrupted { .. } | PlayerError::Over => {
                ServiceError::Conflict(error.to_string())
            }
        })?;
        let position = self.parts.ledger.head().borrow().position;
        Ok(ControlAnswer { market_time: self.market_time(), position })
    }
}
