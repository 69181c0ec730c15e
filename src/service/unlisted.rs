//! What is told of a contract that the market has not listed: those on the same underlying that are nearest to it.

use aggregates::instrument::Contract;
use aggregates::order::OrderSpec;
use aggregates::refusal::{Refusal, RefusalCode};
use chrono::SecondsFormat;

use super::placing::symbols;
use super::{Service, ServiceError};
use crate::engine::core::Adjusted;
use crate::market::calendar::{new_york_date, options_expire_at};

/// How many contracts, or expirations, are named at the most.
pub(super) const NAMED: usize = 3;

impl Service {
    /// The first contract of an order that no line of the market has listed.
    pub(super) fn unlisted(&self, spec: &OrderSpec) -> Option<Contract> {
        let board = self.parts.engine.board();
        let unknown = symbols(spec).into_iter().filter(|symbol| board.glance(symbol).is_none());
        unknown.filter_map(|symbol| symbol.parse().ok()).next()
    }

    /// Refuses what is asked of contracts that a split has made others of, with what became of the first of them.
    ///
    /// # Errors
    /// There is one, and what it is on is not being split any more.
    pub(super) fn are_contracts_still(&self, symbols: &[&str]) -> Result<(), ServiceError> {
        let board = self.parts.engine.board();
        let became = symbols.iter().enumerate().find_map(|(leg, symbol)| {
            let glance = board.glance(symbol)?;
            let became = glance.adjusted.clone()?;
            let underlying = glance.option.as_ref()?.underlying.clone();
            let under_way = board.glance(&underlying).is_some_and(|glance| glance.splitting);
            (!under_way).then_some((leg, *symbol, underlying, became))
        });
        let Some((leg, symbol, underlying, became)) = became else { return Ok(()) };
        let Adjusted { numerator, denominator, at, into } = became;
        let what = match into {
            Some((times, into)) => format!("each {symbol} became {times} of {into}: ask for that"),
            None => format!("each {symbol} was paid out: ask for the chain of {underlying}"),
        };
        let message = format!(
            "{underlying} was split {numerator} for {denominator} on {}, by which {what}; the market has not listed {symbol} since",
            new_york_date(at)
        );
        let field = match symbols.len() {
            1 => "symbol".to_owned(),
            _ => format!("legs[{leg}].symbol"),
        };
        Err(Refusal::new(RefusalCode::UnknownSymbol, message).field(&field).into())
    }

    /// The refusal of an order that names this contract: if it is for that, with those that are nearest to it.
    pub(super) fn naming_nearest(
        &self,
        error: ServiceError,
        unlisted: Option<&Contract>,
    ) -> ServiceError {
        match (error, unlisted) {
            (ServiceError::Refused(mut refusal), Some(contract))
                if refusal.code == RefusalCode::UnknownSymbol =>
            {
                refusal.message = self.nearest(contract);
                ServiceError::Refused(refusal)
            }
            (error, _) => error,
        }
    }

    /// What is told of a contract that no line of the market has listed, or that has expired since.
    pub(super) fn nearest(&self, contract: &Contract) -> String {
        let root = contract.root();
        let today = self.market_time().map(new_york_date).unwrap_or_default();
        if contract.expiration() < today {
            let end = options_expire_at(contract.expiration());
            return format!(
                "{contract} expired on {}, at {}: there is no quote of it since the midnight after; ask for the expirations of {root}",
                contract.expiration(),
                end.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            );
        }
        let chain = self.parts.engine.board().chain(root, today);
        let mut listed: Vec<Contract> = chain
            .iter()
            .filter_map(|glance| Some(glance.option.as_ref()?.contract.clone()))
            .filter(|other| other.right() == contract.right())
            .collect();
        listed.sort_by_key(|other| {
            let days = other.expiration().signed_duration_since(contract.expiration()).num_days();
            let strikes = other.strike().billionths() - contract.strike().billionths();
            (days.abs(), days, strikes.abs(), strikes)
        });
        let named: Vec<String> = listed.iter().take(NAMED).map(Contract::to_string).collect();
        match named.is_empty() {
            true => format!(
                "no contract {contract} is listed, nor any {} on {root}: ask for the expirations of {root}",
                contract.right().word()
            ),
            false => format!(
                "no contract {contract} is listed: nearest to it are {}; ask for the expirations and the strikes of {root}, \
                 or for its chain",
                named.join(", ")
            ),
        }
    }
}
