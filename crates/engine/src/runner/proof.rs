//! What operations changed: the account before, and at the first complete look after.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::{Proof, RecentAction};
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, Successor};
use leeward_core::report::Report;
use leeward_core::snapshot::AccountView;

use crate::policy_event::Completed;

/// The account right before an action.
pub(super) fn before(report: &Report, view: &AccountView, action: &Action) -> Proof {
    Proof {
        in_place_before: in_place(report),
        in_place_after: None,
        gateway_percent_before: gateway(report),
        gateway_percent_after: None,
        round_trip_milliseconds: round_trip(view, action)
            .and_then(|saved| i64::try_from(saved.as_millis()).ok()),
    }
}

/// Completes the proofs of actions that ended before a look began.
pub(super) fn complete(recent: &mut [RecentAction], report: &Report, seen: Timestamp) {
    for action in recent.iter_mut().filter(|action| action.time.0 < seen) {
        if let Some(proof) = action
            .proof
            .as_mut()
            .filter(|proof| proof.in_place_after.is_none())
        {
            proof.in_place_after = Some(in_place(report));
            proof.gateway_percent_after = gateway(report);
        }
    }
}

fn in_place(report: &Report) -> String {
    report.in_place_of.clone().unwrap_or_else(|| "unknown".to_owned())
}

fn gateway(report: &Report) -> Option<i32> {
    report.gateway.as_ref().map(|gateway| gateway.percent)
}

/// The round trip between the leader's server and the one that takes over.
fn round_trip(view: &AccountView, action: &Action) -> Option<Duration> {
    let topology = &view.topology;
    let to = match &action.kind {
        ActionKind::StepDown(step_down) => match &step_down.successor {
            Successor::Peer(server) => Some(server),
            Successor::Anyone | Successor::OtherServer => step_down.home_peers.first(),
        },
        ActionKind::Move(moving) => moving.target.servers.first(),
    }?;
    topology.round_trip(topology.find(action.from.as_str())?, topology.find(to.as_str())?)
}

/// Operations since there was nothing to do.
#[derive(Debug, Default)]
pub(super) struct OperationSeries {
    began: Option<(String, Option<i32>)>,
    results: BTreeMap<ActionResult, u32>,
    last: Option<Timestamp>,
}

impl OperationSeries {
    /// An operation begins.
    pub(super) fn begin(&mut self, proof: Option<&Proof>) {
        if self.began.is_none() {
            self.began = proof.map(|proof| (proof.in_place_before.clone(), proof.gateway_percent_before));
        }
    }

    /// An operation ended after it had sent a request.
    pub(super) fn count(&mut self, result: ActionResult, at: Timestamp) {
        *self.results.entry(result).or_default() += 1;
        self.last = Some(at);
    }

    /// Ends the series with a complete look that began after its last operation.
    pub(super) fn complete(&mut self, report: &Report, seen: Timestamp) -> Option<Completed> {
        if self.last? >= seen {
            return None;
        }
        let Self {
            began,
            results,
            last: _,
        } = std::mem::take(self);
        let (in_place_before, gateway_before) = began?;
        Some(Completed {
            results,
            in_place_before,
            in_place_after: in_place(report),
            gateway_before,
            gateway_after: gateway(report),
        })
    }
}
