//! Placing and ending orders.
//!
//! An order is in the book before it is answered. The answer waits up to a second for the order's evaluation on
//! arrival, so that what fills at once is answered as filled.

use std::time::Duration;

use aggregates::id::{AccountId, CommandId, OrderId};
use aggregates::instrument::InstrumentKind;
use aggregates::order::{CancelReason, OrderStatus};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::trading::Command;
use uuid::Uuid;

use super::accounts::canonical;
use super::{
    Caller, Fresh, OrderAnswer, OrderFilter, OrderRequest, OrderState, Page, PageRequest, Service,
    ServiceError, Written, reading,
};
use crate::engine::{Condition, EngineError};
use crate::ledger::{Key, LedgerError};

/// How long the answer to an order waits for its evaluation on arrival.
const ARRIVAL: Duration = Duration::from_secs(1);

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
        self.place(caller, account_id, request, &canonical).await
    }

    /// Places an order. `meant` stands for the request: sent again under the same `client_order_id`, another one is
    /// refused.
    pub(super) async fn place(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: OrderRequest,
        meant: &[u8],
    ) -> Result<Written<OrderAnswer>, ServiceError> {
        let faults = request.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        self.own(caller, account_id).await?;
        let command_id = CommandId::new(Uuid::now_v7());
        let order_id = OrderId::new(Uuid::now_v7());
        let spec = request.spec(account_id, &order_id.to_string());
        let view = self.parts.engine.board().market_view(&spec.symbol, spec.side);
        let market = view.ok_or_else(|| self.no_clock())?;
        let key = Key::order(caller.tenant, account_id, &spec.client_order_id, meant);
        if let Some(note) = &request.note {
            self.parts.words.note_order(caller.tenant, account_id, order_id, note).await?;
        }
        let command = Command::Place { order_id, spec, market };
        let submitted = Self::submission(caller, command_id, command, Some(key));
        let committed = self.parts.ledger.submit(submitted).await;
        let recorded = match &committed {
            Ok(committed) => committed.outcome == order_id.uuid(),
            Err(error) => matches!(error, LedgerError::OutcomeUnknown),
        };
        if request.note.is_some() && !recorded {
            let forgotten = self.parts.words.forget_order(order_id).await;
            forgotten.map_err(|error| match committed {
                Ok(_) => ServiceError::from(error).after_commit(),
                Err(_) => error.into(),
            })?;
        }
        let committed = committed?;
        let (order_id, replayed) = (OrderId::new(committed.outcome), committed.replayed);
        let position = committed.position;
        if let Some(refusal) = committed.rejected {
            return Err(ServiceError::Rejected { refusal, order_id, replayed, position });
        }
        if !replayed {
            self.parts.engine.settled(position, ARRIVAL).await;
        }
        let answer = self.order_after(caller, account_id, order_id, position).await?;
        match answer.reject {
            Some(refusal) => Err(ServiceError::Rejected { refusal, order_id, replayed, position }),
            None => Ok(Written { answer, replayed }),
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
        self.own(caller, account_id).await?;
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

    /// Ends every open order of an account, or those of one kind of instrument. Answers with those that it ended.
    ///
    /// # Errors
    /// There is no such account, or the ledger's: what was ended before it stays ended.
    pub async fn cancel_orders(
        &self,
        caller: &Caller,
        account_id: AccountId,
        kind: Option<InstrumentKind>,
    ) -> Result<Page<OrderAnswer>, ServiceError> {
        let filter = OrderFilter { state: OrderState::Open, kind, ..OrderFilter::default() };
        let mut items = Vec::new();
        let mut page = PageRequest { limit: Some(reading::PAGE_MAX), cursor: None };
        loop {
            let open = self.orders(caller, account_id, &filter, &page, Fresh::default()).await?;
            for order in &open.items {
                match self.cancel(caller, account_id, order.order_id).await {
                    Ok(position) => {
                        let order_id = order.order_id;
                        items.push(self.order_after(caller, account_id, order_id, position).await?);
                    }
                    // It ended by itself in between.
                    Err(ServiceError::Refused(refusal))
                        if refusal.code == RefusalCode::OrderNotOpen => {}
                    Err(other) => return Err(other),
                }
            }
            page.cursor = open.next_cursor;
            if page.cursor.is_none() {
                let position = items.last().map_or(open.position, |order| order.position);
                return Ok(Page { items, next_cursor: None, position });
            }
        }
    }

    /// An order after a command about it was committed at `position`.
    async fn order_after(
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

    /// Why there is no market time: no line has come, or the engine is not at work in this process.
    pub(super) fn no_clock(&self) -> ServiceError {
        match self.parts.engine.board().condition() {
            Condition::Working => {
                let message = "the market has no time yet, so orders cannot be placed: wait for the first tick, or \
                               post one to the feed";
                Refusal::new(RefusalCode::MarketClockUnset, message).into()
            }
            Condition::Idle => self.parts.ledger.not_writer().into(),
            Condition::Recovering | Condition::Restarting(_) => EngineError::NotRunning.into(),
        }
    }
}
