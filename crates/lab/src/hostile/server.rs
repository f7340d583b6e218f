//! The listening side: one port, one script at a time, and counts of what clients did.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::honest::Present;
use super::peer;
use super::question::Call;
use super::script::Script;
use crate::lock::lock;

/// A NATS server that lies; it ends with this value, and its connections with it.
#[derive(Debug)]
pub struct Liar {
    shared: Arc<LiarState>,
    _accepting: AbortOnDropHandle<()>,
    _strays: AbortOnDropHandle<()>,
}

#[derive(Debug)]
pub(crate) struct LiarState {
    pub(crate) port: u16,
    /// The port that redirects point to.
    pub(crate) elsewhere: u16,
    script: Mutex<Arc<Script>>,
    /// Changes when all connections are to end.
    hang_up: watch::Sender<u64>,
    present: Mutex<BTreeMap<u64, Present>>,
    asked: Mutex<BTreeMap<Call, usize>>,
    accepted: AtomicUsize,
    redirected_connections: AtomicUsize,
    next: AtomicU64,
}

impl Liar {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_at(0, script).await
    }

    /// Listens on this port of 127.0.0.1.
    pub async fn start_at(port: u16, script: Script) -> anyhow::Result<Self> {
        let listener = listen(port).await?;
        let elsewhere = listen(0).await?;
        let shared = Arc::new(LiarState {
            port: listener.local_addr()?.port(),
            elsewhere: elsewhere.local_addr()?.port(),
            script: Mutex::new(Arc::new(script)),
            hang_up: watch::Sender::new(0),
            present: Mutex::default(),
            asked: Mutex::default(),
            accepted: AtomicUsize::new(0),
            redirected_connections: AtomicUsize::new(0),
            next: AtomicU64::new(7),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        let redirected_connections = tokio::spawn(count_strays(elsewhere, Arc::clone(&shared)));
        Ok(Self {
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
            _strays: AbortOnDropHandle::new(redirected_connections),
        })
    }

    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// `nats://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.shared.port)
    }

    /// Lies differently from now on; requests are counted from zero, and connections stay.
    pub fn set_script(&self, script: Script) {
        *lock(&self.shared.script) = Arc::new(script);
        lock(&self.shared.asked).clear();
    }

    /// Ends all connections; new ones are accepted.
    pub fn hang_up(&self) {
        self.shared.hang_up.send_modify(|times| *times += 1);
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    pub fn connections(&self) -> usize {
        self.shared.present().len()
    }

    /// How often a call was requested under the present script.
    pub fn asked(&self, call: Call) -> usize {
        lock(&self.shared.asked).get(&call).copied().unwrap_or(0)
    }

    /// How many connections came to the port that redirects name: none from a client that keeps to its own servers.
    pub fn redirected_connections(&self) -> usize {
        self.shared.redirected_connections.load(Ordering::Acquire)
    }
}

impl LiarState {
    pub(crate) fn script(&self) -> Arc<Script> {
        Arc::clone(&lock(&self.script))
    }

    /// Counts a call; returns how often it was requested before.
    pub(crate) fn count(&self, call: Call) -> usize {
        let mut asked = lock(&self.asked);
        let times = asked.entry(call).or_insert(0);
        *times += 1;
        *times - 1
    }

    pub(crate) fn enter(&self, one: Present) {
        lock(&self.present).insert(one.number, one);
    }

    pub(crate) fn leave(&self, number: u64) {
        lock(&self.present).remove(&number);
    }

    pub(crate) fn present(&self) -> Vec<Present> {
        lock(&self.present).values().cloned().collect()
    }

    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.with_context(|| format!("cannot listen on port {port}"))
}

async fn accept(listener: TcpListener, shared: Arc<LiarState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.accepted.fetch_add(1, Ordering::AcqRel);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<LiarState>) {
    let mut hang_up = shared.hang_up.subscribe();
    let number = shared.number();
    let served = tokio::select! {
        served = peer::serve(stream, &shared, number) => served,
        _ = hang_up.changed() => Ok(()),
    };
    shared.leave(number);
    if let Err(error) = served {
        tracing::debug!(%error, "a connection has ended");
    }
}

async fn count_strays(listener: TcpListener, shared: Arc<LiarState>) {
    let mut kept = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.redirected_connections.fetch_add(1, Ordering::AcqRel);
        kept.push(stream);
    }
}
