//! How streams move in the fake system, and what comes of a cancel.

use std::sync::Arc;

use leeward_api::vocabulary::FindingReason;
use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::PeerInfo;
use leeward_core::snapshot::{RaftGroup, Stream};
use leeward_core::target::MoveTarget;
use leeward_core::topology::ServerIx;
use leeward_engine::ports::ActError;

use super::{Change, Pending, State, peer};

/// Reads after which a cancel shows its effect.
const READS_UNTIL_BACK: u32 = 4;

/// How streams move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moves {
    /// After so many reads of a stream that moves it is led from its target, and lies there after as many again.
    pub led_first_for: u32,
    /// The servers of the target join the groups of the stream and its consumers at once, caught up, and the servers take so
    /// many reads to do the rest by themselves.
    pub joined_for: Option<u32>,
}

impl Moves {
    /// After how many reads a request shows its effect, if not after as many as any.
    pub fn reads(&self, successor: Option<&Successor>) -> Option<u32> {
        self.joined_for.filter(|_| successor.is_none())
    }
}

/// What comes of the cancel of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The stream lies where it lay.
    Obey,
    /// The same, without an answer.
    Silent,
    /// Taken, and nothing comes of it.
    Ignore,
    /// No such move, say the servers.
    Refuse,
    /// Nobody is there to cancel it the first so many times.
    Absent(usize),
    /// Nobody tells how the stream is the first so many times.
    Unread(usize),
    /// The first so many requests are lost.
    Lost(usize),
    /// It comes too late: the move is done.
    Late,
    /// The user may not ask.
    Deny,
    /// It is cancelled, and another field than the placement is changed.
    Scramble,
}

impl State {
    fn stream(&mut self, name: &StreamName) -> &mut Stream {
        let mut streams = self.truth.streams.iter_mut();
        streams.find(|found| found.name == *name).unwrap()
    }

    pub(super) fn begin_move(&mut self, name: &StreamName, target: &MoveTarget) -> Change {
        let topology = Arc::clone(&self.truth.topology);
        let find = |server: &ServerName| topology.find(server.as_str()).unwrap();
        let Moves {
            led_first_for,
            joined_for,
        } = self.moves;
        let stream = self.stream(name);
        stream.placement = Some(target.placement.clone());
        stream.moving = true;
        let replicas = usize::from(stream.replicas);
        let servers: Vec<ServerIx> = target.servers.iter().map(find).take(replicas).collect();
        if joined_for.is_some() {
            let consumers = stream.consumers.iter_mut().map(|consumer| &mut consumer.group);
            for group in consumers.chain([&mut stream.group]) {
                let joining = servers.iter().map(|server| peer(*server));
                group.peers = group.peers.iter().copied().chain(joining).collect();
            }
        }
        if led_first_for > 0 {
            Change::HandOver(servers)
        } else {
            Change::Lie(servers)
        }
    }

    /// The member that a stream gets first where it moves to.
    pub(super) fn arriving(&mut self, asset: &AssetName, moving: bool) -> Option<PeerInfo> {
        if !moving || asset.consumer.is_some() {
            return None;
        }
        let lag = *self.lacks.first()?;
        if self.lacks.len() > 1 {
            self.lacks.remove(0);
        }
        Some(PeerInfo {
            server: "n-0".into(),
            current: false,
            offline: false,
            lag,
        })
    }

    /// The stream is led from its target, and has the members from before besides.
    pub(super) fn lead_from(&mut self, asset: &AssetName, servers: Vec<ServerIx>) {
        let group = &mut self.stream(&asset.stream).group;
        group.leader = servers.first().copied();
        let all = servers.iter().map(|server| peer(*server));
        group.peers = group.peers.iter().copied().chain(all).collect();
        self.pending.push(Pending {
            asset: asset.clone(),
            reads_left: self.moves.led_first_for,
            change: Change::Lie(servers),
        });
    }

    pub(super) fn lie_on(&mut self, name: &StreamName, servers: &[ServerIx]) {
        let group = RaftGroup {
            leader: servers.first().copied(),
            leader_since: None,
            peers: servers.iter().map(|server| peer(*server)).collect(),
        };
        let stream = self.stream(name);
        stream.moving = false;
        for consumer in &mut stream.consumers {
            consumer.group = group.clone();
        }
        stream.group = group;
    }

    pub(super) fn cancel_move(&mut self, asset: &AssetName, target: &MoveTarget) -> Result<(), ActError> {
        let subject = format!("$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.A.{}", asset.stream);
        let refused = ActError::Refused {
            subject: subject.clone(),
            code: 10_129,
            description: "stream move not in progress".to_owned(),
            reason: None,
        };
        let peers = &self.stream(&asset.stream).group.peers;
        let has_peers: Vec<ServerIx> = peers.iter().map(|peer| peer.server).collect();
        let goes_back = |pending: &Pending| {
            pending.asset == *asset
                && matches!(&pending.change, Change::Lie(servers) if *servers == has_peers)
        };
        match self.cancel {
            Cancel::Absent(times) if self.cancels.len() <= times => {
                return Err(ActError::Refused {
                    subject,
                    code: 10_008,
                    description: "JetStream system temporarily unavailable".to_owned(),
                    reason: Some(FindingReason::NoLeader),
                });
            }
            Cancel::Unread(times) if self.cancels.len() <= times => {
                return Err(ActError::Unread { message: subject });
            }
            Cancel::Lost(times) if self.cancels.len() <= times => {
                return Err(ActError::Unanswered { subject });
            }
            Cancel::Silent if self.pending.iter().any(goes_back) => return Err(refused),
            _ => {}
        }
        match self.cancel {
            Cancel::Obey
            | Cancel::Absent(_)
            | Cancel::Unread(_)
            | Cancel::Lost(_)
            | Cancel::Silent
            | Cancel::Scramble => {
                self.go_back(asset, target);
            }
            Cancel::Late => {
                let topology = Arc::clone(&self.truth.topology);
                let there = target.servers.iter();
                let there: Vec<ServerIx> = there
                    .filter_map(|server| topology.find(server.as_str()))
                    .collect();
                self.lie_on(&asset.stream, &there);
            }
            Cancel::Ignore | Cancel::Refuse | Cancel::Deny => {}
        }
        match self.cancel {
            Cancel::Obey | Cancel::Absent(_) | Cancel::Unread(_) | Cancel::Lost(_) | Cancel::Ignore => Ok(()),
            Cancel::Silent => Err(ActError::Unanswered { subject }),
            Cancel::Refuse | Cancel::Late => Err(refused),
            Cancel::Deny => Err(ActError::Denied { subject }),
            Cancel::Scramble => Err(ActError::StoredDifferently {
                fields: vec!["max_age".to_owned()],
            }),
        }
    }

    fn go_back(&mut self, asset: &AssetName, target: &MoveTarget) {
        self.pending.retain(|pending| pending.asset != *asset);
        let stream = self.stream(&asset.stream);
        stream.placement.clone_from(&target.replaces);
        let servers = stream.group.peers.iter().map(|peer| peer.server).collect();
        self.pending.push(Pending {
            asset: asset.clone(),
            reads_left: READS_UNTIL_BACK,
            change: Change::Lie(servers),
        });
    }
}
