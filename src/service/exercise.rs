//! Options that end, or are not to, by a word of their owner: exercise before expiry, and what is said about the exercise at
//! expiry. The operator may assign short ones.
//!
//! What an exercise pays and brings, and who may, is decided by the ledger. An exercise by an agent counts against the limits of
//! its token as an order for the strike does.

use aggregates::id::{AccountId, CommandId, InstrumentId};
use aggregates::market::MarketTime;
use aggregates::money::Quantity;
use aggregates::order::{OrderType, Side};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::trading::{Command, MarketView};
use projections::{Group, query};
use uuid::Uuid;

use super::placing::ARRIVAL;
use super::{
    Caller, EndedAnswer, Fault, Fresh, OrderRequest, PositionAnswer, SYMBOL_MAX, Service,
    ServiceError, Written, text,
};
use crate::ledger::Committed;

impl Service {
    /// Exercises contracts of a long option: so many, or all that no open order has set aside. Answers with what it leaves of
    /// the option and what it did.
    ///
    /// # Errors
    /// The account holds none, cannot pay for what they deliver, the option ends only at expiry, or the ledger's.
    pub async fn exercise(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        qty: Option<Quantity>,
        once: Option<&str>,
    ) -> Result<Written<EndedAnswer>, ServiceError> {
        let (instrument_id, held) = self.held_option(caller, account_id, symbol, qty).await?;
        let (market, at) = self.market_of_option(account_id, symbol)?;
        let terms = market.contracts.get(&instrument_id);
        let underlying = terms.and_then(|terms| market.marks.get(&terms.underlying_id));
        let underlying = underlying.map(|mark| mark.long.clone());
        let amount = terms.map(|terms| terms.exercise_amount(held)).transpose()?;
        let taken = self.count_exercise(caller, symbol, amount).await?;
        let command = |exercise_id| Command::Exercise {
            account_id,
            instrument_id,
            exercise_id,
            qty: held,
            contract_end: market.contracts_end,
            underlying,
            marks: market.marks,
            at,
        };
        let meant = qty.map_or_else(|| "all".to_owned(), |qty| qty.to_string());
        let ended =
            self.end_option(caller, (account_id, symbol), "exercise", (&meant, once), command);
        let ended = ended.await;
        if ended.as_ref().map_or(true, |ended| ended.replayed) {
            self.uncount_order(taken).await;
        }
        self.told_of_end(caller, (account_id, symbol), &ended?).await
    }

    /// Says whether a long option is to be exercised when it expires in the money. Without a word it is.
    ///
    /// # Errors
    /// The account is not long of it, `qty` is another one than it holds, or the ledger's.
    pub async fn instruct_exercise(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        (exercise, qty): (bool, Option<Quantity>),
        once: Option<&str>,
    ) -> Result<Written<PositionAnswer>, ServiceError> {
        let (instrument_id, held) = self.held_option(caller, account_id, symbol, None).await?;
        if let Some(qty) = qty.filter(|qty| *qty != held) {
            let message = format!(
                "qty {qty}: what is said about the exercise of {symbol} is said of all {held} that are held, so leave qty out"
            );
            return Err(ServiceError::Invalid(vec![Fault::new("qty", "invalid_value", message)]));
        }
        self.check_symbol(caller, symbol).await?;
        let (market, at) = self.market_of_option(account_id, symbol)?;
        let command = |_| Command::InstructExercise {
            account_id,
            instrument_id,
            exercise,
            contract_end: market.contracts_end,
            at,
        };
        let meant = exercise.to_string();
        let said = self.end_option(
            caller,
            (account_id, symbol),
            "do-not-exercise",
            (&meant, once),
            command,
        );
        let committed = said.await?;
        let read = async {
            let fresh = self.fresh_after(caller, committed.position).await?;
            self.position(caller, account_id, symbol, fresh).await
        };
        let answer = read.await.map_err(ServiceError::after_commit)?;
        Ok(Written { answer, replayed: committed.replayed })
    }

