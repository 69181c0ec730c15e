//! `/v1/accounts`, deposits and withdrawals.

use std::sync::Arc;

use aggregates::account::AccountKind;
use aggregates::money::Money;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, JsonBody, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    AccountAnswer, AccountThen, AsOf, Fault, OpenAccount, Page, Service, ServiceError, Written,
    text,
};

const KINDS: [(&str, AccountKind); 2] =
    [("cash", AccountKind::Cash), ("margin", AccountKind::Margin)];

/// The routes.
pub fn routes() -> Routes {
    let opened = [
        Field::text("name", text::NAME_MAX, "What you call it.").required(),
        Field::word(
            "kind",
            &KINDS,
            "Cash; or margin, which borrows against its positions and may sell short.",
        )
        .required(),
        Field::amount("starting_balance", "Its first deposit, 0 or more.").required(),
        Field::whole(
            "option_level",
            0,
            4,
            "The options that it may trade: 0 none, 1 covered calls and cash-secured puts, 2 long options too, 3 spreads too, 4 naked \
             short options too. Cash accounts have 0 to 2, margin accounts 0 to 4; if absent 0 for cash, 3 for margin.",
        ),
    ];
    let paid = [Field::amount("amount", "Dollars, above 0, to the cent.").required()];
    Routes::new("accounts")
        .post(
            "/accounts",
            open,
            Operation::write(Act::OpenAccount, "open_account", "Open an account")
                .once()
                .body(
                    &opened,
                    json!({"name": "First", "kind": "cash", "starting_balance": "10000"}),
                )
                .answers::<Written<AccountAnswer>>(201, "The account.")
                .answers::<Written<AccountAnswer>>(200, "The account that this key opened before."),
        )
        .get(
            "/accounts",
            list,
            Operation::read(
                Act::ListAccounts,
                "list_accounts",
                "List accounts, in the order in which they were opened",
            )
            .paged()
            .fresh()
            .answers::<Page<AccountAnswer>>(200, "A page of accounts."),
        )
        .get(
            "/accounts/{account_id}",
            get,
            Operation::read(Act::ReadAccount, "get_account", "Read an account: cash, buying power, equity")
                .about("With `as_of`, as it was then, with what it held; `min_position` does not matter to it then.")
                .query([Field::text(
                    "as_of",
                    64,
                    "After the event at this position of the log, or after the last one that was recorded by this time.",
                )
                .example("42")])
                .fresh()
                .answers::<AccountAtAnyTime>(200, "The account."),
        )
        .post(
            "/accounts/{account_id}/deposits",
            deposit,
            Operation::write(Act::Deposit, "deposit", "Deposit cash")
                .once()
                .body(&paid, json!({"amount": "500.00"}))
                .answers::<Written<AccountAnswer>>(201, "The account after it.")
                .answers::<Written<AccountAnswer>>(
                    200,
                    "The account; the deposit under this key was made before.",
                ),
        )
        .post(
            "/accounts/{account_id}/withdrawals",
            withdraw,
            Operation::write(Act::Withdraw, "withdraw", "Withdraw cash that no order reserves, or that margin leaves free")
                .once()
                .body(&paid, json!({"amount": "500.00"}))
                .answers::<Written<AccountAnswer>>(201, "The account after it.")
                .answers::<Written<AccountAnswer>>(
                    200,
                    "The account; the withdrawal under this key was made before.",
                ),
        )
}

/// `201`, or `200` for a replay.
pub(super) fn created<T>(written: Written<T>) -> (StatusCode, Json<Written<T>>) {
    let status = if written.replayed { StatusCode::OK } else { StatusCode::CREATED };
    (status, Json(written))
}

type Created = Result<(StatusCode, Json<Written<AccountAnswer>>), Problem>;

/// `POST /v1/accounts`
pub async fn open(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(mut body): JsonBody,
) -> Created {
    let name = body.text("name", text::NAME_MAX);
    let kind = body.word("kind", &KINDS);
    let starting_balance: Option<Money> = body.amount("starting_balance");
    let option_level = body.whole("option_level", 0, 4).and_then(|level| u8::try_from(level).ok());
    let request = OpenAccount {
        name: body.need("name", name).unwrap_or_else(|| "-".to_owned()),
        kind: body.need("kind", kind).unwrap_or(AccountKind::Cash),
        starting_balance: body.need("starting_balance", starting_balance).unwrap_or_default(),
        option_level,
    };
    body.end(request.faults())?;
    Ok(created(service.open_account(&caller, request, key.as_deref()).await?))
}

/// `GET /v1/accounts`
pub async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<Json<Page<AccountAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    query.0.end([])?;
    Ok(Json(service.accounts(&caller, &page, fresh).await?))
}

/// An account as it is, or as it was.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub enum AccountAtAnyTime {
    /// As it was.
    Then(Box<AccountThen>),
    /// As it is.
    Now(Box<AccountAnswer>),
}

/// `GET /v1/accounts/{account_id}`
pub async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<AccountAtAnyTime>, Problem> {
    let fresh = query.fresh();
    let as_of = query.0.text("as_of", 64);
    let point = as_of.as_deref().map(AsOf::parse);
    let fault = (point == Some(None)).then(|| {
        let message =
            "as_of is a position of the log, or a time with its zone such as 2026-11-23T14:30:00Z";
        Fault::new("as_of", "invalid_value", message)
    });
    query.0.end(fault)?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(match point.flatten() {
        Some(point) => {
            AccountAtAnyTime::Then(Box::new(service.account_then(&caller, account, point).await?))
        }
        None => AccountAtAnyTime::Now(Box::new(service.account(&caller, account, fresh).await?)),
    }))
}

/// `POST /v1/accounts/{account_id}/deposits`
pub async fn deposit(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody,
) -> Created {
    let account = id(&account, ServiceError::no_account)?;
    let amount = amount(body)?;
    Ok(created(service.deposit(&caller, account, amount, key.as_deref()).await?))
}

/// `POST /v1/accounts/{account_id}/withdrawals`
pub async fn withdraw(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody,
) -> Created {
    let account = id(&account, ServiceError::no_account)?;
    let amount = amount(body)?;
    Ok(created(service.withdraw(&caller, account, amount, key.as_deref()).await?))
}

fn amount(JsonBody(mut body): JsonBody) -> Result<Money, Problem> {
    let amount: Option<Money> = body.amount("amount");
    let amount = body.need("amount", amount).unwrap_or_default();
    body.end([])?;
    Ok(amount)
}
