//! Who is calling: the bearer token of each request, checked before anything of it is read.
//!
//! The [`Visitor`] goes into the request's extensions, where routes and MCP tools find it and are permitted what they do. Nobody calls more often than [`Rates`] allows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use zeroize::Zeroizing;

use super::edge::{Actor, Id};
use super::listener::Peer;
use super::problem::Problem;
use crate::identity::{Principal, Rates, VoidBy};
use crate::service::{Interface, Service, Visitor};

/// On a request to a route that needs no token: the operator sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator;

/// Knows tokens, for one face.
#[derive(Clone)]
pub struct Gate {
    service: Arc<Service>,
    interface: Interface,
    rates: Arc<Rates>,
    open: Arc<[(Method, String)]>,
    stops: Arc<[(Method, String)]>,
}

impl Gate {
    /// Callers of `interface`, who share `rates` with those of the others.
    pub fn new(service: Arc<Service>, interface: Interface, rates: Arc<Rates>) -> Self {
        Self { service, interface, rates, open: Arc::default(), stops: Arc::default() }
    }

    /// The same, which lets everybody pass to these routes.
    #[must_use]
    pub fn but_open(self, routes: impl IntoIterator<Item = (Method, String)>) -> Self {
        Self { open: routes.into_iter().collect(), ..self }
    }

    /// The same, which lets users pass to these routes whatever else was sent in their name: by them they stop an agent.
    #[must_use]
    pub fn never_shut(self, routes: impl IntoIterator<Item = (Method, String)>) -> Self {
        Self { stops: routes.into_iter().collect(), ..self }
    }
}

/// Whether a request is to one of these routes.
fn is_to(request: &Request, routes: &[(Method, String)]) -> bool {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    path.is_some_and(|path| {
        routes.iter().any(|(method, route)| method == request.method() && route == path)
    })
}

/// Said to a caller without a token, or with nobody's.
const NO_TOKEN: &str = "send the header Authorization: Bearer with a valid token: a user's is the access_token of \
    POST /v1/sessions, an agent's what POST /v1/tokens gave its user, the operator's what BLOTTER_OPERATOR_TOKEN was when the server started, else in the file \
    operator.token of its data directory";

/// Said to who shows an access token whose time is over.
const EXPIRED: &str = "this access token has expired: POST /v1/sessions/refresh exchanges the refresh token for the next \
    one, or log in again";

/// Said to who shows an access token whose session has ended.
const ENDED: &str = "this access token was good and is no more: its session has ended, by a log-out or by a change of the user; log in \
    again by POST /v1/sessions";

/// Said to who shows a token of an agent that was made here and opens nothing any more.
const REVOKED: &str = "this token was good and is no more: it was revoked, its time is over, or its user may not log in; its user \
    sees by GET /v1/tokens which are good, and makes another by POST /v1/tokens";

/// Said over MCP beside what tells to log in, since access tokens are for one face.
const FOR_MCP: &str = "; an access token of POST /v1/sessions opens MCP only if the log-in said {\"audience\": \"mcp\"}";

/// Middleware: puts the [`Visitor`], and who permits it things, into the request, or answers 401, or 429 where too many requests came.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if is_to(&request, &gate.open) {
        // Nobody has to show anything here; the operator is known all the same.
        if bearer(request.headers()).is_some_and(|token| gate.service.is_operator(token)) {
            request.extensions_mut().insert(Operator);
        } else if let Err(slow) = gate.rates.address(peer(request.extensions())) {
            return Problem::too_many(&slow).into_response();
        }
        return next.run(request).await;
    }
    let shown = Shown { stops: is_to(&request, &gate.stops), ..Shown::of(&request) };
    let mut visitor = match gate.visitor(shown).await {
        Ok(visitor) => visitor,
        Err(problem) => return problem.into_response(),
    };
    if let Some(Id(id)) = request.extensions().get() {
        visitor.request = *id;
    }
    let actor = Actor(visitor.principal.actor());
    let (voided, waits) = (gate.service.void(&visitor), gate.service.void(&visitor));
    let ended = match visitor.principal {
        Principal::Token(_) => VoidBy::Token,
        Principal::User(_) | Principal::Operator => VoidBy::Session,
    };
    let interface = gate.interface;
    request.extensions_mut().insert(visitor);
    request.extensions_mut().insert(gate.service);
    let answered = next.run(request);
    let response = if interface == Interface::Mcp {
        // A tool may wait for a minute; what it has committed stays.
        tokio::select! {
            biased;
            response = answered => response,
            () = waits => return void(interface, ended).into_response(),
        }
    } else {
        answered.await
    };
    let mut response = until(voided, response);
    response.extensions_mut().insert(actor);
    response
}

/// The answer to who shows nothing that opens this face.
fn unauthenticated(interface: Interface, presented: bool) -> Problem {
    let hint = if presented { log_in_hint(interface) } else { "" };
    Problem::unauthenticated(presented, format!("{NO_TOKEN}{hint}"))
}

/// The answer to who shows what opened this face once.
fn void(interface: Interface, by: VoidBy) -> Problem {
    let (detail, hint) = match by {
        VoidBy::Time => (EXPIRED, log_in_hint(interface)),
        VoidBy::Session => (ENDED, log_in_hint(interface)),
        VoidBy::Token => (REVOKED, ""),
    };
    Problem::unauthenticated(true, format!("{detail}{hint}"))
}

/// What a log-in has to say to open a face.
fn log_in_hint(interface: Interface) -> &'static str {
    if interface == Interface::Mcp { FOR_MCP } else { "" }
}

/// Ends an answer that goes on, once what was shown for it is void.
fn until(void: impl Future<Output = ()> + Send + 'static, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(void))))
}

impl Gate {
    async fn visitor(&self, shown: Shown) -> Result<Visitor, Problem> {
        let Shown { token: shown_token, presented, address, stops } = shown;
        let visitor = match &shown_token {
            Some(token) => self.service.authenticate(token, self.interface).await?,
            None => None,
        };
        if let (true, Some(Visitor { principal: Principal::User(session), .. })) = (stops, &visitor)
        {
            self.rates.stopping(session.user_id).map_err(|slow| Problem::too_many(&slow))?;
            return visitor.ok_or_else(|| unauthenticated(self.interface, presented));
        }
        if visitor.as_ref().is_none_or(|visitor| visitor.principal != Principal::Operator) {
            self.rates.address(address).map_err(|slow| Problem::too_many(&slow))?;
        }
        let visitor = match (visitor, shown_token) {
            (Some(visitor), _) => visitor,
            (None, Some(token)) => {
                let by = self.service.void_by(&token, self.interface).await?;
                return Err(match by {
                    Some(by) => void(self.interface, by),
                    None => unauthenticated(self.interface, presented),
                });
            }
            (None, None) => return Err(unauthenticated(self.interface, presented)),
        };
        self.rates.principal(&visitor.principal).map_err(|slow| Problem::too_many(&slow))?;
        Ok(visitor)
    }
}

/// What a request shows of who sends it.
struct Shown {
    token: Option<Zeroizing<String>>,
    /// Whether it shows anything at all.
    presented: bool,
    address: IpAddr,
    /// Whether a user stops an agent or a session by it.
    stops: bool,
}

impl Shown {
    fn of(request: &Request) -> Self {
        Self {
            token: bearer(request.headers()).map(|token| Zeroizing::new(token.to_owned())),
            presented: request.headers().contains_key(header::AUTHORIZATION),
            address: peer(request.extensions()),
            stops: false,
        }
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
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address)
}
