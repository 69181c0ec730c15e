//! `/livez` and `/readyz`, for whoever runs the server, without a token; `/metrics`, for the operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use metrics_exporter_prometheus::PrometheusHandle;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::openapi::Operation;
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{Health, Service};

/// The routes that need no token.
pub fn routes() -> Routes {
    Routes::new("health")
        .get(
            "/livez",
            live,
            Operation::open("live", "Whether the process answers")
                .answers_text("text/plain; charset=utf-8", "It does."),
        )
        .get(
            "/readyz",
            ready,
            Operation::open("ready", "Whether commands are taken and reads are served")
                .about("503 with the same body while the server is not ready, or is stopping.")
                .answers::<Readiness>(200, "They are; on a standby with `writer` false.")
                .answers::<Readiness>(503, "They are not."),
        )
}

/// The routes that need one.
pub fn measured() -> Routes {
    Routes::new("health").get(
        "/metrics",
        metrics,
        Operation::read(Act::ReadMetrics, "metrics", "Counters and histograms of the process")
            .answers_text("text/plain; version=0.0.4; charset=utf-8", "Prometheus's text format."),
    )
}

/// How the process is, and whether it is about to end.
#[derive(Debug, JsonSchema, Serialize)]
struct Readiness {
    /// The server was asked to stop: it finishes what is under way and takes nothing new.
    stopping: bool,
    #[serde(flatten)]
    health: Health,
}

/// `GET /livez`: the process answers.
async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when commands are taken here, or reads are served beside another writer; else 503.
async fn ready(
    State(service): State<Arc<Service>>,
    State(stop): State<CancellationToken>,
) -> (StatusCode, Json<Readiness>) {
    let (stopping, mut health) = (stop.is_cancelled(), service.health().await);
    health.ready &= !stopping;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { stopping, health }))
}

/// `GET /metrics`
async fn metrics(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], metrics.render())
}
