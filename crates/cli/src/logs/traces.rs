//! Traces for a collector that accepts OTLP over HTTP: spans of rounds, looks and operations, sent in batches in the
//! background.
//!
//! An unreachable or slow collector loses spans and nothing else. The trace target is the engine's; the log filter does
//! not apply here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use leeward_engine::policy_event::SPANS;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// One batch; the next one waits meanwhile.
const LIMIT: Duration = Duration::from_secs(5);
/// Where a collector takes traces, below its base address.
const PATH: &str = "/v1/traces";

/// Sends spans; what is left is sent when it is ended.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    runtime: Runtime,
}

impl Traces {
    /// Sends to the collector with this base address.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()
            .context("the runtime of the traces did not start")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client(runtime.handle().clone())?)
            .with_endpoint(traces_of(endpoint))
            .with_timeout(LIMIT)
            .build()
            .with_context(|| {
                format!("--otlp-endpoint {endpoint} is no address: write one such as http://collector:4318")
            })?;
        let resource = Resource::builder()
            .with_service_name("leeward")
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self { provider, runtime })
    }

    /// Takes in the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("leeward"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == SPANS))
    }

    /// Sends what is left. Not to be called from an async context.
    pub fn end(self) {
        let Self { provider, runtime } = self;
        // Lost spans cannot be reported any more.
        let _ = provider.shutdown_with_timeout(LIMIT);
        runtime.shutdown_timeout(LIMIT);
    }
}

fn traces_of(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with(PATH) {
        base.to_owned()
    } else {
        format!("{base}{PATH}")
    }
}

/// The exporter's own thread has no runtime: requests are carried out on this one.
#[derive(Debug)]
struct Carried<C> {
    client: Arc<C>,
    runtime: Handle,
}

#[async_trait]
impl<C: HttpClient + 'static> HttpClient for Carried<C> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        self.runtime
            .spawn(async move { client.send_bytes(request).await })
            .await?
    }
}

fn client(runtime: Handle) -> anyhow::Result<impl HttpClient + 'static> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS for the traces cannot be set up")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Carried {
        client: Arc::new(HyperClient::new(connector, LIMIT, None)),
        runtime,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use axum::Router;
    use axum::body::Bytes as Body;
    use axum::http::{HeaderMap, Uri};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A collector that forwards what it is sent.
    async fn collector(sent: mpsc::Sender<(String, String, Vec<u8>)>) -> String {
        let take = move |uri: Uri, headers: HeaderMap, body: Body| {
            let kind = headers["content-type"].to_str().unwrap().to_owned();
            sent.send((uri.path().to_owned(), kind, body.to_vec())).unwrap();
            std::future::ready("")
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        format!("http://{address}/")
    }

    #[test]
    fn a_collector_is_sent_the_spans_of_the_engine_with_their_fields_and_no_others() {
        let runtime = Runtime::new().unwrap();
        let (sender, sent) = mpsc::channel();
        let endpoint = runtime.block_on(collector(sender));
        let traces = Traces::to(&endpoint).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(target: SPANS, "operation", asset = "orders", result = tracing::field::Empty);
            span.in_scope(|| span.record("result", "Succeeded"));
            drop(tracing::info_span!("stranger"));
        });
        traces.end();
        let (path, kind, body) = sent.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_eq!((path.as_str(), kind.as_str()), (PATH, "application/x-protobuf"));
        let text = String::from_utf8_lossy(&body);
        for word in [
            "operation",
            "asset",
            "orders",
            "Succeeded",
            "service.name",
            "leeward",
        ] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(!text.contains("stranger"), "{text}");
    }

    #[test]
    fn the_path_is_added_where_it_is_not_there() {
        assert_eq!(traces_of("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(traces_of("http://c:4318/v1/traces/"), "http://c:4318/v1/traces");
        assert!(Traces::to("no address").is_err());
    }
}
