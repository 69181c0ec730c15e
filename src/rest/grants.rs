//! `/v1/accounts/{account_id}/grants`: roles of other users on an account. `/v1/grants`: one's own on the accounts of others.

use std::sync::Arc;

use aggregates::user::GrantRole;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, JsonBody, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::identity::grants::Grantee;
use crate::service::{GrantAnswer, HeldGrantAnswer, Page, RevokedGrant, Service, ServiceError};

/// The longest address, in characters.
const USER_MAX: usize = 254;

const ROLES: [(&str, GrantRole); 4] = [
    ("owner", GrantRole::Owner),
    ("trader", GrantRole::Trader),
    ("viewer", GrantRole::Viewer),
    ("auditor", GrantRole::Auditor),
];

/// The routes.
pub fn routes() -> Routes {
    let given = [
        Field::text("user", USER_MAX, "Who: the address or the id of somebody who has registered.")
            .required()
            .example("ada@example.org"),
        Field::word(
            "role",
            &ROLES,
            "`viewer` reads; `trader` also previews, places, cancels and closes; `auditor` reads, and the log as it is \
             stored; `owner` may do everything.",
        )
        .required(),
    ];
    Routes::new("grants")
        .post(
            "/accounts/{account_id}/grants",
            give,
            Operation::write(Act::ManageGrants, "give_grant", "Offer a user a role on an account")
                .about(
                    "It opens nothing until its user accepts it, and is over after 30 days. What the operator gives needs \
                     no acceptance.",
                )
                .body(&given, json!({"user": "ada@example.org", "role": "viewer"}))
                .answers::<GrantAnswer>(201, "The grant."),
        )
        .get(
            "/accounts/{account_id}/grants",
            list,
            Operation::read(
                Act::ManageGrants,
                "list_grants",
                "List the grants and offers on an account, oldest first",
            )
            .answers::<Page<GrantAnswer>>(200, "All of them, on one page."),
        )
        .delete(
            "/accounts/{account_id}/grants/{grant_id}",
            take,
            Operation::write(Act::ManageGrants, "take_grant", "Take a grant, or an offer back")
                .about("It is over with the next request of its user.")
                .answers::<RevokedGrant>(200, "It is taken."),
        )
        .get(
            "/grants",
            list_held,
            Operation::read(
                Act::AnswerGrants,
                "list_held_grants",
                "List the roles that you hold and are offered on accounts of others, oldest first",
            )
            .answers::<Page<HeldGrantAnswer>>(200, "All of them, on one page."),
        )
        .post(
            "/grants/{grant_id}/accept",
            accept,
            Operation::write(Act::AnswerGrants, "accept_grant", "Accept a role that you are offered")
                .about("It is in force with the next request. Accepted again it is as it was.")
                .answers::<HeldGrantAnswer>(200, "It is accepted."),
        )
        .delete(
            "/grants/{grant_id}",
            leave,
            Operation::write(
                Act::AnswerGrants,
                "leave_grant",
                "Decline a role that you are offered, or give one back",
            )
            .answers::<RevokedGrant>(200, "You have it no more."),
        )
}

/// `POST /v1/accounts/{account_id}/grants`
async fn give(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    JsonBody(mut body): JsonBody,
) -> Result<(StatusCode, Json<GrantAnswer>), Problem> {
    let user = body.text("user", USER_MAX);
    let user = body.need("user", user).unwrap_or_default();
    let role = body.word("role", &ROLES);
    let role = body.need("role", role).unwrap_or(GrantRole::Viewer);
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let grantee = match user.parse() {
        Ok(id) => Grantee::Id(id),
        Err(_) => Grantee::Email(user.to_ascii_lowercase()),
    };
    let given = service.give_grant(&caller, account, &grantee, role).await?;
    Ok((StatusCode::CREATED, Json(given)))
}

/// `GET /v1/accounts/{account_id}/grants`
async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    query: Query,
) -> Result<Json<Page<GrantAnswer>>, Problem> {
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.grants(&caller, account).await?))
}

/// `DELETE /v1/accounts/{account_id}/grants/{grant_id}`
async fn take(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, grant)): Path<(String, String)>,
    query: Query,
) -> Result<Json<RevokedGrant>, Problem> {
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let grant = id(&grant, || ServiceError::NotFound("grant"))?;
    Ok(Json(service.take_grant(&caller, account, grant).await?))
}

/// `GET /v1/grants`
async fn list_held(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<Page<HeldGrantAnswer>>, Problem> {
    query.0.end([])?;
    Ok(Json(service.held_grants(&caller).await?))
}

/// `POST /v1/grants/{grant_id}/accept`
async fn accept(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(grant): Path<String>,
    query: Query,
) -> Result<Json<HeldGrantAnswer>, Problem> {
    query.0.end([])?;
    let grant = id(&grant, || ServiceError::NotFound("grant"))?;
    Ok(Json(service.accept_grant(&caller, grant).await?))
}

/// `DELETE /v1/grants/{grant_id}`
async fn leave(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(grant): Path<String>,
    query: Query,
) -> Result<Json<RevokedGrant>, Problem> {
    query.0.end([])?;
    let grant = id(&grant, || ServiceError::NotFound("grant"))?;
    Ok(Json(service.leave_grant(&caller, grant).await?))
}
