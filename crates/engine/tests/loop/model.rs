//! A system in memory behind both ports: it does what a script says and writes down what was asked of it.

mod confirmed;
pub mod life;
mod moves;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use leeward_core::action::Successor;
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{AssetInfo, PeerInfo, ReadResult};
use leeward_core::snapshot::{AccountView, Peer, RaftGroup};
use leeward_core::topology::ServerIx;
use leeward_core::usage::Sampling;
use leeward_engine::ports::{ActError, Clock as _};
use tokio::sync::{Notify, watch};

pub use self::confirmed::{Announced, Confirms};
use self::life::Life;
pub use self::moves::{Cancel, Moves};
pub use self::ports::OnSample;
use crate::clock::PausedClock;

/// What the system makes of a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Does it.
    Obey,
    /// Says yes and does nothing.
    Ignore,
    /// Elects these instead, one per request, then nobody else.
    Elect(Vec<&'static str>),
    /// Says no.
    Refuse,
    /// Does it, and somebody else says no.
    Contradicted,
    /// The user may not even ask.
    Deny,
    /// Somebody else answers for the servers, so nothing is sent.
    Forged,
    /// Does it and does not answer.
    Silent,
    /// Does it, and changes more than was asked for.
    Scramble,
    /// Begins a move and never ends it.
    Stick,
    /// Knows no preferred peer, as servers before 2.11.
    Aimless,
    /// Takes the adapter down.
    Panic,
}

/// Whether the call at which a runner is dropped takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Before,
    After,
}

/// A request that reached the system.
#[derive(Clone, Debug)]
pub struct Write {
    pub asset: AssetName,
    pub successor: Option<Successor>,
    pub at: Duration,
}

/// One call in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Read(AssetName),
    Write(AssetName),
    Denied(AssetName),
}

enum Change {
    Lead(ServerIx),
    Lie(Vec<ServerIx>),
    HandOver(Vec<ServerIx>),
}

struct Pending {
    asset: AssetName,
    reads_left: u32,
    change: Change,
}

pub struct State {
    pub truth: AccountView,
    /// Clients of consumers, and streams that read others.
    pub life: Life,
    /// What comes of the cancel of a move.
    pub cancel: Cancel,
    /// When moves were cancelled, or were to be.
    pub cancels: Vec<Duration>,
    /// How streams move.
    pub moves: Moves,
    now: Duration,
    pub behaviour: BTreeMap<AssetName, Behaviour>,
    pub otherwise: Behaviour,
    /// What a new member of a stream that moves lacks, read by read; the last stays.
    pub lacks: Vec<u64>,
    /// After so many reads of an asset a request shows its effect.
    pub reads_until_done: u32,
    /// Assets that are read as lagging, whatever a look says.
    pub read_as_lagging: BTreeSet<AssetName>,
    /// So many of the next reads fail.
    pub failing_reads: u32,
    /// What comes of a sampling; nothing is seen where nothing is said.
    pub on_sample: Option<OnSample>,
    pub samplings: Vec<(Duration, Sampling)>,
    pub writes: Vec<Write>,
    pub calls: Vec<Call>,
    pub refreshes: usize,
    /// Requests whose effect nobody has read back yet: at most so many at once, and of a stream and its consumers.
    pub most_open: usize,
    pub most_open_with_stream: usize,
    /// What the servers announce.
    pub announced: Announced,
    /// What the servers confirm; nobody confirms anything without it.
    pub confirms: Option<Confirms>,
    /// Told right after each read, before its answer arrives.
    pub on_read: Option<fn(&FakeSystem)>,
    halt: Option<(usize, Effect)>,
    pending: Vec<Pending>,
    open: BTreeSet<AssetName>,
}

pub struct FakeSystem {
    state: Mutex<State>,
    views: watch::Sender<Arc<AccountView>>,
    wanted: Notify,
    pub halted: Notify,
    pub clock: PausedClock,
}

