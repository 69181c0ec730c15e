//! `/livez` and `/readyz`, for whoever runs the server. They need no token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::service::{Health, Service};

/// `GET /livez`: the process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when commands are taken here, or reads are served beside another writer; else 503.
pub async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Json<Health>) {
    let health = service.health().await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}
