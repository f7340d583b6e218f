//! Moves that an earlier process began, until nothing is left to do about them (P10).

use std::collections::BTreeMap;
use std::sync::Arc;

use leeward_api::policy_status::OperationStatus;
use leeward_core::action::MoveSize;
use leeward_core::names::{ClusterName, Location, StreamName, Tag};
use leeward_core::operation::{Completion, MoveLeftBehind, completion};
use leeward_core::policy::Policy;
use leeward_core::snapshot::{AccountView, Placement};
use leeward_core::target::MoveTarget;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::Loop;
use crate::execute::was_sent;
use crate::permit::Permit;
use crate::ports::{Act, Clock};

/// Moves that were in flight in the status that the loop started from.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    moves: BTreeMap<StreamName, OperationStatus>,
    /// Placements that are being written again.
    writes: BTreeMap<StreamName, AbortOnDropHandle<()>>,
}

/// The streams that operations move. How much they store is not written there: until it is seen it may be much.
pub(super) fn moving_streams(operations: &[OperationStatus]) -> BTreeMap<StreamName, MoveSize> {
    let moves = operations.iter().filter(|operation| operation.action.is_move());
    moves
        .map(|operation| (StreamName::from(operation.stream.as_str()), MoveSize::Large))
        .collect()
}

impl LeftBehind {
    pub(super) fn new(operations: &[OperationStatus]) -> Self {
        let moves = operations.iter().filter(|operation| operation.action.is_move());
        let named =
            |operation: &OperationStatus| (StreamName::from(operation.stream.as_str()), operation.clone());
        Self {
            moves: moves.map(named).collect(),
            writes: BTreeMap::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.moves.len()
    }

    pub(super) fn holds(&self, stream: &StreamName) -> bool {
        self.moves.contains_key(stream)
    }

    /// As the status has them: they stay there until nothing is left to do.
    pub(super) fn operations(&self) -> impl Iterator<Item = OperationStatus> {
        self.moves.values().cloned()
    }

    /// Forgets what a complete view shows completed, and returns the placements that have to be written again.
    fn due(&mut self, view: &AccountView, policy: &Policy) -> Vec<(StreamName, MoveTarget)> {
        self.writes.retain(|_, write| !write.is_finished());
        let mut due = Vec::new();
        self.moves.retain(
            |stream, operation| match completion(&left(stream, operation), view, policy) {
                Completion::Wait => true,
                Completion::Nothing => false,
                Completion::PutBack(target) => {
                    if !self.writes.contains_key(stream) {
                        due.push((stream.clone(), target));
                    }
                    true
                }
            },
        );
        due
    }
}

fn left(stream: &StreamName, operation: &OperationStatus) -> MoveLeftBehind {
    let replaced = operation.replaces.as_ref().map(|replaced| Placement {
        cluster: replaced.cluster.as_deref().map(ClusterName::from),
        tags: replaced.tags.iter().map(|tag| Tag::from(tag.as_str())).collect(),
    });
    MoveLeftBehind {
        stream: stream.clone(),
        location: Location::from(operation.to.as_deref().unwrap_or_default()),
        replaced,
    }
}

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    /// Completes what is left behind, as far as permits are issued; a later view shows the result.
    pub(super) fn complete_left_behind(&mut self, view: &AccountView, policy: &Policy) {
        for (stream, target) in self.left_behind.due(view, policy) {
            let Ok(permit) = self.authorizer.issue(self.setup.clock.now()) else {
                return;
            };
            let write = put_back(Arc::clone(&self.setup), permit, stream.clone(), target);
            let write = AbortOnDropHandle::new(tokio::spawn(write));
            self.left_behind.writes.insert(stream, write);
        }
    }
}

async fn put_back<A: Act, C: Clock>(
    setup: Arc<super::Setup<A, C>>,
    permit: Permit,
    stream: StreamName,
    target: MoveTarget,
) {
    let (policy, placement) = (&setup.labels.policy, &target.placement);
    let began = setup.clock.now();
    let answer = setup.act.place(permit, &stream, &target).await;
    if was_sent(&answer) {
        setup.audit_subject().put_back(&stream, &target, began, &answer);
    }
    match answer {
        Ok(()) => {
            info!(%policy, %stream, ?placement, "a placement that a move had left taken away is there again");
        }
        Err(error) => {
            warn!(%policy, %stream, ?placement, %error, "a placement that a move left taken away is not written yet");
        }
    }
}
