//! `/v1/accounts/{account_id}/positions`, `…/option-positions`, `…/journal` and `…/activities`.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use projections::activities::ActivityType;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    ActivityAnswer, ActivityFilter, EntryAnswer, Page, PositionAnswer, Service, ServiceError,
    UnderlyingAnswer,
};

/// The routes.
pub fn routes() -> Routes {
    Routes::new("positions")
        .get(
            "/accounts/{account_id}/positions",
            list,
            Operation::read(Act::ReadAccount, "list_positions", "List what is held, by symbol")
                .paged()
                .fresh()
                .answers::<Page<PositionAnswer>>(200, "A page of positions."),
        )
        .get(
            "/accounts/{account_id}/positions/{symbol}",
            get,
            Operation::read(
                Act::ReadAccount,
                "get_position",
                "Read the position in one symbol, also when it is closed",
            )
            .fresh()
            .answers::<PositionAnswer>(200, "The position."),
        )
        .get(
            "/accounts/{account_id}/option-positions",
            options,
            Operation::read(
                Act::ReadAccount,
                "list_option_positions",
                "Sum up what is held of options, by what they are on",
            )
            .about(
                "Contracts, and what the options alone cost and are worth; the greeks of options and shares together, where what cannot \
                 be valued is named; and `covers`, the strategies that they make, each with what it needs, which sum to \
                 `requirement`. One page.",
            )
            .fresh()
            .answers::<Page<UnderlyingAnswer>>(200, "The underlyings."),
        )
        .get(
            "/accounts/{account_id}/journal",
            journal,
            Operation::read(
                Act::ReadAccount,
                "list_journal",
                "The double-entry journal, newest entry first",
            )
            .about("The postings of an entry sum to zero in each unit.")
            .paged()
            .fresh()
            .answers::<Page<EntryAnswer>>(200, "A page of entries."),
        )
        .get(
            "/accounts/{account_id}/activities",
            activities,
            Operation::read(
                Act::ReadAccount,
                "list_activities",
                "What changed the account's cash, newest first",
            )
            .query([
                Field::words("types", TYPES.as_slice(), "Of these kinds."),
                Field::time("after", "Later than this, by the market clock."),
                Field::time("until", "No later than this."),
            ])
            .paged()
            .fresh()
            .answers::<Page<ActivityAnswer>>(200, "A page of activities."),
        )
}

/// Activities by their words.
static TYPES: LazyLock<[(&str, ActivityType); ActivityType::ALL.len()]> =
    LazyLock::new(|| ActivityType::ALL.map(|kind| (kind.word(), kind)));

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

/// `GET /v1/accounts/{account_id}/option-positions`
pub async fn options(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<Page<UnderlyingAnswer>>, Problem> {
    let fresh = query.fresh();
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.option_underlyings(&caller, account, fresh).await?))
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
    let fields = &mut query.0;
    let kinds = fields.words("types", TYPES.as_slice());
    let filter = ActivityFilter {
        kinds: kinds.unwrap_or_default(),
        after: fields.time("after"),
        until: fields.time("until"),
    };
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.activities(&caller, account, &filter, &page, fresh).await?))
}
