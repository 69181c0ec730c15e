//! `/v1/market/options`: contracts, chains, greeks, and what a chain says as a whole.

use std::sync::Arc;

use aggregates::money::Price;
use axum::Json;
use axum::extract::State;

use super::input::Fields;
use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Path, Query};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    Assumed, ChainAnalysis, ChainAnswer, ChainRequest, ContractsAnswer, ExpirationsAnswer,
    OptionAnswer, OptionGreeksAnswer, RIGHTS, Service, StrikesAnswer,
};

/// The routes.
pub fn routes() -> Routes {
    Routes::new("market")
        .get(
            "/market/options/{underlying}",
            chain,
            Operation::read(Act::ReadMarket, "get_option_chain", "An underlying's option chain, by expiration, strike and type")
                .about(
                    "Contracts that have not expired, with quote, open interest, and what the price implies: volatility and delta. A page \
                     has at most 100 rows. What the market has not told is `null`, and `missing` names what nothing can be computed without; \
                     rates can be given with the request.",
                )
                .query(wanted())
                .query(assumed_fields())
                .paged()
                .may(422)
                .answers::<ChainAnswer>(200, "A page of the chain."),
        )
        .get(
            "/market/options/{underlying}/contracts",
            contracts,
            Operation::read(Act::ReadMarket, "list_option_contracts", "List the contracts on an underlying, without prices")
                .query(wanted())
                .paged()
                .may(422)
                .answers::<ContractsAnswer>(200, "A page of contracts that have not expired."),
        )
        .get(
            "/market/options/{underlying}/expirations",
            expirations,
            Operation::read(Act::ReadMarket, "list_option_expirations", "List the expirations of an underlying's options, all on one page")
                .query([right()])
                .may(422)
                .answers::<ExpirationsAnswer>(200, "The expirations, the next one first."),
        )
        .get(
            "/market/options/{underlying}/strikes",
            strikes,
            Operation::read(Act::ReadMarket, "list_option_strikes", "List the strikes of an underlying's options, all on one page")
                .query([expiration(), right()])
                .may(422)
                .answers::<StrikesAnswer>(200, "The strikes, the lowest first."),
        )
        .get(
            "/market/options/{underlying}/analysis",
            analysis,
            Operation::read(Act::ReadMarket, "analyze_option_chain", "What a chain says as a whole: smile, term structure, expected move, put-call ratios, max pain, liquidity")
                .query([expiration(), right()])
                .query(assumed_fields())
                .may(422)
                .answers::<ChainAnalysis>(200, "The analysis, with what it was made from."),
        )
        .get(
            "/market/options/contracts/{option_symbol}",
            contract,
            Operation::read(Act::ReadMarket, "get_option", "What the market and a model say of one option, by its OCC symbol")
                .query(assumed_fields())
                .may(422)
                .answers::<OptionAnswer>(200, "Quote, open interest and valuation; what is not known is `null`."),
        )
        .get(
            "/market/options/contracts/{option_symbol}/greeks",
            greeks,
            Operation::read(Act::ReadMarket, "get_option_greeks", "The greeks and the implied volatility of one option")
                .about(
                    "By Black, Scholes and Merton, or by trees where exercising early may be worth it; of one share. Units and formulas: \
                     docs/options.md. Without a rate nothing is computed, and `missing` says so.",
                )
                .query(assumed_fields())
                .may(422)
                .answers::<OptionGreeksAnswer>(200, "The greeks, with prices, rates, ages and model that they were made from."),
        )
}

fn expiration() -> Field {
    Field::date("expiration_date", "Those that expire on this day alone.")
}

fn right() -> Field {
    Field::word("type", &RIGHTS, "Calls or puts alone.")
}

fn wanted() -> [Field; 4] {
    [
        expiration(),
        right(),
        Field::amount("strike_price_gte", "Those with this strike or a higher one."),
        Field::amount("strike_price_lte", "Those with this strike or a lower one."),
    ]
}

