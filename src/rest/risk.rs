//! `/v1/accounts/{account_id}/risk`.

use std::sync::Arc;

use aggregates::money::Price;
use axum::Json;
use axum::extract::State;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    HORIZON_MAX, PortfolioRiskAnswer, RiskMethod, RiskRequest, Service, ServiceError,
};

/// The routes.
pub fn routes() -> Routes {
    Routes::new("positions").get(
        "/accounts/{account_id}/risk",
        get,
        Operation::read(Act::ReadAccount, "get_portfolio_risk", "The risk of an account: exposure, concentration, greeks, stress, value at risk, performance")
            .about(
                "Holdings are revalued as a whole, options by their model. What cannot be told is `null`, and `missing` says why: \
                 returns of fewer than 30 days tell nothing. Formulas and units: docs/risk.md.",
            )
            .query([
                Field::word("method", &RiskMethod::WORDS, "How value at risk is found; `historical` if absent."),
                Field::amount("confidence", "The probability with which the loss is not exceeded, above 0.5 and at most 0.999; 0.95 if absent.")
                    .example("0.95"),
                Field::whole("horizon_days", 1, HORIZON_MAX, "Over how many trading days; 1 if absent."),
            ])
            .slow()
            .fresh()
            .may(422)
            .answers::<PortfolioRiskAnswer>(200, "The risk."),
    )
}

/// `GET /v1/accounts/{account_id}/risk`
pub async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<PortfolioRiskAnswer>, Problem> {
    let fresh = query.fresh();
    let method = query.0.word("method", &RiskMethod::WORDS);
    let confidence = query.0.amount("confidence").map(Price::decimal);
    let horizon_days = query.0.whole("horizon_days", 1, HORIZON_MAX);
    let request = RiskRequest::new(method, confidence, horizon_days);
    query.0.end(request.fault())?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.portfolio_risk(&caller, account, request, fresh).await?))
}
