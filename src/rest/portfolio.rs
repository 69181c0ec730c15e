//! `/v1/accounts/{account_id}/portfolio` and its history.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    Fault, HISTORY_PAGE, HistoryPeriod, PortfolioAnswer, PortfolioHistory, Service, ServiceError,
};

/// The routes.
pub fn routes() -> Routes {
    Routes::new("positions")
        .get(
            "/accounts/{account_id}/portfolio",
            get,
            Operation::read(Act::ReadAccount, "get_portfolio", "What an account is worth, holding by holding, and the day's change")
                .about(
                    "Holdings are worth their last price, whose source and time are given. One without a price leaves \
                     the sums that need it `null` and is named in `unmarked`.",
                )
                .fresh()
                .answers::<PortfolioAnswer>(200, "The portfolio."),
        )
        .get(
            "/accounts/{account_id}/portfolio/history",
            history,
            Operation::read(Act::ReadAccount, "get_portfolio_history", "What an account was worth at each official close")
                .about("One point a session, from the account's beginning or its last reset.")
                .query([
                    Field::text("period", 8, format!("How far back: {}; 1M if absent.", HistoryPeriod::FORM))
                        .example("1M"),
                    Field::word("timeframe", &[("1D", ())], "One point a session: 1D."),
                ])
                .paged_by(HISTORY_PAGE)
                .fresh()
                .answers::<PortfolioHistory>(200, "A page of points, oldest first."),
        )
}

/// `GET /v1/accounts/{account_id}/portfolio`
pub async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<PortfolioAnswer>, Problem> {
    let fresh = query.fresh();
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.portfolio(&caller, account, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/portfolio/history`
pub async fn history(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<PortfolioHistory>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    let period = query.0.text("period", 8);
    let timeframe = query.0.text("timeframe", 8);
    let mut faults = Vec::new();
    let period = match period.as_deref().map(HistoryPeriod::parse) {
        None => HistoryPeriod::DEFAULT,
        Some(Some(period)) => period,
        Some(None) => {
            let message = format!("period is {}", HistoryPeriod::FORM);
            faults.push(Fault::new("period", "invalid_value", message));
            HistoryPeriod::DEFAULT
        }
    };
    if timeframe.is_some_and(|timeframe| timeframe != "1D") {
        let message = "timeframe is 1D: there is one point a session, at its official close";
        faults.push(Fault::new("timeframe", "unsupported", message));
    }
    query.0.end(faults)?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.portfolio_history(&caller, account, period, &page, fresh).await?))
}
