//! What the operator serves over HTTP: `/metrics` on one port, `/livez` and `/readyz` on another, so that readers of
//! the metrics cannot block the kubelet's probes.
//!
//! A port has at most [`MOST_CONNECTIONS`] connections; beyond that a new one replaces the oldest. Each serves one
//! request and ends within [`CONNECTION_LIMIT`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use leeward_engine::metrics::Metrics;
use leeward_engine::supervise;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
/// For each port; a Prometheus and a kubelet need one at a time.
const MOST_CONNECTIONS: usize = 64;
/// The head of a request is read within this time.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// And answered and taken within this.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// The head of a request, at most; hyper takes no smaller bound.
const HEAD_BYTES: usize = 8192;
/// When no connection can be accepted, as without free files, the next is tried after this time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The numbers.
pub fn metrics_page(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_in_format))
        .with_state(metrics)
}

/// The kubelet's probes; `ready` is whether the caches are filled.
pub fn probes(ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(ready)
}

/// Serves until `stop`, then finishes open requests.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "no connection can be accepted for metrics or probes");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= MOST_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(connections.spawn(answer_one(stream, router.clone())));
    }
    while connections.join_next().await.is_some() {}
}

async fn answer_one(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection for metrics or probes ended"),
        Err(_) => debug!("a connection for metrics or probes was not done in time"),
    }
}

async fn livez() -> (StatusCode, &'static str) {
    if supervise::is_beyond_help() {
        let text = "a task that everything depends on breaks off again and again: see the log\n";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readyz(State(ready): State<watch::Receiver<bool>>) -> (StatusCode, &'static str) {
    if *ready.borrow() {
        (StatusCode::OK, "ok\n")
    } else {
        let text =
            "the caches are not filled yet: is the Kubernetes API reachable, and are the CRDs installed?\n";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// `OpenMetrics` for clients that accept it, Prometheus's own format for all others.
async fn metrics_in_format(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    let (kind, page) = if accepts_open_metrics(&headers) {
        (OPEN_METRICS, metrics.page())
    } else {
        (CLASSIC, metrics.classic_page())
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";

    async fn answer(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        // What was cut off has no answer.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn opened(address: std::net::SocketAddr, said: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_probe_is_answered_while_more_connections_than_are_kept_say_half_a_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_ready, ready) = watch::channel(false);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, probes(ready), stop.clone()));
        let mut halves = Vec::new();
        for _ in 0..3 * MOST_CONNECTIONS {
            halves.push(opened(address, &PROBE[..20]).await);
        }
        let live = answer(&mut opened(address, PROBE).await).await;
        assert!(
            live.starts_with("HTTP/1.1 200") && live.ends_with("ok\n"),
            "{live}"
        );
        assert_eq!(answer(&mut halves[0]).await, "", "the oldest gave way");
        let unready = answer(&mut opened(address, b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await).await;
        assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
        // The last half is closed for slowness, although no other connection needs its place.
        let slow = answer(halves.last_mut().unwrap()).await;
        assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_ready, ready) = watch::channel(true);
        let serving = tokio::spawn(serve(listener, probes(ready), CancellationToken::new()));
        let mut stream = opened(address, b"GET /livez HTTP/1.1\r\nx: ").await;
        // Writing fails once the other side has hung up.
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        serving.abort();
    }

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
