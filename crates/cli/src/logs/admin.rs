//! The administration of a running operator, on a loopback address only: what is logged is read and changed there.
//!
//! It can silence the log, so only what runs in the same pod reaches it: `kubectl exec … -- /leeward log-level`, or
//! `kubectl port-forward`. The audit trail cannot be silenced.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::Filter;

/// Where the level is read and changed.
pub const PATH: &str = "/log-level";
/// A filter is shorter than that.
const MAX_FILTER: usize = 4096;

/// Where the administration listens; nowhere, if it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminAddress(pub Option<SocketAddr>);

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        let address: SocketAddr = text.trim().parse().map_err(|_| {
            "write an address and a port, such as 127.0.0.1:8081, or nothing to turn it off".to_owned()
        })?;
        if !address.ip().is_loopback() {
            return Err("only a loopback address such as 127.0.0.1 is taken: reach it with kubectl exec or port-forward".to_owned());
        }
        Ok(Self(Some(address)))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(formatter))
    }
}

/// Serves for as long as the process lives. The operator works without it, so an address in use is only a warning.
pub async fn serve(address: AdminAddress, filter: Filter) -> Infallible {
    let AdminAddress(Some(address)) = address else {
        return std::future::pending().await;
    };
    let served = async {
        let listener = TcpListener::bind(address).await?;
        info!(admin = %listener.local_addr()?, "the administration listens");
        axum::serve(listener, router(filter)).await
    };
    if let Err(error) = served.await {
        warn!(admin = %address, %error, "the administration cannot listen: choose another address with --admin-listen");
    }
    std::future::pending().await
}

fn router(filter: Filter) -> Router {
    Router::new()
        .route(PATH, get(level).put(change))
        .layer(DefaultBodyLimit::max(MAX_FILTER))
        .with_state(filter)
}

async fn level(State(filter): State<Filter>) -> String {
    format!("{}\n", filter.get())
}

async fn change(State(filter): State<Filter>, wanted: String) -> (StatusCode, String) {
    let (before, wanted) = (filter.get(), wanted.trim());
    match filter.set(wanted) {
        Ok(()) => {
            warn!(%before, now = %wanted, "what is logged was changed");
            (StatusCode::OK, format!("{wanted}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::logs::filter;

    async fn ask(listener_of: &Router, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = axum::serve(listener, listener_of.clone()).into_future();
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::select! {
            answer = asked => answer,
            ended = served => panic!("{ended:?}"),
        }
    }

    fn put(body: &str) -> String {
        let length = body.len();
        format!(
            "PUT /log-level HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn what_is_logged_is_read_and_changed_and_what_is_no_filter_is_refused_with_the_cure() {
        let (_layer, filter) = filter("info").unwrap();
        let router = router(filter.clone());
        let get = "GET /log-level HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(ask(&router, get).await.ends_with("\r\n\r\ninfo\n"));
        let answer = ask(&router, &put("warn,leeward_engine=debug\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(filter.get(), "warn,leeward_engine=debug");
        for wrong in ["loud", "leeward=loud", "", "info,"] {
            let answer = ask(&router, &put(wrong)).await;
            assert!(
                answer.starts_with("HTTP/1.1 400") && answer.contains("write off, error"),
                "{answer}"
            );
        }
        let answer = ask(&router, &put(&"a".repeat(MAX_FILTER + 1))).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert_eq!(filter.get(), "warn,leeward_engine=debug");
    }
}
