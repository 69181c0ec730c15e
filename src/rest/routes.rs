//! Routes with what the document says of them, which they keep: who may not do what a route does is refused before its
//! handler runs, parameters and bodies that are not described are refused too, and a request takes at most [`DEADLINE`] ([`LONG_DEADLINE`] if it is described as slow). A write whose answer is lost so
//! may have happened and is safe to repeat under its key.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use super::Face;
use super::input::Fields;
use super::openapi::Operation;
use super::problem::Problem;
use super::request::id;
use crate::body::{PATIENCE, Untaken, take};
use crate::identity::Act;
use crate::service::{Caller, Service, ServiceError, Visitor};

/// What paths and queries call an account.
const ACCOUNT: &str = "account_id";

/// How long a request may take, its body included.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a request may take that works through much: the feed, a run of the market, a verification.
pub(super) const LONG_DEADLINE: Duration = Duration::from_secs(300);

/// A route as the document has it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its method.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: String,
    /// The group that it stands in.
    pub tag: &'static str,
    /// The rest.
    pub operation: Operation,
}

/// Routes of one room.
pub struct Routes {
    tag: &'static str,
    router: Router<Face>,
    described: Vec<Described>,
}

impl Routes {
    /// None yet; they stand under `tag` in the document.
    pub fn new(tag: &'static str) -> Self {
        Self { tag, router: Router::new(), described: Vec::new() }
    }

    /// Adds a `GET`.
    pub fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        self.on(Method::GET, path, handler, operation)
    }

    /// Adds a `POST`.
    pub fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        self.on(Method::POST, path, handler, operation)
    }

    /// Adds a `DELETE`.
    pub fn delete<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        self.on(Method::DELETE, path, handler, operation)
    }

    /// Adds a route of this method.
    pub fn on<H, T>(mut self, method: Method, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that routers know");
        let contract = Arc::new(Contract {
            act: operation.act(),
            parameters: operation.parameters().collect(),
            takes_body: operation.takes_body(),
            deadline: if operation.is_slow() { LONG_DEADLINE } else { DEADLINE },
        });
        self.router = self
            .router
            .route(path, on(filter, handler).route_layer(from_fn_with_state(contract, keep)));
        let (path, tag) = (path.to_owned(), self.tag);
        self.described.push(Described { method, path, tag, operation });
        self
    }

    /// These and those of another room.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self
    }

    /// What serves them. A path that leads nowhere and a method that a path does not take are problems too.
    pub fn into_router(self) -> Router<Face> {
        self.router.fallback(no_route).method_not_allowed_fallback(wrong_method)
    }

    /// What the document says of them, below `prefix`.
    pub fn into_described(self, prefix: &str) -> impl Iterator<Item = Described> {
        self.described
            .into_iter()
            .map(move |route| Described { path: format!("{prefix}{}", route.path), ..route })
    }
}

/// What a route promises by its description.
struct Contract {
    act: Option<Act>,
    parameters: Vec<&'static str>,
    takes_body: bool,
    deadline: Duration,
}

async fn keep(
    State(contract): State<Arc<Contract>>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(path) = path else { return Problem::no_route().into_response() };
    let mut query = match Fields::of_query(request.uri().query()) {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    let unknown = query.names_beside(&contract.parameters);
    if !unknown.is_empty() {
        return Problem::unknown_parameters(&unknown, &contract.parameters).into_response();
    }
    let answer = async {
        if let Some(act) = contract.act {
            match permit(known(&request), act, &path, &mut query).await {
                Ok(caller) => request.extensions_mut().insert(caller),
                Err(problem) => return problem.into_response(),
            };
        }
        if !contract.takes_body {
            let (parts, body) = request.into_parts();
            match take(body, 0, PATIENCE).await {
                Ok(_nothing) => {}
                Err(Untaken::Late) => return Problem::late().into_response(),
                Err(Untaken::TooLarge) => {
                    let detail = "this request takes no body: leave it out, and send what it shall say in the query";
                    return Problem::unreadable(detail).into_response();
                }
            }
            return next.run(Request::from_parts(parts, Body::empty())).await;
        }
        next.run(request).await
    };
    match tokio::time::timeout(contract.deadline, answer).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long; a write may have happened: repeat it under the same key";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
        }
    }
}

/// Who was found to call, and who permits it things.
fn known(request: &Request) -> Result<(Arc<Service>, Visitor), Problem> {
    let extensions = request.extensions();
    match (extensions.get::<Arc<Service>>(), extensions.get::<Visitor>()) {
        (Some(service), Some(visitor)) => Ok((Arc::clone(service), visitor.clone())),
        _ => Err(ServiceError::Defect("a route without authentication".to_owned()).into()),
    }
}

/// Lets a visitor do what a route does, on the account that its path or its query names.
async fn permit(
    known: Result<(Arc<Service>, Visitor), Problem>,
    act: Act,
    path: &RawPathParams,
    query: &mut Fields,
) -> Result<Caller, Problem> {
    let (service, visitor) = known?;
    let account = match path.iter().find(|(name, _)| *name == ACCOUNT) {
        Some((_, account)) => Some(id(account, ServiceError::no_account)?),
        // One that is no id is a fault that the handler finds with the others.
        None => query.id(ACCOUNT),
    };
    Ok(service.permit(&visitor, act, account).await?)
}

/// A path that leads nowhere.
async fn no_route() -> Problem {
    Problem::no_route()
}

/// A path that does not take the method.
pub async fn wrong_method() -> Problem {
    let detail = "this path does not take this method: the header Allow names those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
