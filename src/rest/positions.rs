//! `/v1/accounts/{account_id}/positions`, `…/journal` and `…/activities`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use projections::activities::ActivityType;

use super::problem::Problem;
use super::request::{Caller, Path, Query, id};
use crate::service::{ActivityAnswer, EntryAnswer, Page, PositionAnswer, Service, ServiceError};

/// `GET /v1/accounts/{account_id}/positions`
pub async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<Page<PositionAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.positions(&caller, account, &page, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/positions/{symbol}`
pub async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, symbol)): Path<(String, String)>,
    mut query: Query,
) -> Result<Json<PositionAnswer>, Problem> {
    let fresh = query.fresh();
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.position(&caller, account, &symbol, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/journal`
pub async fn journal(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<Page<EntryAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.journal(&caller, account, &page, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/activities`
pub async fn activities(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<Page<ActivityAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    let kinds = query.0.words("types", &ActivityType::ALL.map(|kind| (kind.word(), kind)));
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let kinds = kinds.unwrap_or_default();
    Ok(Json(service.activities(&caller, account, &kinds, &page, fresh).await?))
}
