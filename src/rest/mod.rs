//! The REST face: reads requests strictly, calls a use case, renders its answer. No rule of the business lives here.
//!
//! Each room has its routes at its head, with what [`openapi`] says of them; [`routes`] keeps them to it, [`auth`] lets
//! nobody past without a token, and [`edge`] is what every answer passes, those of the MCP face too. Whatever comes in,
//! the answer is JSON with a fitting status, never 500.

mod accounts;
mod audit;
pub mod auth;
pub mod cors;
pub mod crowd;
mod docs;
pub mod edge;
mod exercise;
mod grants;
mod health;
mod impatient;
pub mod input;
mod legs;
pub mod listener;
mod market;
mod openapi;
mod options;
mod order_body;
mod orders;
mod policy;
mod portfolio;
mod positions;
mod previews;
mod problem;
pub mod proxies;
mod request;
mod risk;
mod routes;
mod sessions;
mod stream;
mod tokens;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::Method;
use axum::middleware;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use order_body::read as read_order;
pub use problem::Problem;
pub use stream::streams;

use crate::identity::{Rates, Seats};
use crate::service::{Interface, Service};
use auth::Gate;
use cors::Origin;
use crowd::Crowd;
use routes::Routes;

/// What the handlers work with.
#[derive(Clone, FromRef)]
pub struct Face {
    /// The use cases.
    pub service: Arc<Service>,
    /// What the process has counted.
    pub metrics: PrometheusHandle,
    /// Cancelled when the server was asked to stop.
    pub stop: CancellationToken,
    /// Who follows the log.
    pub streams: Seats,
    /// How often callers may call.
    pub rates: Arc<Rates>,
    /// Whose pages may call by the cookie, beside this server's own.
    pub origins: Arc<[Origin]>,
}

/// The routes that need no token.
fn open() -> Routes {
    health::routes().merge(docs::routes()).merge(sessions::keys())
}

/// The routes below `/v1`. Some of them need no token either.
fn v1() -> Routes {
    accounts::routes()
        .merge(orders::routes())
        .merge(previews::routes())
        .merge(positions::routes())
        .merge(exercise::routes())
        .merge(portfolio::routes())
        .merge(risk::routes())
        .merge(policy::routes())
        .merge(market::routes())
        .merge(options::routes())
        .merge(audit::routes())
        .merge(stream::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(tokens::routes())
        .merge(grants::routes())
}

/// All routes of the face.
pub fn router(face: Face) -> Router {
    let gate = Gate::new(Arc::clone(&face.service), Interface::Rest, Arc::clone(&face.rates));
    let open_routes = v1().into_described("/v1").filter(|route| route.operation.act().is_none());
    let stops = v1().into_described("/v1").filter(|route| route.operation.is_stop());
    let gate = gate
        .but_open(open_routes.map(|route| (route.method, route.path)))
        .never_shut(stops.map(|route| (route.method, route.path)));
    let with_token = |routes: Routes| {
        routes.into_router().layer(middleware::from_fn_with_state(gate.clone(), auth::authenticate))
    };
    let measured = with_token(health::measured()).reset_fallback();
    open().into_router().merge(measured).nest("/v1", with_token(v1())).with_state(face)
}

/// The routes that take requests however many are being worked.
pub fn spared() -> impl Iterator<Item = (Method, String)> {
    let spared = v1().into_described("/v1").filter(|route| Crowd::spares(&route.operation));
    spared.map(|route| (route.method, route.path))
}

/// The OpenAPI document of all routes.
pub fn document() -> Value {
    let described = v1().into_described("/v1").chain(health::measured().into_described(""));
    let described: Vec<_> = described.chain(open().into_described("")).collect();
    openapi::document(&described)
}
