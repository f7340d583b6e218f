//! When time alone releases what is held.

use jiff::Timestamp;
use leeward_api::vocabulary::{ClearedBy, FindingReason};

use crate::admission::deciding;
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::demand::Home;
use crate::evaluate::{Evaluation, Verdict};
use crate::limits::Limits;
use crate::spread::group_of;
use crate::time::later;

/// Whether a reason passes by time alone, as far as that can be predicted.
pub(super) fn passes(reason: FindingReason) -> bool {
    match reason.behavior().cleared_by {
        ClearedBy::Limits
        | ClearedBy::Cooldown
        | ClearedBy::Stabilization
        | ClearedBy::LeaderQuiet
        | ClearedBy::ServerQuiet => true,
        ClearedBy::Observation | ClearedBy::Person => false,
    }
}

/// The first moment after now at which time may release something of an evaluation that holds all that is not planned.
/// Gates are not looked at before `gates_from`.
pub(super) fn next(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    gates_from: Timestamp,
) -> Option<Timestamp> {
    let now = context.now;
    let mut times = Vec::new();
    if let Some(Home::Stabilizing { until, .. }) = evaluation.homes.account() {
        times.push(*until);
    }
    let (mut limited, mut starting) = (false, false);
    let mut elected: Option<Timestamp> = None;
    for finding in &evaluation.findings {
        let Verdict::Held(remedy, reason) = finding.verdict else {
            continue;
        };
        let asset = deciding(finding.asset, remedy);
        match reason.behavior().cleared_by {
            ClearedBy::Cooldown => times.extend(cooled(context, asset)),
            ClearedBy::LeaderQuiet => {
                let settled = settled_leader(context, asset);
                elected = elected.into_iter().chain(settled).min();
            }
            ClearedBy::ServerQuiet => starting = true,
            ClearedBy::Limits => limited = true,
            ClearedBy::Stabilization | ClearedBy::Observation | ClearedBy::Person => {}
        }
    }
    let started = starting.then(|| settled_server(context)).flatten();
    let gates = elected.into_iter().chain(started).min();
    times.extend(gates.map(|time| time.max(gates_from)));
    if limited {
        times.extend(Limits::new(context.policy, context.history, evaluation, now).next_change);
    }
    times.into_iter().filter(|time| *time > now).min()
}

fn cooled(context: &DecisionContext<'_>, asset: AssetIx) -> Option<Timestamp> {
    let DecisionContext {
        view,
        policy,
        now,
        history,
        ..
    } = *context;
    history.cooling_until(&asset_name(view, asset)?, &policy.disruption, now)
}

fn settled_leader(context: &DecisionContext<'_>, asset: AssetIx) -> Option<Timestamp> {
    let quiet = context.policy.disruption.gates.quiet_after_leader_change;
    Some(later(group_of(context.view, asset)?.leader_since?, quiet))
}

fn settled_server(context: &DecisionContext<'_>) -> Option<Timestamp> {
    let quiet = context.policy.disruption.gates.quiet_after_server_start;
    let servers = context.view.topology.servers().iter();
    let started = servers.filter_map(|server| server.details.as_ref()?.started);
    started
        .map(|started| later(started, quiet))
        .filter(|until| *until > context.now)
        .min()
}
