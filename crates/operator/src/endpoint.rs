//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use leeward_engine::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the endpoints tell.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the caches are filled.
    pub ready: watch::Receiver<bool>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if *health.ready.borrow() {
        (StatusCode::OK, "ok\n")
    } else {
        let text =
            "the caches are not filled yet: is the Kubernetes API reachable, and are the CRDs installed?\n";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// `OpenMetrics` for those who ask for it, Prometheus's own format for all others.
async fn metrics(State(health): State<Health>, headers: HeaderMap) -> Response {
    let (kind, page) = if accepts_open_metrics(&headers) {
        (OPEN_METRICS, health.metrics.page())
    } else {
        (CLASSIC, health.metrics.classic_page())
    };
    match page {
        Ok(page) => ([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let asked = parts.next() == Some("application/openmetrics-text");
            asked && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "version=0.0.1"))
        })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let asks = |accept: &'static str| {
            accepts_open_metrics(&HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(accept),
            )]))
        };
        assert!(asks(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(!asks("text/plain"));
        assert!(!asks("*/*"));
        assert!(!asks("application/openmetrics-text;q=0, text/plain"));
        assert!(!accepts_open_metrics(&HeaderMap::new()));
    }
}