impl FakeSystem {
    pub fn new(truth: AccountView) -> Arc<Self> {
        let clock = PausedClock::new();
        let fake = Self {
            views: watch::Sender::new(Arc::new(truth.clone())),
            state: Mutex::new(State {
                truth,
                life: Life::default(),
                cancel: Cancel::Obey,
                cancels: Vec::new(),
                moves: Moves::default(),
                now: Duration::ZERO,
                behaviour: BTreeMap::new(),
                otherwise: Behaviour::Obey,
                lacks: Vec::new(),
                reads_until_done: 3,
                read_as_lagging: BTreeSet::new(),
                failing_reads: 0,
                on_sample: None,
                samplings: Vec::new(),
                writes: Vec::new(),
                calls: Vec::new(),
                refreshes: 0,
                most_open: 0,
                most_open_with_stream: 0,
                announced: Announced::default(),
                confirms: None,
                on_read: None,
                halt: None,
                pending: Vec::new(),
                open: BTreeSet::new(),
            }),
            wanted: Notify::new(),
            halted: Notify::new(),
            clock,
        };
        fake.look();
        Arc::new(fake)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Looks at the whole system and shows what it saw.
    pub fn look(&self) {
        let mut state = self.state();
        for pending in &mut state.pending {
            pending.reads_left = pending.reads_left.saturating_sub(1);
        }
        state.apply_due();
        state.truth.observed_at = self.clock.now();
        let view = state.truth.clone();
        drop(state);
        self.show(view);
    }

    /// Shows a view, whatever is true.
    pub fn show(&self, view: AccountView) {
        self.views.send_replace(Arc::new(view));
    }

    /// Goes on looking: regularly, and when asked.
    pub fn keep_looking(self: &Arc<Self>, period: Duration) {
        let fake = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(period) => {}
                    () = fake.wanted.notified() => {}
                }
                fake.look();
            }
        });
    }

    /// From the n-th call on (counted from now) nothing returns any more, and `halted` is told.
    pub fn halt_at(&self, call: usize, effect: Effect) {
        let mut state = self.state();
        state.halt = Some((state.calls.len() + call, effect));
    }

    pub fn carry_on(&self) {
        let mut state = self.state();
        state.halt = None;
        state.open.clear();
    }

    /// Whether every effect of a request was read back.
    pub fn all_read_back(&self) -> bool {
        self.state().open.is_empty()
    }

    pub fn writes(&self) -> usize {
        self.state().writes.len()
    }

    pub fn writes_per_asset(&self) -> BTreeMap<AssetName, usize> {
        let mut counts = BTreeMap::new();
        for write in &self.state().writes {
            *counts.entry(write.asset.clone()).or_default() += 1;
        }
        counts
    }

    /// Somebody else hands a stream's leadership over.
    pub fn lead(&self, stream: &str, server: &str) {
        let mut state = self.state();
        let index = state.truth.topology.find(server).unwrap();
        let asset = AssetName::stream(StreamName::from(stream));
        state.group(&asset).unwrap().leader = Some(index);
    }

    /// A stream lies there from now on.
    pub fn settle(&self, stream: &str, servers: &[&str]) {
        let mut state = self.state();
        let topology = Arc::clone(&state.truth.topology);
        let servers = servers.iter().map(|server| topology.find(server).unwrap());
        let servers: Vec<ServerIx> = servers.collect();
        state.lie_on(&StreamName::from(stream), &servers);
    }

    /// One call: it takes a moment, and may be the one that never returns.
    async fn call<T>(&self, call: Call, effect: impl FnOnce(&mut State) -> T) -> T {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let halt = {
            let mut state = self.state();
            state.now = self.clock.elapsed();
            state.calls.push(call);
            let number = state.calls.len();
            state
                .halt
                .filter(|(at, _)| number >= *at)
                .map(|(_, effect)| effect)
        };
        let result = match halt {
            Some(Effect::Before) => None,
            Some(Effect::After) | None => Some(effect(&mut self.state())),
        };
        if halt.is_some() {
            self.halted.notify_one();
            std::future::pending::<()>().await;
        }
        result.expect("a call that returns took effect")
    }
}

impl State {
    fn group(&mut self, asset: &AssetName) -> Option<&mut RaftGroup> {
        let stream = self
            .truth
            .streams
            .iter_mut()
            .find(|stream| stream.name == asset.stream)?;
        match &asset.consumer {
            None => Some(&mut stream.group),
            Some(name) => {
                let consumer = stream
                    .consumers
                    .iter_mut()
                    .find(|consumer| consumer.name == *name)?;
                Some(&mut consumer.group)
            }
        }
    }

