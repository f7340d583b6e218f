//! When time alone releases what is held.

use jiff::Timestamp;
use leeward_api::vocabulary::FindingReason;

use crate::context::EvaluationContext;
use crate::demand::Home;
use crate::evaluate::{AssetIx, Cure, Evaluation, Finding, Verdict, asset_name};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::snapshot::AccountView;
use crate::spread::group_of;
use crate::time::later;

/// What the limits of a policy hold.
const LIMITS: [FindingReason; 3] = [
    FindingReason::BudgetExhausted,
    FindingReason::OutsideWindow,
    FindingReason::BreakerOpen,
];

/// Whether a reason passes by time alone, as far as that can be foretold.
pub(super) fn passes(reason: FindingReason) -> bool {
    let others = [
        FindingReason::CoolingDown,
        FindingReason::Stabilizing,
        FindingReason::RecentlyElected,
        FindingReason::ServerJustStarted,
    ];
    LIMITS.contains(&reason) || others.contains(&reason)
}

/// The first moment after now at which time may release something of an evaluation that holds all that is not planned. Gates are
/// not looked at before `gates_from`.
pub(super) fn next(
    view: &AccountView,
    policy: &Policy,
    eval_context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
    gates_from: Timestamp,
) -> Option<Timestamp> {
    let now = eval_context.now;
    let mut times = Vec::new();
    if let Some(Home::Stabilizing { until, .. }) = &evaluation.home {
        times.push(*until);
    }
    let (mut limited, mut starting) = (false, false);
    let mut elected: Option<Timestamp> = None;
    for finding in &evaluation.findings {
        let Verdict::Held(cure, reason) = finding.verdict else {
            continue;
        };
        let asset = deciding(finding, cure);
        if reason == FindingReason::CoolingDown {
            times.extend(cooled(view, policy, eval_context, asset));
        } else if reason == FindingReason::RecentlyElected {
            elected = elected
                .into_iter()
                .chain(settled_leader(view, policy, asset))
                .min();
        } else {
            starting |= reason == FindingReason::ServerJustStarted;
            limited |= LIMITS.contains(&reason);
        }
    }
    let started = starting.then(|| settled_server(view, policy, now)).flatten();
    let gates = elected.into_iter().chain(started).min();
    times.extend(gates.map(|time| time.max(gates_from)));
    if limited {
        times.extend(Limits::new(policy, eval_context.history, evaluation, now).next_change);
    }
    times.into_iter().filter(|time| *time > now).min()
}

/// What stands against a consumer that follows its stream stands against the stream.
fn deciding(finding: &Finding, cure: Cure) -> AssetIx {
    match cure {
        Cure::StepDown | Cure::Move => finding.asset,
        Cure::FollowStream => AssetIx::Stream(finding.asset.stream()),
    }
}

fn cooled(
    view: &AccountView,
    policy: &Policy,
    eval_context: &EvaluationContext<'_>,
    asset: AssetIx,
) -> Option<Timestamp> {
    let EvaluationContext { now, history, .. } = eval_context;
    history.cooling_until(&asset_name(view, asset)?, &policy.disruption, *now)
}

fn settled_leader(view: &AccountView, policy: &Policy, asset: AssetIx) -> Option<Timestamp> {
    let quiet = policy.disruption.gates.quiet_after_leader_change;
    Some(later(group_of(view, asset)?.leader_since?, quiet))
}

fn settled_server(view: &AccountView, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let quiet = policy.disruption.gates.quiet_after_server_start;
    let servers = view.topology.servers().iter();
    let started = servers.filter_map(|server| server.details.as_ref()?.started);
    started
        .map(|started| later(started, quiet))
        .filter(|until| *until > now)
        .min()
}
