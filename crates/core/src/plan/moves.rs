//! Which of the wanted moves run together, and what each of them affects: one stream of a family at a time, upstream
//! first, and none that counts on capacity which another one takes.

use std::collections::{BTreeMap, BTreeSet};

use leeward_api::policy::OnManagedStream;
use leeward_api::vocabulary::{FindingReason, Remedy};

use crate::action::{LeaderTransfers, MOST_TRANSFERRED, MOST_WATCHED, Move};
use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding, Verdict};
use crate::names::{ConsumerName, StreamName};
use crate::policy::opted_out;
use crate::safety::SafetyContext;
use crate::score::MOVES_WITHOUT_STALL;
use crate::snapshot::{AccountView, Consumer, Stream};
use crate::spread::Spread;
use crate::target::{Destination, MoveTarget};

/// The streams that do not move now although nothing blocks them alone, and what they wait for.
pub(super) fn waiting(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    ranked: &[&Finding],
) -> BTreeMap<AssetIx, FindingReason> {
    let wanted: Vec<(usize, AssetIx)> = ranked
        .iter()
        .filter(|finding| finding.verdict == Verdict::Misplaced(Remedy::StreamPlacement))
        .map(|finding| (finding.asset.stream() as usize, finding.asset))
        .collect();
    let mut held = BTreeMap::new();
    if wanted.is_empty() {
        return held;
    }
    let families = safety_context.families();
    let after_others = families.after_others(&wanted.iter().map(|(at, _)| *at).collect());
    let mut busy = BTreeSet::new();
    let mut reserved = safety_context.reserved_by_moving();
    for (at, asset) in wanted {
        let Some(stream) = view.streams.get(at) else {
            continue;
        };
        let family = families.of(at);
        let waits = after_others.contains(&at) || family.is_some_and(|family| busy.contains(&family));
        let home = safety_context.destination(asset);
        let against = if waits {
            Some(FindingReason::MoveInProgress)
        } else {
            let room = home.map(|home| home.reserve(stream, &mut reserved));
            room.and_then(Result::err).map(|error| error.reason())
        };
        match against {
            Some(reason) => {
                held.insert(asset, reason);
            }
            None => busy.extend(family),
        }
    }
    held
}

/// The move of a stream; `None` where no placement brings it home.
pub(super) fn move_of(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
    spread: &mut Spread,
) -> Option<Move> {
    let mut target = home.target(stream).ok()?;
    target.owner = patched_owner(safety_context.context(), stream);
    Some(Move {
        transfers: transfers(safety_context, stream, &target, spread),
        target,
        bytes: stream.bytes,
        cost: safety_context.move_cost(stream),
        consumers: watched(stream),
        dependents: dependents(safety_context, stream),
    })
}

/// The object through which a stream is edited.
fn patched_owner(context: &DecisionContext<'_>, stream: &Stream) -> Option<String> {
    let rules = context.policy.actions.stream_placement.as_ref()?;
    let patches = rules.on_managed == OnManagedStream::PatchOwner;
    let owner = context.owners.owner(stream).filter(|_| patches)?;
    Some(owner.patchable()?.name.clone())
}

fn watched(stream: &Stream) -> Vec<ConsumerName> {
    let rate = |consumer: &Consumer| consumer.message_rate.unwrap_or(0.0);
    let in_use =
        |consumer: &&Consumer| consumer.durable && (rate(consumer) > 0.0 || consumer.ack_pending > 0);
    let mut used: Vec<&Consumer> = stream.consumers.iter().filter(in_use).collect();
    used.sort_by(|one, other| {
        rate(other)
            .total_cmp(&rate(one))
            .then(other.ack_pending.cmp(&one.ack_pending))
            .then(one.name.cmp(&other.name))
    });
    used.into_iter()
        .take(MOST_WATCHED)
        .map(|consumer| consumer.name.clone())
        .collect()
}

/// Counts the leaders of streams that move home already, on the peers that they get there.
pub(super) fn share_moving(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    evaluation: &Evaluation,
    spread: &mut Spread,
) {
    for finding in &evaluation.findings {
        let AssetIx::Stream(at) = finding.asset else {
            continue;
        };
        let is_moving = matches!(finding.verdict, Verdict::Held(_, FindingReason::MoveInProgress));
        let stream = view.streams.get(at as usize).filter(|_| is_moving);
        let Some((stream, home)) = stream.zip(safety_context.destination(finding.asset)) else {
            continue;
        };
        let peers = stream.group.peers.iter().map(|peer| peer.server);
        let arriving = peers.filter(|server| home.contains(*server)).collect();
        spread.share(arriving, stream.consumers.len());
    }
}

/// Which leaders are transferred before the servers do it (nats-facts N70): on servers that a move does not stall (N15), where another
/// peer can take over and the policy allows step-downs.
fn transfers(
    safety_context: &SafetyContext<'_>,
    stream: &Stream,
    target: &MoveTarget,
    spread: &mut Spread,
) -> LeaderTransfers {
    let DecisionContext { view, policy, .. } = *safety_context.context();
    let lowest = view.topology.version_range().map(|(lowest, _)| lowest);
    if stream.replicas < 2 || lowest.is_none_or(|lowest| lowest < MOVES_WITHOUT_STALL) {
        return LeaderTransfers::default();
    }
    let is_transferred = |consumer: &&Consumer| {
        let is_replicated = consumer.group.peers.len() > 1;
        let may_be_asked = consumer.durable && !consumer.opted_out && policy.selects_consumer(consumer);
        policy.actions.consumer_step_down && is_replicated && may_be_asked
    };
    let consumers = stream.consumers.iter().filter(is_transferred);
    let mut consumers: Vec<ConsumerName> = consumers.map(|consumer| consumer.name.clone()).collect();
    if consumers.len() > MOST_TRANSFERRED {
        consumers.clear();
    }
    let servers = target.servers.iter();
    let servers = servers.filter_map(|name| view.topology.find(name.as_str()));
    let may_lead = servers
        .filter(|server| !safety_context.just_started(*server))
        .collect();
    // Wherever the servers put them, its leaders will be there.
    let successors = spread.share(may_lead, stream.consumers.len());
    let name = |server| Some(view.topology.get(server)?.name.clone());
    LeaderTransfers {
        stream: policy.actions.stream_step_down,
        consumers,
        successors: successors.into_iter().filter_map(name).collect(),
    }
}

/// Streams that opted out are left alone, whatever becomes of them.
fn dependents(safety_context: &SafetyContext<'_>, stream: &Stream) -> Vec<StreamName> {
    let DecisionContext { view, policy, .. } = *safety_context.context();
    let rules = policy.actions.stream_placement.as_ref();
    if !rules.is_some_and(|rules| rules.refresh_dependents) {
        return Vec::new();
    }
    safety_context
        .dependents(stream)
        .filter_map(|at| view.streams.get(at))
        .filter(|dependent| !opted_out(&dependent.metadata))
        .map(|dependent| dependent.name.clone())
        .collect()
}
