//! How much may be in flight at once: over a whole system, on one stream, towards one server (P3).
//!
//! What is done to a stream itself is done alone; its consumers are led by groups of their own, so several of them may be
//! stepped down at once.
//!
//! A [`Slot`] is held for as long as its operation runs and frees its place when it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leeward_core::action::{Action, ActionKind, MoveSize};
use leeward_core::names::{AccountId, AssetName, ServerName, StreamName};
use tokio::sync::watch;

/// The limits of one system, shared by all its policies.
#[derive(Debug)]
pub struct SystemLimits {
    state: Mutex<LimitState>,
    freed: watch::Sender<u64>,
}

#[derive(Debug)]
struct LimitState {
    most_step_downs: usize,
    most_moves: usize,
    /// What is being done to which asset, and who is to lead it then.
    in_flight: BTreeMap<(AccountId, AssetName), (InFlight, Option<ServerName>)>,
    /// Streams that were seen to move, by account: of each that has a policy.
    moving: BTreeMap<AccountId, BTreeMap<StreamName, MoveSize>>,
}

/// What is being done to an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlight {
    StepDown,
    Move(MoveSize),
}

impl InFlight {
    fn of(action: &Action) -> Self {
        match &action.kind {
            ActionKind::StepDown(_) => Self::StepDown,
            ActionKind::Move(moving) => Self::Move(MoveSize::of(moving.bytes)),
        }
    }
}

impl SystemLimits {
    /// Limits with nothing in flight.
    pub fn new(step_downs: usize, moves: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(LimitState {
                most_step_downs: step_downs,
                most_moves: moves,
                in_flight: BTreeMap::new(),
                moving: BTreeMap::new(),
            }),
            freed: watch::Sender::new(0),
        })
    }

    /// Changes the limits; what is in flight stays in flight.
    pub fn set(&self, step_downs: usize, moves: usize) {
        let mut state = self.lock();
        state.most_step_downs = step_downs;
        state.most_moves = moves;
        drop(state);
        self.freed.send_modify(|count| *count += 1);
    }

    /// Sets the streams of an account that move now, whoever started the move: those without a slot, such as one
    /// started before a restart, count like the others.
    pub fn set_moving(&self, account: &AccountId, streams: BTreeMap<StreamName, MoveSize>) {
        let mut state = self.lock();
        if state.moving.get(account) == Some(&streams) {
            return;
        }
        state.moving.insert(account.clone(), streams);
        drop(state);
        self.freed.send_modify(|count| *count += 1);
    }

    /// Nothing acts on an account any more.
    pub fn forget(&self, account: &AccountId) {
        self.lock().moving.remove(account);
        self.freed.send_modify(|count| *count += 1);
    }

    /// A place for an action, or which limit is reached.
    pub fn try_start(self: &Arc<Self>, account: &AccountId, action: &Action) -> Result<Slot, Busy> {
        let mut state = self.lock();
        let kind = InFlight::of(action);
        match kind {
            InFlight::StepDown if state.step_downs() >= state.most_step_downs => return Err(Busy::System),
            InFlight::Move(_) if !state.has_room_for_move(account) => return Err(Busy::System),
            InFlight::Move(MoveSize::Large) if state.moves_a_large_stream(account) => {
                return Err(Busy::LargeMove);
            }
            InFlight::StepDown | InFlight::Move(_) => {}
        }
        let target = action.target();
        let asset = (account.clone(), action.asset.clone());
        if target.is_some_and(|target| !state.has_room_towards(target, &asset)) {
            return Err(Busy::Target);
        }
        if state.is_busy(account, &action.asset) {
            return Err(Busy::Stream);
        }
        state.in_flight.insert(asset.clone(), (kind, target.cloned()));
        drop(state);
        Ok(Slot {
            limits: Arc::clone(self),
            asset,
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
    /// Whether one more stream of an account may move. Where several accounts have policies, one place is always left to the
    /// others, so that moves of one account that never end do not keep all others waiting.
    fn has_room_for_move(&self, account: &AccountId) -> bool {
        let most = self.most_moves;
        let share = if self.moving.len() > 1 {
            most.saturating_sub(1).max(1)
        } else {
            most
        };
        let moves = self.moves_in_flight();
        let own = moves.get(account).copied().unwrap_or(0);
        let counted: usize = moves.values().map(|count| share.min(*count)).sum();
        own < share && counted < most
    }

    /// Moves by account: those with a slot, and those that were only seen.
    fn moves_in_flight(&self) -> BTreeMap<&AccountId, usize> {
        let seen = self
            .moving
            .iter()
            .flat_map(|(account, streams)| streams.keys().map(move |stream| (account, stream)));
        let started = self
            .in_flight
            .iter()
            .filter(|(_, (kind, _))| *kind != InFlight::StepDown);
        let started = started.map(|((account, asset), _)| (account, &asset.stream));
        let mut moves = BTreeMap::new();
        for (account, _) in seen.chain(started).collect::<BTreeSet<_>>() {
            *moves.entry(account).or_default() += 1;
        }
        moves
    }

    /// Whether an asset's step-down may go to a server beside the others: each means state to take over and clients to serve.
    fn has_room_towards(&self, target: &ServerName, asset: &(AccountId, AssetName)) -> bool {
        let others = self.in_flight.iter().filter(|(other, _)| *other != asset);
        let towards = others.filter(|(_, (_, to))| to.as_ref() == Some(target));
        towards.count() < self.most_step_downs.div_ceil(2)
    }

    fn step_downs(&self) -> usize {
        let kinds = self.in_flight.values().map(|(kind, _)| *kind);
        kinds.filter(|kind| *kind == InFlight::StepDown).count()
    }

    /// Of what was only seen to move the account's own counts: what others leave unfinished does not keep it waiting.
    fn moves_a_large_stream(&self, account: &AccountId) -> bool {
        let started = self.in_flight.values().map(|(kind, _)| *kind);
        let seen = self.moving.get(account).into_iter().flat_map(BTreeMap::values);
        let mut kinds = started.chain(seen.map(|size| InFlight::Move(*size)));
        kinds.any(|kind| kind == InFlight::Move(MoveSize::Large))
    }

    /// Whether something is being done to an asset's stream that nothing may be done beside: to the asset, to the stream
    /// itself, or, if the asset is the stream, to any of its consumers.
    fn is_busy(&self, account: &AccountId, asset: &AssetName) -> bool {
        self.in_flight.keys().any(|(other_account, other)| {
            let alone = other.consumer.is_none() || asset.consumer.is_none() || other == asset;
            other_account == account && other.stream == asset.stream && alone
        })
    }
}

/// Why there is no place for an action now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// The system's limit for this kind of action is reached.
    System,
    /// A large move is under way, beside which another one would have publishers wait.
    LargeMove,
    /// Half of the system's step-downs go to its target.
    Target,
    /// Something is being done to it or to its stream, or it is a stream of whose consumers one is stepping down.
    Stream,
}

/// A place in flight.
#[derive(Debug)]
pub struct Slot {
    limits: Arc<SystemLimits>,
    asset: (AccountId, AssetName),
}

impl Slot {
    /// Another server is to lead the asset; `Err` where its limit is reached.
    pub fn redirect(&self, target: &ServerName) -> Result<(), Busy> {
        let mut state = self.limits.lock();
        if !state.has_room_towards(target, &self.asset) {
            return Err(Busy::Target);
        }
        if let Some((_, to)) = state.in_flight.get_mut(&self.asset) {
            *to = Some(target.clone());
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        state.in_flight.remove(&self.asset);
        drop(state);
        self.limits.freed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
