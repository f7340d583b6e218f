//! A plan's actions: what is done to which asset, so specific that carrying one out leaves no choice.

use std::collections::BTreeMap;

use leeward_api::vocabulary::{ActionType, FindingReason};
use serde::{Deserialize, Serialize};

use crate::asset::AssetIx;
use crate::names::{AssetName, ConsumerName, ServerName, StreamName};
use crate::score::MoveCost;
use crate::target::MoveTarget;

/// What to do, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Plan {
    /// In execution order.
    pub actions: Vec<Action>,
    /// Misplaced assets that wait all the same, and what for; the consumers of a stream that waits wait with it.
    #[serde(with = "held_list", default)]
    pub held: BTreeMap<AssetIx, FindingReason>,
}

/// One thing to do to one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The asset.
    pub asset: AssetName,
    /// The leader that was seen; another one by then means that somebody else acted.
    pub from: ServerName,
    /// What to do.
    pub kind: ActionKind,
}

/// The ways to bring a leader home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionKind {
    /// Ask the leader to step down.
    StepDown(StepDown),
    /// Edit the stream's placement.
    Move(Box<Move>),
}

/// A move, with its expected cost and what it affects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Where to.
    pub target: MoveTarget,
    /// Bytes that the stream stores.
    pub bytes: u64,
    /// What it is expected to cost.
    pub cost: MoveCost,
    /// Consumers of the stream that were in use and must continue after it; the busiest, at most [`MOST_WATCHED`].
    pub consumers: Vec<ConsumerName>,
    /// Which leaders are transferred as soon as the new peers are caught up; the servers transfer the others.
    pub transfers: LeaderTransfers,
    /// Streams of the account that mirror or source this one, which may stall after it (nats-facts N26).
    pub dependents: Vec<StreamName>,
}

/// How much the copy of a move takes of the links and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MoveSize {
    /// Several may run side by side.
    Small,
    /// Beside another such one publishers of both wait longer than for one after the other (nats-facts N81).
    Large,
}

impl MoveSize {
    /// Of a stream that stores so many bytes.
    pub fn of(bytes: u64) -> Self {
        if bytes > LARGE { Self::Large } else { Self::Small }
    }
}

/// Bytes that a stream stores.
const LARGE: u64 = 8 << 20;

/// Leaders that are asked to hand over during a move, before the servers get to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderTransfers {
    /// The stream's.
    pub stream: bool,
    /// Those of these consumers of it.
    pub consumers: Vec<ConsumerName>,
    /// Servers of the target that may lead, the one that leads least first: each leader goes to another one, in turns.
    pub successors: Vec<ServerName>,
}

/// The leaders of so many consumers are home sooner by transfers. Of more the servers themselves are as soon (nats-facts N70).
pub const MOST_TRANSFERRED: usize = 32;

/// Consumers of a moved stream that are watched after the move.
pub const MOST_WATCHED: usize = 16;

/// A step-down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDown {
    /// Who takes over.
    pub successor: Successor,
    /// Peers that are named next, in turns, where the one that was named did not take over.
    pub alternatives: Vec<ServerName>,
    /// The peers in home of the asset, or of its stream where it has one replica only: any of them as leader is a
    /// success.
    pub home_peers: Vec<ServerName>,
}

/// Who takes over the leadership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Successor {
    /// This peer (servers from 2.11 on, nats-facts N10).
    Peer(ServerName),
    /// The servers choose; repeated until one in home leads or attempts are used up.
    Anyone,
    /// The leader's server is evacuated of its only replica, and the servers choose another peer of the consumer's
    /// stream (nats-facts N65); repeated likewise.
    OtherServer,
}

impl StepDown {
    /// The same with whom to name after so many requests, or attempts, that brought no leader home: the next that is ready, in
    /// turns. `None` if nobody is.
    pub fn after(&self, requests: u32, is_ready: impl Fn(&ServerName) -> bool) -> Option<Self> {
        let Successor::Peer(first) = &self.successor else {
            return Some(self.clone());
        };
        let mut turns: Vec<ServerName> = std::iter::once(first)
            .chain(&self.alternatives)
            .cloned()
            .collect();
        let nth = usize::try_from(requests).unwrap_or_default();
        let next = nth.checked_rem(turns.len()).unwrap_or_default();
        turns.rotate_left(next);
        let mut ready = turns.into_iter().filter(is_ready);
        Some(Self {
            successor: Successor::Peer(ready.next()?),
            alternatives: ready.collect(),
            home_peers: self.home_peers.clone(),
        })
    }
}

impl Action {
    /// Its type.
    pub fn action_type(&self) -> ActionType {
        match &self.kind {
            ActionKind::Move(_) => ActionType::StreamPlacement,
            ActionKind::StepDown(step_down) if step_down.successor == Successor::OtherServer => {
                ActionType::ConsumerEvacuation
            }
            ActionKind::StepDown(_) => step_down_of(&self.asset),
        }
    }

    /// The server that will lead, where that is known.
    pub fn target(&self) -> Option<&ServerName> {
        match &self.kind {
            ActionKind::StepDown(StepDown {
                successor: Successor::Peer(server),
                ..
            }) => Some(server),
            ActionKind::StepDown(StepDown {
                successor: Successor::Anyone | Successor::OtherServer,
                ..
            })
            | ActionKind::Move(_) => None,
        }
    }
}

/// The kind of a step-down of an asset's leader.
pub fn step_down_of(asset: &AssetName) -> ActionType {
    match asset.consumer {
        None => ActionType::StreamStepDown,
        Some(_) => ActionType::ConsumerStepDown,
    }
}

/// Serialises held assets as a list, since JSON keys are text only.
mod held_list {
    use std::collections::BTreeMap;

    use leeward_api::vocabulary::FindingReason;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::asset::AssetIx;

    type Held = BTreeMap<AssetIx, FindingReason>;

    pub(super) fn serialize<S: Serializer>(held: &Held, serializer: S) -> Result<S::Ok, S::Error> {
        held.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Held, D::Error> {
        let rows = Vec::<(AssetIx, FindingReason)>::deserialize(deserializer)?;
        Ok(rows.into_iter().collect())
    }
}