    /// Assigns contracts of a short option: so many, or all. Answers as an exercise does.
    ///
    /// # Errors
    /// The account is not short of it, the option ends only at expiry, or the ledger's.
    pub async fn assign(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        qty: Option<Quantity>,
        once: Option<&str>,
    ) -> Result<Written<EndedAnswer>, ServiceError> {
        let (instrument_id, held) = self.held_option(caller, account_id, symbol, qty).await?;
        let (market, at) = self.market_of_option(account_id, symbol)?;
        let command = |assignment_id| Command::Assign {
            account_id,
            instrument_id,
            assignment_id,
            qty: held,
            contract_end: market.contracts_end,
            marks: market.marks,
            at,
        };
        let meant = qty.map_or_else(|| "all".to_owned(), |qty| qty.to_string());
        let ended =
            self.end_option(caller, (account_id, symbol), "assign", (&meant, once), command);
        self.told_of_end(caller, (account_id, symbol), &ended.await?).await
    }

    /// An option and how many contracts of it are meant: those named, or all that are free. Of one that is not held 1, which the
    /// ledger refuses with what is.
    async fn held_option(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        qty: Option<Quantity>,
    ) -> Result<(InstrumentId, Quantity), ServiceError> {
        if let Some(fault) = text::fault("symbol", symbol, SYMBOL_MAX) {
            return Err(ServiceError::Invalid(vec![fault]));
        }
        if let Some(qty) = qty.filter(|qty| !qty.is_positive() || !qty.is_whole()) {
            let message = format!("qty {qty} has to be whole contracts, 1 or more");
            return Err(ServiceError::Invalid(vec![Fault::new("qty", "invalid_amount", message)]));
        }
        caller.on(account_id)?;
        let instrument_id = InstrumentId::of_symbol(symbol);
        let (group, fresh) = (Group::Trading, Fresh::default());
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let row = query::position(snapshot.connection(), account_id, instrument_id).await?;
        let row = snapshot.found(row, ServiceError::NotFound("position"))?;
        if row.contract.is_none() {
            let message = format!("{symbol} is a stock: only options are exercised and assigned");
            return Err(Refusal::new(RefusalCode::Unsupported, message).field("symbol").into());
        }
        let free = row.qty_available().abs();
        let all = if free.is_zero() { Quantity::new(1.into())? } else { free };
        Ok((instrument_id, qty.unwrap_or(all)))
    }

    /// The market as the end of an option meets it.
    fn market_of_option(
        &self,
        account_id: AccountId,
        symbol: &str,
    ) -> Result<(MarketView, MarketTime), ServiceError> {
        let (side, qty) = (Side::Sell, Quantity::new(1.into())?);
        let order = OrderRequest::plain(symbol.to_owned(), side, OrderType::Market, qty);
        let market = self.market_of(&order.spec(account_id, "-"))?;
        let at = market.at;
        Ok((market, at))
    }

    /// Carries out a command about an option, once under its key.
    async fn end_option(
        &self,
        caller: &Caller,
        (account_id, symbol): (AccountId, &str),
        what: &str,
        (meant, once): (&str, Option<&str>),
        command: impl FnOnce(CommandId) -> Command,
    ) -> Result<Committed, ServiceError> {
        let command_id = CommandId::new(Uuid::now_v7());
        let route = format!("POST /v1/accounts/{account_id}/positions/{symbol}/{what}");
        let key = once.map(|key| caller.key(&route, key, meant.as_bytes()));
        let submitted = Self::submission(caller, command_id, command(command_id), key);
        let committed = self.parts.ledger.submit(submitted).await?;
        self.parts.engine.settled(committed.position, ARRIVAL).await;
        Ok(committed)
    }

    /// What a command that ended contracts is answered with.
    async fn told_of_end(
        &self,
        caller: &Caller,
        (account_id, symbol): (AccountId, &str),
        committed: &Committed,
    ) -> Result<Written<EndedAnswer>, ServiceError> {
        let told = self.ended(caller, account_id, symbol, committed).await;
        let answer = told.map_err(ServiceError::after_commit)?;
        Ok(Written { answer, replayed: committed.replayed })
    }
}
