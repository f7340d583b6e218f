//! The links between locations: delay, jitter and cuts; delays and cuts change while the servers run.
//!
//! A link joins two locations, whichever side opened the connection, and both directions have its delay. The relays run on
//! a thread of their own, so a test that blocks its runtime does not slow the network down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::layout::ClusterMember;
use super::relay;

/// All links of one system, and the relays that implement them.
#[derive(Debug)]
pub struct Wan {
    /// By both locations, in alphabetical order.
    links: BTreeMap<(String, String), Arc<WanLink>>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// The connection between two locations.
#[derive(Debug)]
pub(crate) struct WanLink {
    delay_micros: AtomicU64,
    jitter: Duration,
    cut: watch::Sender<bool>,
}

impl WanLink {
    pub(crate) fn with(delay: Duration, jitter: Duration) -> Arc<Self> {
        Arc::new(Self {
            delay_micros: AtomicU64::new(micros(delay)),
            jitter,
            cut: watch::Sender::new(false),
        })
    }

    fn set_delay(&self, one_way: Duration) {
        self.delay_micros.store(micros(one_way), Ordering::Relaxed);
    }

    pub(crate) fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::Relaxed))
    }

    /// The most that a chunk is delayed beyond [`Self::delay`].
    pub(crate) fn jitter(&self) -> Duration {
        self.jitter
    }

    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Ends when the link is cut.
    pub(crate) async fn until_cut(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }
}

impl Wan {
    pub(crate) fn new(members: &[ClusterMember], delay: Duration, jitter: Duration) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("leeward-wan")
            .enable_all()
            .build()
            .context("cannot start the thread of the WAN relays")?;
        let links = members
            .iter()
            .flat_map(|a| {
                members
                    .iter()
                    .map(move |b| (a.location.clone(), b.location.clone()))
            })
            .filter(|(a, b)| a < b)
            .map(|pair| (pair, WanLink::with(delay, jitter)))
            .collect();
        Ok(Self {
            links,
            runtime: Some(runtime),
        })
    }

    /// Relays calls from location `from` made to `listener` to `target`, where a server of location `to` listens.
    pub(crate) fn relay(
        &self,
        (from, to): (&str, &str),
        listener: std::net::TcpListener,
        target: std::net::SocketAddr,
    ) -> anyhow::Result<()> {
        let link = Arc::clone(self.find(from, to)?);
        let runtime = self.runtime.as_ref().context("the WAN has ended")?;
        listener.set_nonblocking(true).context("relay listener")?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).context("relay listener")?
        };
        runtime.spawn(relay::serve(listener, target, link));
        Ok(())
    }

    /// Sets the one-way delay between two locations; chunks already on their way keep theirs.
    pub fn set_delay(&self, a: &str, b: &str, one_way: Duration) -> anyhow::Result<()> {
        self.find(a, b)?.set_delay(one_way);
        Ok(())
    }

    /// Sets the one-way delay of every link.
    pub fn set_delay_everywhere(&self, one_way: Duration) {
        for link in self.links.values() {
            link.set_delay(one_way);
        }
    }

    /// Closes the connections between two locations and refuses new ones, until [`Self::heal`].
    pub fn cut(&self, a: &str, b: &str) -> anyhow::Result<()> {
        self.find(a, b)?.set_cut(true);
        Ok(())
    }

    /// Lets two locations connect again; servers do so by themselves, within a second or two.
    pub fn heal(&self, a: &str, b: &str) -> anyhow::Result<()> {
        self.find(a, b)?.set_cut(false);
        Ok(())
    }

    fn find(&self, a: &str, b: &str) -> anyhow::Result<&Arc<WanLink>> {
        let (first, second) = if a < b { (a, b) } else { (b, a) };
        let link = self.links.get(&(first.to_owned(), second.to_owned()));
        link.with_context(|| format!("there is no link between locations {a} and {b}"))
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would block, which tokio forbids in async code.
            runtime.shutdown_background();
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
