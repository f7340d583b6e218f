//! Whether a server has capacity for a replica: the rules by which nats-server chooses peers (`selectPeerGroup`,
//! nats-facts N4), applied before it is asked.
//!
//! Stricter in one point: the servers ask for free bytes only where a stream has `max_bytes`; here what it stores has
//! to fit as well, wherever they may put it. A server of unknown capacity blocks nothing: the servers decide.

use std::collections::BTreeMap;

use crate::names::ServerName;
use crate::snapshot::Stream;
use crate::topology::Storage;
use crate::topology::{JetStreamCapacity, ServerIx, Version};

/// The first version that counts consumers, and no groups of one, against `max_ha_assets`.
const COUNTS_CONSUMERS: Version = Version::new(2, 15, 0);

/// What one replica of a stream takes of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    storage: Storage,
    bytes: u64,
    /// What the servers themselves ask for.
    max_bytes: u64,
    ha_assets: u64,
}

impl Need {
    /// The need of a stream, on servers of this version and later.
    pub fn of(stream: &Stream, lowest: Option<Version>) -> Self {
        let replicated = stream
            .consumers
            .iter()
            .filter(|consumer| consumer.group.peers.len() > 1);
        let ha_assets = if stream.replicas > 1 {
            1 + replicated.count() as u64
        } else {
            u64::from(lowest.is_none_or(|lowest| lowest < COUNTS_CONSUMERS))
        };
        let max_bytes = stream.max_bytes.unwrap_or(0);
        Self {
            storage: stream.storage,
            bytes: stream.bytes.max(max_bytes),
            max_bytes,
            ha_assets,
        }
    }

    /// What prevents a replica on a server.
    pub(super) fn shortage(&self, at: &CandidateServer<'_>, taken: Taken) -> Option<Shortage> {
        let room = at.room?;
        let free = room.free(self.storage).saturating_sub(taken.bytes(self.storage));
        if free < self.bytes {
            return Some(Shortage::Bytes {
                server: at.name.clone(),
                storage: self.storage,
                free,
                needed: self.bytes,
            });
        }
        let most = at.max_ha_assets?;
        let present = room.ha_assets.saturating_add(taken.ha_assets);
        self.exceeds(present, most).then(|| Shortage::HaAssets {
            server: at.name.clone(),
            present,
            most,
            needed: self.ha_assets,
        })
    }

    /// Whether the servers could choose this one, by their own rules alone.
    pub(super) fn is_taken_by_servers(&self, at: &CandidateServer<'_>) -> bool {
        let Some(room) = at.room else { return true };
        let over = |most| self.exceeds(room.ha_assets, most);
        self.max_bytes <= room.free(self.storage) && !at.max_ha_assets.is_some_and(over)
    }

    fn exceeds(&self, present: u64, most: u64) -> bool {
        self.ha_assets > 0 && present.saturating_add(self.ha_assets) > most
    }
}

/// A server as a place for a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandidateServer<'a> {
    pub(super) name: &'a ServerName,
    pub(super) room: Option<&'a JetStreamCapacity>,
    pub(super) max_ha_assets: Option<u64>,
}

/// Why a server has no capacity for a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Too few bytes are free.
    Bytes {
        /// The server.
        server: ServerName,
        /// Of this kind.
        storage: Storage,
        /// How many are.
        free: u64,
        /// How many have to be.
        needed: u64,
    },
    /// It would hold more replicated assets than `max_ha_assets`.
    HaAssets {
        /// The server.
        server: ServerName,
        /// How many it holds, those on their way included.
        present: u64,
        /// How many it may hold.
        most: u64,
        /// How many would come.
        needed: u64,
    },
}

/// Capacity that is free now and will not be: streams that move now, or before this one, take it.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    by_server: BTreeMap<ServerIx, Taken>,
}

/// Capacity on one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    file: u64,
    memory: u64,
    ha_assets: u64,
}

impl Taken {
    pub(super) fn ha_assets(self) -> u64 {
        self.ha_assets
    }

    fn bytes(self, storage: Storage) -> u64 {
        match storage {
            Storage::File => self.file,
            Storage::Memory => self.memory,
        }
    }
}

impl Reserved {
    /// Takes the need from every server that may be chosen, since the servers choose later.
    pub fn take(&mut self, servers: impl IntoIterator<Item = ServerIx>, need: Need) {
        for server in servers {
            let taken = self.by_server.entry(server).or_default();
            let bytes = match need.storage {
                Storage::File => &mut taken.file,
                Storage::Memory => &mut taken.memory,
            };
            *bytes = bytes.saturating_add(need.bytes);
            taken.ha_assets = taken.ha_assets.saturating_add(need.ha_assets);
        }
    }

    pub(super) fn of(&self, server: ServerIx) -> Taken {
        self.by_server.get(&server).copied().unwrap_or_default()
    }
}
