//! The REST face: reads requests strictly, calls a use case, renders its answer. No rule of the business lives here.
//!
//! Guarantees: nobody without a token gets past [`auth`]; whatever comes in, the answer is JSON with a fitting
//! status, never 500; a panic costs its own request alone; every answer bears `x-request-id`. A request takes at
//! most [`DEADLINE`] (the feed, a run of the market and a verification [`LONG_DEADLINE`]); a write whose answer is
//! lost so may have happened and is safe to repeat under its key.

mod accounts;
mod audit;
pub mod auth;
mod health;
mod input;
mod market;
mod orders;
mod positions;
mod problem;
mod request;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use problem::Problem;

use crate::service::{Interface, Service};
use auth::Gate;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a request may take that works through many lines: the feed, a run of the market, a verification.
const LONG_DEADLINE: Duration = Duration::from_secs(300);

/// All routes over `service`.
pub fn router(service: Arc<Service>) -> Router {
    let gate = Gate::new(Arc::clone(&service), Interface::Rest);
    let long = Router::new()
        .route("/market/feed", post(market::feed))
        .route("/market/control", post(market::control))
        .route("/audit/verify", get(audit::verify));
    let v1 = Router::new()
        .route("/accounts", post(accounts::open).get(accounts::list))
        .route("/accounts/{account_id}", get(accounts::get))
        .route("/accounts/{account_id}/deposits", post(accounts::deposit))
        .route("/accounts/{account_id}/withdrawals", post(accounts::withdraw))
        .route(
            "/accounts/{account_id}/orders",
            post(orders::place).get(orders::list).delete(orders::cancel_all),
        )
        .route("/accounts/{account_id}/orders/{order_id}", get(orders::get).delete(orders::cancel))
        .route("/accounts/{account_id}/orders/{order_id}/events", get(orders::events))
        .route(
            "/accounts/{account_id}/orders/by-client-id/{client_order_id}",
            get(orders::get_by_client_id),
        )
        .route("/accounts/{account_id}/positions", get(positions::list))
        .route("/accounts/{account_id}/positions/{symbol}", get(positions::get))
        .route("/accounts/{account_id}/journal", get(positions::journal))
        .route("/accounts/{account_id}/activities", get(positions::activities))
        .route("/market/quotes/{symbol}", get(market::quote))
        .route("/market/instruments", get(market::instruments))
        .route("/audit/events", get(audit::events))
        .route("/audit/checkpoint", get(audit::checkpoint))
        .layer(middleware::from_fn(|request, next| within(DEADLINE, request, next)))
        .merge(
            long.layer(middleware::from_fn(|request, next| within(LONG_DEADLINE, request, next))),
        )
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate, auth::authenticate));
    let routes = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .nest("/v1", v1)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service);
    guarded(routes)
}

/// Gives every request an id, and lets a panic cost its own request alone.
fn guarded(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(panicked)).layer(middleware::from_fn(request::with_id))
}

async fn no_route() -> Problem {
    Problem::no_route()
}

/// A path that does not take the method: the fallback of every router.
pub async fn wrong_method() -> Problem {
    let detail = "this path does not take this method: the header Allow names those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Ends a request that takes too long.
async fn within(deadline: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long; a write may have happened: repeat it under the same key";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
        }
    }
}

/// A panic is a defect of ours: it is logged by the panic hook and costs this request alone.
fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    let detail = "the request met a defect of this program";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn defective() {
        panic!("a defect, on purpose")
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_alone() {
        let routes =
            Router::new().route("/panic", get(defective)).route("/livez", get(health::live));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, guarded(routes)).into_future());
        let client = reqwest::Client::new();
        for _ in 0..2 {
            let answer = client.get(format!("{base}/panic")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(answer.headers().contains_key("x-request-id"));
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "defect");
            assert!(!problem.to_string().contains("on purpose"), "{problem}");
            let alive = client.get(format!("{base}/livez")).send().await.unwrap();
            assert_eq!(alive.status(), StatusCode::OK);
        }
    }
}
