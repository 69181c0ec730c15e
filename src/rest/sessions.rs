//! `/v1/sessions` and `/.well-known/jwks.json`.
//!
//! A browser keeps its refresh token in a cookie that its scripts cannot read and that no other site can have sent: a
//! request that is made by the cookie has to come from this origin, or one that the operator allowed, and to say so in a
//! header that forms cannot set.

use std::sync::Arc;

use aggregates::id::SessionId;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::Face;
use super::cors::Origin;
use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, JsonBody, Path, Sender, id};
use super::routes::Routes;
use super::users::{credentials, secret, unread};
use crate::identity::Act;
use crate::identity::access::Audience;
use crate::identity::email::LONGEST as EMAIL_MAX;
use crate::service::{
    Changed, EndedSession, KeysAnswer, Page, Service, ServiceError, SessionAnswer, TokensAnswer,
    UserChange,
};

/// The cookie with the refresh token. The prefix has browsers refuse it from other hosts, paths and schemes.
const COOKIE: &str = "__Host-blotter_refresh";
/// The header that shows that a script of this site made the request.
const CSRF: &str = "x-blotter-csrf";
/// The longest refresh token, in characters.
const TOKEN_MAX: usize = 100;
/// What the session that asks is called in a path.
const CURRENT: &str = "current";

const AUDIENCES: [(&str, Audience); 2] = [("rest", Audience::Rest), ("mcp", Audience::Mcp)];

/// The routes.
pub fn routes() -> Routes {
    let audience = || {
        Field::word(
            "audience",
            &AUDIENCES,
            "The face that the access token is for; `rest` if absent.",
        )
    };
    let cookie = Field::flag(
        "cookie",
        "For browsers: the refresh token is set as a cookie that scripts cannot read, and is not in the answer.",
    );
    let [email, password] = credentials();
    let token = Field::text(
        "refresh_token",
        TOKEN_MAX,
        "The last refresh token of the session; absent where the cookie holds it.",
    )
    .example("blr_…");
    let csrf =
        Field::text("X-Blotter-CSRF", 1, "`1`, needed where the cookie holds the refresh token.");
    Routes::new("sessions")
        .post(
            "/sessions",
            log_in,
            Operation::open("log_in", "Log in")
                .about(
                    "Answers the same, after the same time, whether the user is unknown, disabled or the password wrong. \
                     Wrong tries make the next ones wait.",
                )
                .body(&[email, password, cookie, audience()], json!({
                    "email": "ada@example.org", "password": "several unrelated words here",
                }))
                .answers::<Changed<TokensAnswer>>(200, "What the session goes on with.")
                .may(401)
                .may(403)
                .may(429),
        )
        .post(
            "/sessions/refresh",
            refresh,
            Operation::open("refresh", "Exchange the refresh token for the next access token")
                .about(
                    "A refresh token is good once. One that comes a second time ends the session, since two have it then: \
                     if an answer was lost, log in again.",
                )
                .header(csrf)
                .body(&[token, audience()], json!({"refresh_token": "blr_…"}))
                .answers::<Changed<TokensAnswer>>(200, "What the session goes on with.")
                .may(401)
                .may(403)
                .may(429),
        )
        .get(
            "/sessions",
            list,
            Operation::read(Act::ManageSessions, "list_sessions", "The caller's live sessions")
                .answers::<Page<SessionAnswer>>(200, "All of them, the last used first."),
        )
        .delete(
            "/sessions",
            end_every,
            Operation::write(Act::ManageSessions, "end_sessions", "Log out everywhere")
                .about(
                    "Ends every session of the caller, the one that asks too: their access tokens are void at once. Tokens of \
                     agents stay: `DELETE /v1/tokens/{token_id}` revokes one.",
                )
                .stops()
                .answers::<Changed<UserChange>>(200, "Whose sessions ended."),
        )
        .delete(
            "/sessions/{session_id}",
            end,
            Operation::write(Act::ManageSessions, "end_session", "Log out, or end another session")
                .about("`current` is the session that asks. Its access tokens are void at once.")
                .stops()
                .answers::<Changed<EndedSession>>(200, "The session."),
        )
}

/// The route of the public keys.
pub fn keys() -> Routes {
    Routes::new("sessions").get(
        "/.well-known/jwks.json",
        public_keys,
        Operation::open("jwks", "The public keys that access tokens are verified by")
            .answers::<KeysAnswer>(200, "The keys, as RFC 7517 has them."),
    )
}

