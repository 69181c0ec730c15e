//! `/v1/accounts/{account_id}/positions/{symbol}/exercise`, `…/do-not-exercise` and `…/assign`.

use std::sync::Arc;

use aggregates::money::Quantity;
use axum::Json;
use axum::extract::State;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, OptionalBody, Path, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{EndedAnswer, PositionAnswer, Service, ServiceError, Written};

/// The routes.
pub fn routes() -> Routes {
    let contracts = |about: &str| [Field::amount("qty", about).example("1")];
    Routes::new("positions")
        .post(
            "/accounts/{account_id}/positions/{symbol}/exercise",
            exercise,
            Operation::write(Act::ExerciseOption, "exercise_option", "Exercise a long option before it expires")
                .about(
                    "American options alone. A call buys its shares at the strike, a put sells them; the account has to be able \
                     to pay as for an order. What was paid for the option becomes part of what the shares cost or bring.",
                )
                .once()
                .body(
                    &contracts("Whole contracts; if absent all that no open order has set aside."),
                    json!({"qty": "1"}),
                )
                .or_no_body()
                .answers::<Written<EndedAnswer>>(200, "What is left of the option, and in `ended` what it did."),
        )
        .post(
            "/accounts/{account_id}/positions/{symbol}/do-not-exercise",
            instruct,
            Operation::write(
                Act::ExerciseOption,
                "do_not_exercise_option",
                "Say that a long option is not to be exercised when it expires",
            )
            .about(
                "It is of all contracts that are held, and ends with the position. Without it an option that is in the money by \
                 0.01 or more is exercised at expiry.",
            )
            .once()
            .body(
                &[
                    Field::flag("exercise", "`true` takes back what was said before; `false` if absent."),
                    Field::amount("qty", "All that are held, if it is named at all.").example("1"),
                ],
                json!({}),
            )
            .or_no_body()
            .answers::<Written<PositionAnswer>>(200, "The option."),
        )
        .post(
            "/accounts/{account_id}/positions/{symbol}/assign",
            assign,
            Operation::write(Act::AssignOption, "assign_option", "Assign a short option before it expires")
                .about(
                    "American options alone. A call sells its shares at the strike, a put buys them, whether the account can pay \
                     or not: it may leave a deficit or a margin call.",
                )
                .once()
                .body(&contracts("Whole contracts; all if absent."), json!({"qty": "1"}))
                .or_no_body()
                .answers::<Written<EndedAnswer>>(200, "What is left of the option, and in `ended` what it did."),
        )
}

type Ended = Result<Json<Written<EndedAnswer>>, Problem>;

/// `POST /v1/accounts/{account_id}/positions/{symbol}/exercise`
pub async fn exercise(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, symbol)): Path<(String, String)>,
    IdempotencyKey(key): IdempotencyKey,
    OptionalBody(mut body): OptionalBody,
) -> Ended {
    let qty: Option<Quantity> = body.amount("qty");
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.exercise(&caller, account, &symbol, qty, key.as_deref()).await?))
}

/// `POST /v1/accounts/{account_id}/positions/{symbol}/do-not-exercise`
pub async fn instruct(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, symbol)): Path<(String, String)>,
    IdempotencyKey(key): IdempotencyKey,
    OptionalBody(mut body): OptionalBody,
) -> Result<Json<Written<PositionAnswer>>, Problem> {
    let what = (body.flag("exercise").unwrap_or_default(), body.amount("qty"));
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.instruct_exercise(&caller, account, &symbol, what, key.as_deref()).await?))
}

/// `POST /v1/accounts/{account_id}/positions/{symbol}/assign`
pub async fn assign(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, symbol)): Path<(String, String)>,
    IdempotencyKey(key): IdempotencyKey,
    OptionalBody(mut body): OptionalBody,
) -> Ended {
    let qty: Option<Quantity> = body.amount("qty");
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.assign(&caller, account, &symbol, qty, key.as_deref()).await?))
}
