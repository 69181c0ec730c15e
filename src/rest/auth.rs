//! Who is calling: the bearer token of each request, checked before anything of it is read.
//!
//! The caller goes into the request's extensions, where handlers and MCP tools find it. A wrong token and none
//! answer alike.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::edge::{Actor, Id};
use super::problem::Problem;
use crate::service::{Interface, Service};

/// Knows tokens, for one face.
#[derive(Clone)]
pub struct Gate {
    service: Arc<Service>,
    interface: Interface,
}

impl Gate {
    /// Callers of `interface`.
    pub fn new(service: Arc<Service>, interface: Interface) -> Self {
        Self { service, interface }
    }
}

/// Said to a caller without a token, or with nobody's.
const NO_TOKEN: &str = "send the header Authorization: Bearer with a valid token: the operator's is what \
    BLOTTER_OPERATOR_TOKEN was when the server started, else in the file operator.token of its data directory";

/// Middleware: puts the [`Caller`](crate::service::Caller) into the request, or answers 401.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let shown = headers.next().and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.split_once(' '));
    let caller = match (token, headers.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            gate.service.authenticate(token.trim(), gate.interface)
        }
        _ => None,
    };
    let Some(mut caller) = caller else {
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", NO_TOKEN).into_response();
    };
    if let Some(Id(id)) = request.extensions().get() {
        caller.request = *id;
    }
    let actor = Actor(caller.actor);
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(actor);
    response
}