    fn apply_due(&mut self) {
        let (due, pending): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.reads_left == 0);
        self.pending = pending;
        for Pending { asset, change, .. } in due {
            match change {
                Change::Lead(server) => self.group(&asset).unwrap().leader = Some(server),
                Change::Lie(servers) => self.lie_on(&asset.stream, &servers),
                Change::HandOver(servers) => self.lead_from(&asset, servers),
            }
        }
    }

    /// Somebody else moves a stream.
    pub fn put_back(&mut self, stream: &StreamName, servers: &[&str]) {
        let topology = Arc::clone(&self.truth.topology);
        let servers: Vec<ServerIx> = servers.iter().map(|name| topology.find(name).unwrap()).collect();
        self.lie_on(stream, &servers);
        let moved = self.truth.streams.iter_mut().find(|found| found.name == *stream);
        moved.unwrap().placement = None;
    }

    fn read(&mut self, asset: &AssetName) -> ReadResult {
        let mut electing = false;
        for pending in self.pending.iter_mut().filter(|pending| pending.asset == *asset) {
            pending.reads_left = pending.reads_left.saturating_sub(1);
            // Right before the end there is a moment in which nobody answers.
            electing |= pending.reads_left == 1;
        }
        self.apply_due();
        self.life.notice(&self.truth, self.now);
        if electing {
            return ReadResult::Unanswered;
        }
        if !self.pending.iter().any(|pending| pending.asset == *asset) {
            self.open.remove(asset);
        }
        let lagging = self.read_as_lagging.contains(asset);
        let topology = Arc::clone(&self.truth.topology);
        let name = |server: ServerIx| topology.get(server).unwrap().name.clone();
        let Some(stream) = self.truth.stream(&asset.stream).cloned() else {
            return ReadResult::Gone;
        };
        let Some(group) = self.group(asset) else {
            return ReadResult::Gone;
        };
        let leader = group.leader;
        let read = |peer: &Peer| PeerInfo {
            server: name(peer.server),
            current: peer.current && !lagging,
            offline: peer.offline,
            lag: peer.lag.into(),
        };
        let mut peers: Vec<PeerInfo> = group.peers.iter().map(read).collect();
        peers.extend(self.arriving(asset, stream.moving));
        ReadResult::Seen(AssetInfo {
            leader: leader.map(name),
            peers,
            replicas: stream.replicas,
            moving: stream.moving,
            placement: stream.placement.filter(|_| asset.consumer.is_none()),
            bytes: if asset.consumer.is_none() { stream.bytes } else { 0 },
            progress: self.life.progress(asset, leader, self.now),
            upstreams: self.life.upstreams(asset, self.now),
        })
    }

    fn open(&mut self, asset: &AssetName) {
        self.open.insert(asset.clone());
        self.most_open = self.most_open.max(self.open.len());
        let of_stream = self.open.iter().filter(|open| open.stream == asset.stream);
        if of_stream.clone().any(|open| open.consumer.is_none()) {
            self.most_open_with_stream = self.most_open_with_stream.max(of_stream.count());
        }
    }

    /// `None`: nothing comes of it.
    fn elected(&mut self, asset: &AssetName, successor: &Successor) -> Option<ServerIx> {
        let topology = Arc::clone(&self.truth.topology);
        if let Some(Behaviour::Elect(names)) = self.behaviour.get_mut(asset) {
            let next = (!names.is_empty()).then(|| names.remove(0))?;
            return topology.find(next);
        }
        match successor {
            Successor::Peer(server) => topology.find(server.as_str()),
            Successor::Anyone | Successor::OtherServer => {
                let group = self.group(asset)?;
                let leader = group.leader;
                let other = group.peers.iter().find(|peer| Some(peer.server) != leader)?;
                Some(other.server)
            }
        }
    }

    fn behaviour_of(&self, asset: &AssetName) -> Behaviour {
        self.behaviour.get(asset).unwrap_or(&self.otherwise).clone()
    }

    fn ask(
        &mut self,
        asset: &AssetName,
        successor: Option<&Successor>,
        at: Duration,
        change: impl FnOnce(&mut Self) -> Option<Change>,
    ) -> Result<(), ActError> {
        let subject = format!("$JS.API.{asset}");
        let behaviour = self.behaviour_of(asset);
        if matches!(behaviour, Behaviour::Deny) {
            *self.calls.last_mut().unwrap() = Call::Denied(asset.clone());
            return Err(ActError::Denied { subject });
        }
        if matches!(behaviour, Behaviour::Forged) {
            let message = format!("{subject} was answered 2 times");
            return Err(ActError::AnswersDiffer { message });
        }
        self.writes.push(Write {
            asset: asset.clone(),
            successor: successor.cloned(),
            at,
        });
        if matches!(
            (&behaviour, successor),
            (Behaviour::Aimless, Some(Successor::Peer(_)))
        ) {
            let description = "bad request".to_owned();
            return Err(ActError::Refused {
                subject,
                code: 10_003,
                description,
                reason: None,
            });
        }
        if matches!(behaviour, Behaviour::Refuse) {
            let description = "no suitable peers for placement".to_owned();
            return Err(ActError::Refused {
                subject,
                code: 10_005,
                description,
                reason: None,
            });
        }
        self.open(asset);
        if !matches!(behaviour, Behaviour::Ignore)
            && let Some(change) = change(self)
            && !matches!(behaviour, Behaviour::Stick)
        {
            let reads_left = self.moves.reads(successor).unwrap_or(self.reads_until_done);
            let asset = asset.clone();
            self.pending.push(Pending {
                asset,
                reads_left,
                change,
            });
        }
        match behaviour {
            Behaviour::Silent => Err(ActError::Unanswered { subject }),
            Behaviour::Contradicted => Err(ActError::Refused {
                subject,
                code: 10_052,
                description: "insufficient resources".to_owned(),
                reason: None,
            }),
            Behaviour::Scramble => Err(ActError::StoredDifferently {
                fields: vec!["max_age".to_owned()],
            }),
            Behaviour::Panic
            | Behaviour::Stick
            | Behaviour::Aimless
            | Behaviour::Obey
            | Behaviour::Ignore
            | Behaviour::Elect(_)
            | Behaviour::Refuse
            | Behaviour::Forged
            | Behaviour::Deny => Ok(()),
        }
    }
}

pub fn peer(server: ServerIx) -> Peer {
    Peer {
        server,
        current: true,
        offline: false,
        lag: 0,
    }
}
