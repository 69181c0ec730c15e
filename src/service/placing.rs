//! Placing and ending orders.
//!
//! An order is in the book before it is answered. The answer waits up to a second for the order's evaluation on
//! arrival, so that what fills at once is answered as filled. It is folded from the order's events as they are committed,
//! by the fold that makes the view, and waits for no view; that of a family, of an order sent again, and of one that is not
//! evaluated in time, is read.

use std::time::Duration;

use aggregates::id::{AccountId, CommandId, OrderId};
use aggregates::instrument::InstrumentKind;
use aggregates::order::{CancelReason, OrderClass, OrderSpec, OrderStatus};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::StreamId;
use aggregates::trading::{Command, MarketView};
use projections::{Group, log, query};
use uuid::Uuid;

use super::accounts::canonical;
use super::orders::order_answers;
use super::{Caller, Fresh, OrderAnswer, OrderRequest, Page, Service, ServiceError, Written};
use crate::engine::{Condition, EngineError};
use crate::ledger::{Key, LedgerError, SHARD};
use crate::market::calendar::calendar_end;

/// How long the answer to an order waits for its evaluation on arrival.
pub(super) const ARRIVAL: Duration = Duration::from_secs(1);

impl Service {
    /// Places an order. Sent again under the same `client_order_id`, it is the same order.
    ///
    /// # Errors
    /// Bad fields and unknown symbols (nothing is stored), a refusal by the business (the order is recorded as
    /// rejected and [`ServiceError::Rejected`] names it), no market clock yet, or the ledger's.
    pub async fn place_order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: OrderRequest,
    ) -> Result<Written<OrderAnswer>, ServiceError> {
        let canonical = canonical(&request)?;
        self.place(caller, account_id, request, (&canonical, false)).await
    }

    /// Places an order, or one that only closes. `meant` stands for the request: sent again under the same
    /// `client_order_id`, another one is refused.
    pub(super) async fn place(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: OrderRequest,
        (meant, closes): (&[u8], bool),
    ) -> Result<Written<OrderAnswer>, ServiceError> {
        let faults = request.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        caller.on(account_id)?;
        let command_id = CommandId::new(Uuid::now_v7());
        let order_id = OrderId::new(Uuid::now_v7());
        let mut spec = request.spec(account_id, &order_id.to_string());
        for symbol in symbols(&spec) {
            self.parts.engine.await_order(symbol, ARRIVAL).await;
            if let Some(underlying) = self.underlying_of(symbol) {
                self.parts.engine.await_order(&underlying, ARRIVAL).await;
            }
        }
        let market = self.market_of(&spec)?;
        // One that was placed before the split is answered as it was.
        if let Err(adjusted) = self.are_contracts_still(&symbols(&spec))
            && !self.is_placed(caller, account_id, &spec.client_order_id).await?
        {
            return Err(adjusted);
        }
        name_contracts(&mut spec, &market);
        let unlisted = self.unlisted(&spec);
        let taken = match self.count_order(caller, &spec, &market).await {
            // One that was placed before is answered as it was, whatever has been used up since.
            Err(ServiceError::Denied(denied)) => {
                if !self.is_placed(caller, account_id, &spec.client_order_id).await? {
                    return Err(denied.into());
                }
                None
            }
            taken => taken?,
        };
        let key = Key::order(caller.tenant, account_id, &spec.client_order_id, meant);
        let (family, followed) = (spec.order_class.is_family(), self.parts.engine.follow(order_id));
        if let Some(note) = &request.note {
            let words = &self.parts.words;
            let noting = words.note_order(caller.tenant, account_id, order_id, note);
            if let Err(error) = self.write_words(caller, noting).await {
                self.uncount_order(taken).await;
                return Err(error);
            }
        }
        let command = match closes {
            true => Command::Close { order_id, spec, market },
            false => Command::Place { order_id, spec, market },
        };
        let submitted = Self::submission(caller, command_id, command, Some(key));
        let committed = self.parts.ledger.submit(submitted).await;
        let recorded = match &committed {
            Ok(committed) => committed.outcome == order_id.uuid(),
            Err(error) => matches!(error, LedgerError::OutcomeUnknown),
        };
        let rejected = matches!(&committed, Ok(committed) if committed.rejected.is_some());
        if !recorded || rejected {
            self.uncount_order(taken).await;
        }
        if request.note.is_some() && !recorded {
            let forgotten = self.parts.words.forget_order(order_id).await;
            forgotten.map_err(|error| match committed {
                Ok(_) => ServiceError::from(error).after_commit(),
                Err(_) => error.into(),
            })?;
        }
        let committed =
            committed.map_err(|error| self.naming_nearest(error.into(), unlisted.as_ref()))?;
        let (order_id, replayed) = (OrderId::new(committed.outcome), committed.replayed);
        let position = committed.position;
        if let Some(refusal) = committed.rejected {
            return Err(ServiceError::Rejected { refusal, order_id, replayed, position });
        }
        let settled = match replayed {
            false => self.parts.engine.settled(position, ARRIVAL).await,
            true => None,
        };
        let known = match settled.filter(|_| !family) {
            Some(settled) => self.order_followed(&followed, request.note, settled).await,
            None => None,
        };
        let answer = match known {
            Some(answer) => answer,
            None => self.order_after(caller, account_id, order_id, position).await?,
        };
        match answer.reject {
            Some(refusal) => Err(ServiceError::Rejected { refusal, order_id, replayed, position }),
            None => Ok(Written { answer, replayed }),
        }
    }

    /// Whether an order of the account has this name.
    async fn is_placed(
        &self,
        caller: &Caller,
        account_id: AccountId,
        client_order_id: &str,
    ) -> Result<bool, ServiceError> {
        let found = self.order_by_client_id(caller, account_id, client_order_id, Fresh::default());
        match found.await {
            Ok(_) => Ok(true),
            Err(ServiceError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends an order. One that is canceled already is answered as it is.
    ///
    /// # Errors
    /// There is no such order, it has ended in another way, or the ledger's.
    pub async fn cancel_order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
    ) -> Result<Written<OrderAnswer>, ServiceError> {
        caller.on(account_id)?;
        match self.cancel(caller, account_id, order_id).await {
            Ok(position) => {
                let answer = self.order_after(caller, account_id, order_id, position).await?;
                Ok(Written { answer, replayed: false })
            }
            Err(ServiceError::Refused(refusal)) if refusal.code == RefusalCode::OrderNotOpen => {
                let answer = self.order(caller, account_id, order_id, Fresh::default()).await?;
                if answer.status != OrderStatus::Canceled {
                    return Err(refusal.into());
                }
                Ok(Written { answer, replayed: true })
            }
            Err(other) => Err(other),
        }
    }

    /// Ends every open order of an account, or those of one kind of instrument, in one commit. Answers with those that
    /// it ended, newest first. Sent again under the same key, it answers with the same orders and ends no other.
    ///
    /// # Errors
    /// There is no such account, or the ledger's: then none was ended.
    pub async fn cancel_orders(
        &self,
        caller: &Caller,
        account_id: AccountId,
        kind: Option<InstrumentKind>,
        once: Option<&str>,
    ) -> Result<Written<Page<OrderAnswer>>, ServiceError> {
        caller.on(account_id)?;
        let route = format!("DELETE /v1/accounts/{account_id}/orders");
        let meant = kind.map_or("all", InstrumentKind::word);
        let key = once.map(|key| caller.key(&route, key, meant.as_bytes()));
        let command = Command::CancelAll { account_id, kind, at: self.market_time() };
        let command_id = CommandId::new(Uuid::now_v7());
        let submitted = Self::submission(caller, command_id, command, key);
        let committed = self.parts.ledger.submit(submitted).await.map_err(|error| match error {
            LedgerError::Refused(refusal) if refusal.code == RefusalCode::MarketClockUnset => {
                self.no_clock()
            }
            other => other.into(),
        })?;
        let (ending, replayed) = (CommandId::new(committed.outcome), committed.replayed);
        let ended = self.ended_by(caller, account_id, ending, committed.position).await;
        let answer = ended.map_err(ServiceError::after_commit)?;
        Ok(Written { answer, replayed })
    }

    /// The orders that one command ended, as it left them, newest first; `position` is where it was committed.
    async fn ended_by(
        &self,
        caller: &Caller,
        account_id: AccountId,
        command: CommandId,
        position: u64,
    ) -> Result<Page<OrderAnswer>, ServiceError> {
        let fresh = self.fresh_after(caller, position).await?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let connection = snapshot.connection();
        let rows = log::read_command(connection, SHARD, account_id, command, position).await?;
        let ended: Vec<OrderId> = rows
            .iter()
            .filter_map(|row| match row.stream {
                StreamId::Order(order_id) => Some(order_id),
                _ => None,
            })
            .collect();
        let rows = query::orders_named(connection, account_id, &ended).await?;
        let mut items = order_answers(&mut snapshot, rows).await?;
        // Nothing happens to an order that has ended: what it is now it was then.
        items.iter_mut().for_each(|order| order.position = position);
        Ok(Page { items, next_cursor: None, position })
    }

    /// An order after a command about it was committed at `position`.
    pub(super) async fn order_after(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
        position: u64,
    ) -> Result<OrderAnswer, ServiceError> {
        let read = async {
            let fresh = self.fresh_after(caller, position).await?;
            self.order(caller, account_id, order_id, fresh).await
        };
        read.await.map_err(ServiceError::after_commit)
    }

    /// Ends an order; the position at which that was committed.
    async fn cancel(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
    ) -> Result<u64, ServiceError> {
        let Some(at) = self.market_time() else {
            return Err(self.no_clock());
        };
        let reason = CancelReason::Requested;
        let command = Command::Cancel { account_id, order_id, reason, at };
        let command_id = CommandId::new(Uuid::now_v7());
        let submitted = Self::submission(caller, command_id, command, None);
        Ok(self.parts.ledger.submit(submitted).await?.position)
    }

    /// The market as an order meets it.
    ///
    /// # Errors
    /// It has no time yet.
    pub(super) fn market_of(&self, spec: &OrderSpec) -> Result<MarketView, ServiceError> {
        let view = self.parts.engine.board().view_for(spec);
        view.ok_or_else(|| self.no_clock())
    }

    /// Why there is no market time: no line has come, or the engine is not at work in this process.
    pub(super) fn no_clock(&self) -> ServiceError {
        match self.parts.engine.board().condition() {
            Condition::Working if self.parts.engine.board().is_beyond_calendar() => {
                let message = format!(
                    "the exchange's calendar ends with {}, and the market's clock is beyond its last session: orders cannot be \
                     placed, since nobody can say when they would end; run a market of an earlier time",
                    calendar_end()
                );
                Refusal::new(RefusalCode::MarketClockUnset, message).into()
            }
            Condition::Working => {
                let message = "the market has no time yet, so orders cannot be placed: wait for the first tick, or \
                               post one to the feed";
                Refusal::new(RefusalCode::MarketClockUnset, message).into()
            }
            Condition::Idle => self.parts.ledger.not_writer().into(),
            Condition::Recovering | Condition::Waiting | Condition::Restarting(_) => {
                EngineError::NotRunning.into()
            }
        }
    }
}

/// What an order trades, by symbol: of an mleg order each leg.
pub(super) fn symbols(spec: &OrderSpec) -> Vec<&str> {
    match &spec.legs {
        Some(legs) => legs.iter().map(|leg| leg.symbol.as_str()).collect(),
        None => vec![&spec.symbol],
    }
}

/// Puts the contracts that the market has told into an order of options; an mleg order is of what they are on.
pub(super) fn name_contracts(spec: &mut OrderSpec, market: &MarketView) {
    if spec.order_class != OrderClass::Mleg {
        spec.contract = market.contracts.get(&spec.instrument_id).cloned().map(Box::new);
        return;
    }
    for leg in spec.legs.iter_mut().flatten() {
        leg.contract = market.contracts.get(&leg.instrument_id).cloned();
    }
    let terms = spec.legs.iter().flatten().find_map(|leg| leg.contract.as_ref());
    if let Some((underlying_id, underlying)) =
        terms.map(|terms| (terms.underlying_id, terms.underlying.clone()))
    {
        (spec.instrument_id, spec.symbol) = (underlying_id, underlying);
    }
}
