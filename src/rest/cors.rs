//! Which pages of other origins a browser lets call this server: those that the operator named, and no other.
//!
//! An origin is allowed as a whole and exactly: scheme, host and port. None is reflected, none is a pattern, and
//! `*` and `null` are refused. What is allowed may send the refresh cookie too, as far as browsers send it to another site's
//! server at all. Where none is allowed, no answer says anything of the matter, and browsers keep every
//! page of another origin out.

use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to its question.
const KEPT: Duration = Duration::from_secs(600);

/// What a page may send beside what every page may.
const SENT: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-blotter-csrf"),
    HeaderName::from_static("x-request-id"),
];

/// What a page may read beside what every page may.
const READ: [HeaderName; 3] =
    [header::RETRY_AFTER, header::WWW_AUTHENTICATE, HeaderName::from_static("x-request-id")];

/// An origin as browsers write it, such as `https://app.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    /// Whether a header names it.
    pub fn is(&self, header: &HeaderValue) -> bool {
        self.0 == header
    }
}

/// Why a text is no origin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin: write it as browsers do, scheme and host and a port that is not the scheme's usual one, such as \
     https://app.example.com or http://localhost:5173"
)]
pub struct NoOrigin(String);

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let wrong = || NoOrigin(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let usual = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(wrong()),
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|authority| authority.as_str() == rest);
        let authority = authority.ok_or_else(wrong)?.as_str();
        let plain = !authority.contains(['@', '*'])
            && !authority.ends_with(usual)
            && !authority.ends_with([':', '.'])
            && authority == authority.to_ascii_lowercase();
        if !plain {
            return Err(wrong());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

/// Lets pages of `origins` call what `faces` serve.
pub fn allow(faces: Router, origins: &[Origin]) -> Router {
    if origins.is_empty() {
        return faces;
    }
    let origins = AllowOrigin::list(origins.iter().map(|Origin(origin)| origin.clone()));
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods(methods)
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(KEPT);
    faces.layer(cors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for right in ["https://app.example.com", "http://localhost:5173", "http://[::1]:8080"] {
            assert_eq!(
                right.parse::<Origin>().map(|origin| origin.to_string()),
                Ok(right.to_owned())
            );
        }
        for wrong in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://localhost:80",
            "https://*.example.com",
            "https://a@b",
            "ftp://app.example.com",
            "https://app.example.com.",
            "https://app.example.com:",
            "https://a b",
        ] {
            assert_eq!(wrong.parse::<Origin>(), Err(NoOrigin(wrong.to_owned())), "{wrong}");
        }
    }
}
