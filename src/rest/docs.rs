//! `/openapi.json`, and `/docs`, a page that shows it to people. Neither needs a token, nor any other server.

use std::sync::LazyLock;

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use sha2::{Digest, Sha256};

use super::openapi::Operation;
use super::routes::Routes;

/// The page, with its style and its script inside.
const PAGE: &str = include_str!("docs.html");

/// The document as it is served and printed.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", super::document()));

/// What the page may do: run its own script, have its own style, and ask this server. Its icon is an empty one of its
/// own, for which no browser asks the server.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let script = digest(inside("script"));
    let style = digest(inside("style"));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The routes.
pub fn routes() -> Routes {
    Routes::new("documentation")
        .get(
            "/openapi.json",
            document,
            Operation::open("openapi", "This document")
                .answers::<Object>(200, "The OpenAPI document of this server."),
        )
        .get(
            "/docs",
            page,
            Operation::open("docs", "This document as a page")
                .answers_text("text/html; charset=utf-8", "A page that shows the document."),
        )
}

/// Some JSON object.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Object(
    #[expect(dead_code, reason = "describes, and is never made")]
    serde_json::Map<String, serde_json::Value>,
);

/// `GET /openapi.json`
async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json"), CACHED], DOCUMENT.as_str())
}

/// `GET /docs`
async fn page() -> impl IntoResponse {
    let policy = (header::CONTENT_SECURITY_POLICY, POLICY.as_str());
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), policy, CACHED], PAGE)
}

/// Both change with the program alone: they may be kept, and are asked for again.
const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");

/// What stands inside of an element of the page.
fn inside(element: &str) -> &'static str {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let inside = PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    inside.map(|(inside, _)| inside).expect("the page has one style and one script")
}

/// The digest by which a policy permits an inline element.
fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
