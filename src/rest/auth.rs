//! Who is calling: the bearer token of each request, checked before anything of it is read.
//!
//! The [`Visitor`] goes into the request's extensions, where routes and MCP tools find it and are permitted what they do. Nobody calls more often than [`Rates`] allows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::edge::{Actor, Id};
use super::listener::Peer;
use super::problem::Problem;
use crate::identity::{Principal, Rates};
use crate::service::{Interface, Service, Visitor};

/// Knows tokens, for one face.
#[derive(Clone)]
pub struct Gate {
    service: Arc<Service>,
    interface: Interface,
    rates: Arc<Rates>,
}

impl Gate {
    /// Callers of `interface`, who share `rates` with those of the others.
    pub fn new(service: Arc<Service>, interface: Interface, rates: Arc<Rates>) -> Self {
        Self { service, interface, rates }
    }
}

/// Said to a caller without a token, or with nobody's.
const NO_TOKEN: &str = "send the header Authorization: Bearer with a valid token: the operator's is what \
    BLOTTER_OPERATOR_TOKEN was when the server started, else in the file operator.token of its data directory";

/// Middleware: puts the [`Visitor`], and who permits it things, into the request, or answers 401, or 429 where too many requests came.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let mut visitor = match gate.visitor(&request) {
        Ok(visitor) => visitor,
        Err(problem) => return problem.into_response(),
    };
    if let Some(Id(id)) = request.extensions().get() {
        visitor.request = *id;
    }
    let actor = Actor(visitor.principal.actor());
    request.extensions_mut().insert(visitor);
    request.extensions_mut().insert(gate.service);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(actor);
    response
}

impl Gate {
    fn visitor(&self, request: &Request) -> Result<Visitor, Problem> {
        let shown = bearer(request.headers());
        let visitor = shown.and_then(|token| self.service.authenticate(token, self.interface));
        if visitor.as_ref().is_none_or(|visitor| visitor.principal != Principal::Operator) {
            self.rates.address(peer(request)).map_err(|slow| Problem::too_many(&slow))?;
        }
        let presented = request.headers().contains_key(header::AUTHORIZATION);
        let visitor = visitor.ok_or_else(|| Problem::unauthenticated(presented, NO_TOKEN))?;
        self.rates.principal(&visitor.principal).map_err(|slow| Problem::too_many(&slow))?;
        Ok(visitor)
    }
}

/// The one bearer token that is shown.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = shown.next()?.to_str().ok()?.split_once(' ')?;
    let alone = shown.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    alone.then(|| token.trim())
}

/// Where a request comes from. Without a listener, as in tests of a face alone, from nowhere.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address)
}
