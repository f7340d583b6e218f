//! How much may be in flight at once: over a whole system, on one stream, towards one server (P3).
//!
//! A [`Slot`] is held for as long as its operation runs and frees its place when it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leeward_api::vocabulary::ActionType;
use leeward_core::action::Action;
use leeward_core::names::{AccountId, ServerName, StreamName};
use tokio::sync::watch;

/// Leader transfers to one server at once: each means state to take over and clients to serve.
const PER_TARGET: usize = 8;

/// The limits of one system, shared by all its policies.
#[derive(Debug)]
pub struct SystemLimits {
    state: Mutex<LimitState>,
    freed: watch::Sender<u64>,
}

#[derive(Debug)]
struct LimitState {
    step_downs: InFlightCount,
    moves: InFlightCount,
    per_target: BTreeMap<ServerName, usize>,
    streams: BTreeSet<(AccountId, StreamName)>,
    /// Streams that were seen to move, by account.
    moving: BTreeMap<AccountId, BTreeSet<StreamName>>,
}

#[derive(Debug)]
struct InFlightCount {
    most: usize,
    used: usize,
}

impl SystemLimits {
    /// Limits with nothing in flight.
    pub fn new(step_downs: usize, moves: usize) -> Arc<Self> {
        let count = |most| InFlightCount { most, used: 0 };
        Arc::new(Self {
            state: Mutex::new(LimitState {
                step_downs: count(step_downs),
                moves: count(moves),
                per_target: BTreeMap::new(),
                streams: BTreeSet::new(),
                moving: BTreeMap::new(),
            }),
            freed: watch::Sender::new(0),
        })
    }

    /// Changes the limits; what is in flight stays in flight.
    pub fn set(&self, step_downs: usize, moves: usize) {
        let mut state = self.lock();
        state.step_downs.most = step_downs;
        state.moves.most = moves;
        drop(state);
        self.freed.send_modify(|count| *count += 1);
    }

    /// Sets the streams of an account that move now, whoever started the move: those without a slot, such as one
    /// started before a restart, count like the others.
    pub fn set_moving(&self, account: &AccountId, streams: BTreeSet<StreamName>) {
        let mut state = self.lock();
        let same = match state.moving.get(account) {
            Some(known) => *known == streams,
            None => streams.is_empty(),
        };
        if same {
            return;
        }
        if streams.is_empty() {
            state.moving.remove(account);
        } else {
            state.moving.insert(account.clone(), streams);
        }
        drop(state);
        self.freed.send_modify(|count| *count += 1);
    }

    /// A place for an action, or which limit is reached.
    pub fn try_start(self: &Arc<Self>, account: &AccountId, action: &Action) -> Result<Slot, Busy> {
        let mut state = self.lock();
        let beside = match action.action_type() {
            ActionType::StreamPlacement => state.moves_without_slot(),
            ActionType::ConsumerStepDown | ActionType::StreamStepDown | ActionType::ConsumerEvacuation => 0,
        };
        let stream = (account.clone(), action.asset.stream.clone());
        let target = action.target().cloned();
        let towards = target
            .as_ref()
            .and_then(|server| state.per_target.get(server))
            .copied()
            .unwrap_or(0);
        let count = state.count(action.action_type());
        if count.used + beside >= count.most {
            return Err(Busy::System);
        }
        if towards >= PER_TARGET {
            return Err(Busy::Target);
        }
        if !state.streams.insert(stream.clone()) {
            return Err(Busy::Stream);
        }
        state.count(action.action_type()).used += 1;
        if let Some(server) = &target {
            *state.per_target.entry(server.clone()).or_default() += 1;
        }
        drop(state);
        Ok(Slot {
            limits: Arc::clone(self),
            kind: action.action_type(),
            stream,
            target,
        })
    }

    /// Changes whenever a place is freed or the limits change.
    pub fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, LimitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LimitState {
    /// Moves that hold no slot.
    fn moves_without_slot(&self) -> usize {
        let moving = self.moving.iter();
        moving
            .flat_map(|(account, streams)| {
                streams
                    .iter()
                    .map(move |stream| (account.clone(), stream.clone()))
            })
            .filter(|stream| !self.streams.contains(stream))
            .count()
    }

    fn count(&mut self, kind: ActionType) -> &mut InFlightCount {
        match kind {
            ActionType::StreamPlacement => &mut self.moves,
            ActionType::ConsumerStepDown | ActionType::StreamStepDown | ActionType::ConsumerEvacuation => {
                &mut self.step_downs
            }
        }
    }
}

/// Why there is no place for an action now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// The system's limit for this kind of action is reached.
    System,
    /// The limit of leader transfers to its target is reached.
    Target,
    /// Something is being done to its stream.
    Stream,
}

/// A place in flight.
#[derive(Debug)]
pub struct Slot {
    limits: Arc<SystemLimits>,
    kind: ActionType,
    stream: (AccountId, StreamName),
    target: Option<ServerName>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        state.count(self.kind).used -= 1;
        state.streams.remove(&self.stream);
        if let Some(server) = &self.target
            && let Some(towards) = state.per_target.get_mut(server)
        {
            *towards -= 1;
            if *towards == 0 {
                state.per_target.remove(server);
            }
        }
        drop(state);
        self.limits.freed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
