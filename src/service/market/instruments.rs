//! What can be traded: the list, the search, and all that is known of one.

use aggregates::id::InstrumentId;
use aggregates::instrument::InstrumentKind;
use aggregates::money::Price;
use chrono::NaiveDate;
use projections::Group;
use projections::instruments::InstrumentRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::PriceAnswer;
use crate::service::{Caller, Fresh, Page, PageRequest, Service, ServiceError};

/// Something that can be traded.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Instrument")]
pub struct InstrumentAnswer {
    /// Its id.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: InstrumentKind,
    /// Its sector, where the market's source says.
    pub sector: Option<&'static str>,
    /// Nothing fills or triggers.
    pub halted: bool,
    /// The market's word for why.
    pub halt_reason: Option<String>,
    /// The last official close.
    pub last_close: Option<Price>,
    /// The session that it closed.
    pub last_session: Option<NaiveDate>,
}

/// All that is known of one instrument.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "InstrumentInfo")]
pub struct InfoAnswer {
    /// What it is.
    #[serde(flatten)]
    pub instrument: InstrumentAnswer,
    /// Its price.
    pub price: PriceAnswer,
    /// The last event of the log that this contains.
    pub position: u64,
}

impl Service {
    /// What the market lists, by symbol: all of it, or what is of one kind, and what has `search` in its ticker or name.
    ///
    /// # Errors
    /// A cursor of another list.
    pub async fn instruments(
        &self,
        caller: &Caller,
        kind: Option<InstrumentKind>,
        search: Option<&str>,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<InstrumentAnswer>, ServiceError> {
        let list = format!("instruments/{kind:?}/{search:?}");
        let after: Option<String> = self.after(&list, page)?;
        let mut snapshot = self.snapshot(caller, None, Group::Market, fresh).await?;
        let size = page.size();
        let rows =
            query::instruments(snapshot.connection(), kind, search, after.as_deref(), size + 1)
                .await?;
        let seal = |row: &InstrumentRow| self.parts.cursors.seal(&list, &row.symbol);
        Ok(Page::cut(rows, size, snapshot.position, seal, |row| self.instrument(row)))
    }

    /// All that is known of one instrument.
    ///
    /// # Errors
    /// There is no such symbol.
    pub async fn info(
        &self,
        caller: &Caller,
        symbol: &str,
        fresh: Fresh,
    ) -> Result<InfoAnswer, ServiceError> {
        let price = self.price(symbol)?;
        let mut snapshot = self.snapshot(caller, None, Group::Market, fresh).await?;
        let row = query::instrument(snapshot.connection(), symbol).await?;
        let row = snapshot.found(row, ServiceError::NotFound("symbol"))?;
        let instrument = self.instrument(row);
        Ok(InfoAnswer { instrument, price, position: snapshot.position })
    }

    fn instrument(&self, row: InstrumentRow) -> InstrumentAnswer {
        InstrumentAnswer {
            sector: self.parts.archive.sector(&row.symbol),
            instrument_id: row.instrument_id,
            symbol: row.symbol,
            name: row.name,
            kind: row.kind,
            halted: row.halted,
            halt_reason: row.halt_reason,
            last_close: row.last_close,
            last_session: row.last_session,
        }
    }
}
