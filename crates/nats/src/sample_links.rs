//! Connections on which samples are received: one for each URL that leads next to a stream's leader (nats-facts N72).
//!
//! They are made when a sample needs them, to the servers of the configuration only. They are not the connection that acts:
//! what clients send may end a connection that cannot read it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use leeward_core::names::ServerName;
use leeward_engine::ports::ActError;
use tokio::time::{Instant, timeout_at};

use crate::connect::{ConnectionState, Link};
use crate::connect_config::ConnectConfig;
use crate::moments::ahead;
use crate::servers::one_by_one;

/// How long a sample waits for its connection: one that ended at once counts only after it has lasted for a while.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long a connection to somewhere else waits for one that leads to where it should.
const NEARER_LIMIT: Duration = Duration::from_secs(1);
/// A connection without samples, and where a URL leads, are kept for this long.
const KEPT_FOR: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(crate) struct SampleLinks {
    by_url: Mutex<Vec<SampleLink>>,
}

/// A URL, and what is known of it.
#[derive(Debug)]
struct SampleLink {
    config: ConnectConfig,
    link: Option<Arc<Link>>,
    /// Where it led, and when that was seen; no server where there was no connection in time.
    led_to: Option<(Option<ServerName>, Instant)>,
    /// When a sample was last taken on it.
    used: Option<Instant>,
}

/// The connection for a sample.
pub(crate) struct NearestLink {
    pub(crate) link: Arc<Link>,
    /// It leads to one of the servers that were wanted.
    pub(crate) is_near: bool,
}

impl SampleLinks {
    pub(crate) fn new(config: &ConnectConfig) -> Self {
        let sample_link = |config| SampleLink {
            config,
            link: None,
            led_to: None,
            used: None,
        };
        let by_url = Mutex::new(one_by_one(config).into_iter().map(sample_link).collect());
        Self { by_url }
    }

    /// A connection to one of these servers, or else to any; waits until it is there.
    pub(crate) async fn nearest(&self, near: &BTreeSet<ServerName>) -> Result<NearestLink, ActError> {
        let likely = self.candidates(near);
        connected(&likely, near).await;
        if let Some(found) = self.choose(near, &likely) {
            return Ok(found);
        }
        let all = self.all();
        connected(&all, near).await;
        self.choose(near, &all).ok_or(ActError::Disconnected)
    }

    fn all(&self) -> Vec<(usize, Arc<Link>)> {
        let mut by_url = self.lock();
        by_url.iter_mut().map(SampleLink::open).enumerate().collect()
    }

    /// The connections that may be the nearest, opened where needed: one that leads there, or else all of which that is not
    /// known, or else one that leads anywhere.
    fn candidates(&self, near: &BTreeSet<ServerName>) -> Vec<(usize, Arc<Link>)> {
        let mut by_url = self.lock();
        let leads_there = |one: &SampleLink| one.server().is_some_and(|server| near.contains(&server));
        let leads_anywhere = |one: &SampleLink| one.server().is_some();
        let unknown = |one: &SampleLink| !one.is_known();
        let places = if let Some(there) = by_url.iter().position(leads_there) {
            vec![there]
        } else if by_url.iter().any(unknown) {
            let unknown = by_url.iter().enumerate().filter(|(_, one)| unknown(one));
            unknown.map(|(at, _)| at).collect()
        } else if let Some(anywhere) = by_url.iter().position(leads_anywhere) {
            vec![anywhere]
        } else {
            Vec::new()
        };
        let open = |at: usize| Some((at, by_url.get_mut(at)?.open()));
        places.into_iter().filter_map(open).collect()
    }

    /// Chooses among those that are connected, and closes those on which no sample was taken lately.
    fn choose(&self, near: &BTreeSet<ServerName>, candidates: &[(usize, Arc<Link>)]) -> Option<NearestLink> {
        let mut by_url = self.lock();
        for (at, link) in candidates {
            by_url.get_mut(*at)?.note(link);
        }
        let is_near = |one: &SampleLink| one.connected().is_some_and(|server| near.contains(&server));
        let nearest = by_url.iter().position(is_near);
        let any = by_url.iter().position(|one| one.connected().is_some());
        let chosen = by_url.get_mut(nearest.or(any)?)?;
        chosen.used = Some(Instant::now());
        let link = chosen.open();
        for one in by_url.iter_mut().filter(|one| !one.was_used_lately()) {
            one.link = None;
        }
        Some(NearestLink {
            link,
            is_near: nearest.is_some(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SampleLink>> {
        self.by_url.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until one of them leads to where it should, or there is no hope of that.
async fn connected(links: &[(usize, Arc<Link>)], near: &BTreeSet<ServerName>) {
    let connecting = links.iter().map(|(_, link)| async {
        let mut state = link.state();
        // Where it leads is read from its state.
        let _ = state.wait_for(ConnectionState::is_connected).await;
        server_of(link)
    });
    let mut connecting: FuturesUnordered<_> = connecting.collect();
    let mut deadline = ahead(CONNECT_LIMIT);
    while let Ok(Some(server)) = timeout_at(deadline, connecting.next()).await {
        match server {
            Some(server) if near.contains(&server) => return,
            Some(_) => deadline = deadline.min(ahead(NEARER_LIMIT)),
            None => {}
        }
    }
}

/// The server to which a connection leads, while it does.
fn server_of(link: &Link) -> Option<ServerName> {
    match &*link.state().borrow() {
        ConnectionState::Connected { server, version: _ } => Some(server.clone()),
        ConnectionState::Connecting
        | ConnectionState::Disconnected { message: _ }
        | ConnectionState::Refused { .. } => None,
    }
}

impl SampleLink {
    fn open(&mut self) -> Arc<Link> {
        let link = self
            .link
            .get_or_insert_with(|| Arc::new(Link::open(self.config.clone())));
        Arc::clone(link)
    }

    /// The server to which it is connected.
    fn connected(&self) -> Option<ServerName> {
        server_of(self.link.as_ref()?)
    }

    /// The server to which it leads, as last seen.
    fn server(&self) -> Option<ServerName> {
        let remembered = || {
            let (server, _) = self.led_to.as_ref().filter(|_| self.is_known())?;
            server.clone()
        };
        self.connected().or_else(remembered)
    }

    fn is_known(&self) -> bool {
        let led_to = self.led_to.as_ref();
        led_to.is_some_and(|(_, seen)| seen.elapsed() < KEPT_FOR)
    }

    fn was_used_lately(&self) -> bool {
        self.used.is_some_and(|used| used.elapsed() < KEPT_FOR)
    }

    /// Remembers where a connection leads that was opened for it; a sample that did not need it may have closed it meanwhile.
    fn note(&mut self, link: &Arc<Link>) {
        self.link = Some(Arc::clone(link));
        self.led_to = Some((self.connected(), Instant::now()));
    }
}