/// Sees that a request which a browser may have been made to send came from this origin or an allowed one.
fn friendly(headers: &HeaderMap, allowed: &[Origin]) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forbidden = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
    if headers.get(CSRF).is_none_or(|value| value != "1") {
        return forbidden("a request by the cookie needs the header X-Blotter-CSRF: 1");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return forbidden("a request by the cookie needs one Origin, which browsers send");
    };
    let own = text(header::ORIGIN).and_then(|origin| {
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))
    });
    if (own.is_some() && own == text(header::HOST)) || allowed.iter().any(|it| it.is(origin)) {
        Ok(())
    } else {
        forbidden(
            "a request by the cookie has to come from a page of this server, or of an origin that --allow-origin names",
        )
    }
}

/// The refresh token in the cookie.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| value.to_owned())
    })
}

fn set_cookie(token: &str, until: DateTime<Utc>) -> Result<HeaderValue, Problem> {
    let seconds = (until - Utc::now()).num_seconds().max(0);
    let text =
        format!("{COOKIE}={token}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let value = HeaderValue::try_from(text)
        .map_err(|error| ServiceError::Defect(format!("no cookie: {error}")))?;
    Ok(value)
}

/// The answer, with the refresh token in it or in the cookie.
fn rendered(mut tokens: Changed<TokensAnswer>, by_cookie: bool) -> Result<Response, Problem> {
    if !by_cookie {
        return Ok(Json(tokens).into_response());
    }
    let token = tokens.answer.refresh_token.take().unwrap_or_default();
    let value = set_cookie(&token, tokens.answer.idle_until)?;
    Ok(([(header::SET_COOKIE, value)], Json(tokens)).into_response())
}

/// `POST /v1/sessions`
async fn log_in(
    State(face): State<Face>,
    Sender(guest): Sender,
    headers: HeaderMap,
    JsonBody(mut body): JsonBody,
) -> Result<Response, Problem> {
    let email = body.text("email", EMAIL_MAX);
    let email = body.need("email", email);
    let password = secret(&mut body, "password");
    let by_cookie = body.flag("cookie").unwrap_or(false);
    let audience = body.word("audience", &AUDIENCES).unwrap_or_default();
    body.end([])?;
    let (Some(email), Some(password)) = (email, password) else { return Err(unread()) };
    if by_cookie {
        friendly(&headers, &face.origins)?;
    }
    rendered(face.service.log_in(&email, &password, audience, &guest).await?, by_cookie)
}

/// `POST /v1/sessions/refresh`
async fn refresh(
    State(face): State<Face>,
    Sender(guest): Sender,
    headers: HeaderMap,
    JsonBody(mut body): JsonBody,
) -> Result<Response, Problem> {
    let token = body.text("refresh_token", TOKEN_MAX);
    let audience = body.word("audience", &AUDIENCES).unwrap_or_default();
    body.end([])?;
    let (token, by_cookie) = match (token, cookie(&headers)) {
        (Some(token), _) => (token, false),
        (None, Some(token)) => {
            friendly(&headers, &face.origins)?;
            (token, true)
        }
        (None, None) => {
            let detail = "refresh_token is missing, and so is the cookie that could hold it";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "missing_field", detail));
        }
    };
    rendered(face.service.refresh(&token, audience, &guest).await?, by_cookie)
}

/// `GET /v1/sessions`
async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
) -> Result<Json<Page<SessionAnswer>>, Problem> {
    Ok(Json(service.sessions(&caller).await?))
}

/// `DELETE /v1/sessions/{session_id}`
async fn end(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let current = session == CURRENT;
    let session: Option<SessionId> = match current {
        true => None,
        false => Some(id(&session, || ServiceError::NotFound("session"))?),
    };
    let ended = service.end_session(&caller, session).await?;
    let response = Json(ended).into_response();
    if current { without_cookie(response, &headers) } else { Ok(response) }
}

/// `DELETE /v1/sessions`
async fn end_every(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ended = service.end_every_session(&caller).await?;
    without_cookie(Json(ended).into_response(), &headers)
}

/// The answer to who has logged out: a browser that sent the cookie forgets it.
fn without_cookie(mut response: Response, sent: &HeaderMap) -> Result<Response, Problem> {
    if cookie(sent).is_some() {
        let headers = response.headers_mut();
        headers.insert(header::SET_COOKIE, set_cookie("", Utc::now())?);
        let data = HeaderValue::from_static("\"cookies\", \"storage\"");
        headers.insert(HeaderName::from_static("clear-site-data"), data);
    }
    Ok(response)
}

/// `GET /.well-known/jwks.json`
async fn public_keys(State(service): State<Arc<Service>>) -> Json<KeysAnswer> {
    Json(service.public_keys())
}