fn assumed_fields() -> [Field; 2] {
    let rate = "yearly and continuous, from -1 to 10; what the market has told if absent.";
    [
        Field::amount("risk_free_rate", format!("The risk-free rate, 0.045 for 4.5 %, {rate}")),
        Field::amount("dividend_yield", format!("The underlying's dividend yield, {rate}")),
    ]
}

fn read_wanted(fields: &mut Fields, underlying: String) -> ChainRequest {
    ChainRequest {
        underlying,
        expiration_date: fields.date("expiration_date"),
        right: fields.word("type", &RIGHTS),
        strike_price_gte: fields.amount("strike_price_gte"),
        strike_price_lte: fields.amount("strike_price_lte"),
    }
}

fn read_assumed(fields: &mut Fields) -> Assumed {
    let mut rate = |name| fields.amount::<Price>(name).map(Price::decimal);
    Assumed { risk_free_rate: rate("risk_free_rate"), dividend_yield: rate("dividend_yield") }
}

/// `GET /v1/market/options/{underlying}`
pub async fn chain(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(underlying): Path<String>,
    mut query: Query,
) -> Result<Json<ChainAnswer>, Problem> {
    let page = query.page();
    let request = read_wanted(&mut query.0, underlying);
    let assumed = read_assumed(&mut query.0);
    query.0.end([])?;
    Ok(Json(service.option_chain(&caller, &request, assumed, &page).await?))
}

/// `GET /v1/market/options/{underlying}/contracts`
pub async fn contracts(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(underlying): Path<String>,
    mut query: Query,
) -> Result<Json<ContractsAnswer>, Problem> {
    let page = query.page();
    let request = read_wanted(&mut query.0, underlying);
    query.0.end([])?;
    Ok(Json(service.option_contracts(&caller, &request, &page).await?))
}

/// `GET /v1/market/options/{underlying}/expirations`
pub async fn expirations(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(underlying): Path<String>,
    mut query: Query,
) -> Result<Json<ExpirationsAnswer>, Problem> {
    let right = query.0.word("type", &RIGHTS);
    query.0.end([])?;
    let request = ChainRequest { underlying, right, ..ChainRequest::default() };
    Ok(Json(service.option_expirations(&caller, &request).await?))
}

/// `GET /v1/market/options/{underlying}/strikes`
pub async fn strikes(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(underlying): Path<String>,
    mut query: Query,
) -> Result<Json<StrikesAnswer>, Problem> {
    let expiration_date = query.0.date("expiration_date");
    let right = query.0.word("type", &RIGHTS);
    query.0.end([])?;
    let request = ChainRequest { underlying, expiration_date, right, ..ChainRequest::default() };
    Ok(Json(service.option_strikes(&caller, &request).await?))
}

/// `GET /v1/market/options/{underlying}/analysis`
pub async fn analysis(
    State(service): State<Arc<Service>>,
    Path(underlying): Path<String>,
    mut query: Query,
) -> Result<Json<ChainAnalysis>, Problem> {
    let expiration_date = query.0.date("expiration_date");
    let right = query.0.word("type", &RIGHTS);
    let assumed = read_assumed(&mut query.0);
    query.0.end([])?;
    let request = ChainRequest { underlying, expiration_date, right, ..ChainRequest::default() };
    Ok(Json(service.analyze_chain(&request, assumed).await?))
}

/// `GET /v1/market/options/contracts/{option_symbol}`
pub async fn contract(
    State(service): State<Arc<Service>>,
    Path(symbol): Path<String>,
    mut query: Query,
) -> Result<Json<OptionAnswer>, Problem> {
    let assumed = read_assumed(&mut query.0);
    query.0.end([])?;
    Ok(Json(service.option(&symbol, assumed).await?))
}

/// `GET /v1/market/options/contracts/{option_symbol}/greeks`
pub async fn greeks(
    State(service): State<Arc<Service>>,
    Path(symbol): Path<String>,
    mut query: Query,
) -> Result<Json<OptionGreeksAnswer>, Problem> {
    let assumed = read_assumed(&mut query.0);
    query.0.end([])?;
    Ok(Json(service.option_greeks(&symbol, assumed).await?))
}
