//! One finding or gap in a sentence: what is seen, what it means, what to do.

use leeward_api::vocabulary::FindingReason;

use crate::demand::Home;
use crate::evaluate::{Circumstances, Cure, Evaluation, Finding, Verdict};
use crate::policy::Policy;
use crate::safety::healthy;
use crate::snapshot::{AccountView, Gap, Peer, Stream};
use crate::spread::group_of;

/// What could not be seen, and what to do about it.
pub fn gap_text(gap: &Gap) -> String {
    match gap {
        Gap::Disconnected { message } => format!("not connected to NATS: {message}"),
        Gap::WarmingUp => "the first observation is under way".into(),
        Gap::ServerMissing { server } => format!("server {server} does not answer"),
        Gap::ServersUncounted { expected, answered } => {
            format!("{answered} servers answered, {expected} are active")
        }
        Gap::Denied { subject } => format!("the user may not publish {subject}: grant it"),
        Gap::Unreadable { message } => message.clone(),
    }
}

/// Why a finding stands as it does.
pub fn explain(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
    finding: &Finding,
) -> String {
    let home = evaluation.home.as_ref().and_then(Home::reference);
    let home = home.map_or_else(|| "home".to_owned(), ToString::to_string);
    match finding.verdict {
        Verdict::InPlace => format!("led from {home}"),
        Verdict::Ignored(reason) => reason.explanation().to_owned(),
        Verdict::Misplaced(Cure::StepDown) => format!("a caught-up peer in {home} can take over"),
        Verdict::Misplaced(Cure::Move) => {
            format!("no peer in {home}: the stream's replicas have to move there")
        }
        Verdict::Misplaced(Cure::FollowStream) => format!("moves to {home} with its stream"),
        Verdict::Held(_, reason) => {
            let detail = detail(view, policy, circumstances, evaluation, finding, reason);
            let meaning = reason.explanation();
            detail.map_or_else(|| meaning.to_owned(), |detail| format!("{detail}. {meaning}"))
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reason without details of its own is explained by its meaning"
)]
fn detail(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
    finding: &Finding,
    reason: FindingReason,
) -> Option<String> {
    let stream = view.streams.get(finding.asset.stream() as usize)?;
    match reason {
        FindingReason::TargetLagging => {
            name_peers(view, finding, |peer| !healthy(peer)).map(|names| format!("not caught up: {names}"))
        }
        FindingReason::QuorumAtRisk => {
            name_peers(view, finding, |peer| peer.offline).map(|names| format!("offline: {names}"))
        }
        FindingReason::ManagedElsewhere => circumstances
            .managed
            .owner(&stream.name)
            .map(|owner| format!("its configuration belongs to {owner}")),
        FindingReason::BytesOverLimit => bytes_over(policy, stream),
        FindingReason::Stabilizing => match evaluation.home.as_ref()? {
            Home::Stabilizing {
                challenger,
                until,
                since: _,
                settled: _,
            } => Some(format!(
                "{challenger} becomes home at {until} if it goes on leading"
            )),
            Home::Settled { .. } | Home::NoMajority { .. } => None,
        },
        _ => None,
    }
}

fn name_peers(view: &AccountView, finding: &Finding, wanted: impl Fn(&Peer) -> bool) -> Option<String> {
    let group = group_of(view, finding.asset)?;
    let names: Vec<&str> = group
        .peers
        .iter()
        .filter(|peer| Some(peer.server) != group.leader && wanted(peer))
        .filter_map(|peer| Some(view.topology.get(peer.server)?.name.as_str()))
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn bytes_over(policy: &Policy, stream: &Stream) -> Option<String> {
    let limit = policy.actions.stream_placement.as_ref()?.max_bytes?;
    Some(format!(
        "{} bytes stored, actions.streamPlacement.maxBytes is {limit}",
        stream.bytes
    ))
}

#[cfg(test)]
mod tests;
