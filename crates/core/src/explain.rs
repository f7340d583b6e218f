//! One finding or gap in a sentence: what is seen, what it means, what to do.

pub mod amounts;
mod held;

use std::cmp::Reverse;

use leeward_api::vocabulary::Remedy;

use self::held::HeldAsset;
use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding, Verdict};
use crate::homes::{AssetHome, Homes};
use crate::names::ClusterName;
use crate::refusal::may_not;
use crate::safety::SafetyContext;
use crate::score::MoveCost;
use crate::snapshot::Gap;
use crate::topology::LocationMap;
use crate::usage::StreamUse;

/// Locations whose shares a text names.
const MOST_SHARES: usize = 4;

/// What could not be seen, and what to do about it.
pub fn gap_text(gap: &Gap) -> String {
    match gap {
        Gap::Disconnected { message } => format!("not connected to NATS: {message}"),
        Gap::WarmingUp => "the first observation is under way".into(),
        Gap::OtherDomain { observed, wanted } => {
            let seen = match observed {
                Some(domain) => format!("JetStream of domain {domain} is seen"),
                None => "JetStream without a domain is seen".to_owned(),
            };
            format!(
                "{seen}, the policy asks for domain {wanted}: correct jetStreamDomain (--js-domain), or connect to \
                 servers of that domain"
            )
        }
        Gap::ServerMissing { server } => format!("server {server} does not answer"),
        Gap::MemberMissing { server } => format!(
            "server {server} does not answer. If it is gone for good, take it out of JetStream's meta group: `nats \
             server cluster peer-remove {server}`"
        ),
        Gap::WithoutJetStream { server } => format!(
            "server {server} is a member of JetStream's meta group and does not run JetStream: turn it on there, or \
             take the server out with `nats server cluster peer-remove {server}`"
        ),
        Gap::SameName { server, clusters } => {
            let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
            let place = if names.is_empty() {
                String::new()
            } else {
                format!(" (clusters: {})", names.join(", "))
            };
            format!(
                "several servers are called {server}{place}, and JetStream tells leaders and replicas by name: give \
                 each its own server_name"
            )
        }
        Gap::ServersUncounted { expected, answered } => {
            format!("{answered} servers answered, {expected} are active")
        }
        Gap::Denied { subject } => format!("the user {}: grant it", may_not(subject)),
        Gap::Unreadable { message } => message.clone(),
    }
}

/// Why a finding has its verdict.
pub fn explain(context: &DecisionContext<'_>, evaluation: &Evaluation, finding: &Finding) -> String {
    let homes = &evaluation.homes;
    let locations = LocationMap::new(&context.view.topology, &context.policy.topology);
    // An incomplete view gives no details.
    let home = homes.account().and_then(|_| homes.reference(finding.asset));
    let safety_context = home.map(|_| SafetyContext::new(context, &locations, homes));
    let home = home.map_or_else(|| "home".to_owned(), ToString::to_string);
    let text = verdict_text(context, evaluation, finding, safety_context.as_ref(), &home);
    match basis_text(homes, finding.asset) {
        Some(basis) => format!("{}; {basis}", text.trim_end_matches('.')),
        None => text,
    }
}

/// By whose clients the home of an asset is decided, where its own count.
pub fn basis_text(homes: &Homes, asset: AssetIx) -> Option<String> {
    match homes.own(asset)? {
        AssetHome::Own { home, used } => {
            let shares = use_text(used);
            if homes.is_anywhere(asset) {
                return Some(format!(
                    "no location has the majority of its use, so it stays: {shares}"
                ));
            }
            let settled = home.settled()?;
            Some(format!("home is {settled} by the clients that use it: {shares}"))
        }
        AssetHome::Account {
            used,
            contradicts: false,
        } => Some(format!(
            "home is decided by the account's clients: {}",
            use_text(used)
        )),
        AssetHome::Account { .. } | AssetHome::Unknown { .. } => None,
    }
}

/// Of [`StreamUse::is_partly_unmeasured`].
pub const UNMEASURED: &str =
    "it is also read in ways that are not measured, by consumers that come and go or where nobody may listen";

/// From where an asset is used, and which share of its messages that explains.
pub fn use_text(used: &StreamUse) -> String {
    let mut rows: Vec<(&str, u8)> = used
        .locations
        .iter()
        .map(|(location, row)| (location.as_str(), row.percent))
        .collect();
    rows.sort_by_key(|(name, percent)| (Reverse(*percent), *name));
    let mut shares: Vec<String> = rows
        .iter()
        .take(MOST_SHARES)
        .map(|(name, percent)| format!("{name} {percent} %"))
        .collect();
    if rows.len() > MOST_SHARES {
        shares.push(format!("{} more locations", rows.len() - MOST_SHARES));
    }
    if used.unplaced.connections > 0 {
        shares.push(format!("servers without a location {} %", used.unplaced.percent));
    }
    let seen = if shares.is_empty() {
        "no client was seen".to_owned()
    } else {
        format!("used from {}", shares.join(", "))
    };
    let unmeasured = if used.is_partly_unmeasured {
        format!("; {UNMEASURED}")
    } else {
        String::new()
    };
    match used.coverage_percent {
        Some(percent) => format!("{seen}, which explains {percent} % of its messages{unmeasured}"),
        None => format!("{seen}{unmeasured}"),
    }
}

fn verdict_text(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    finding: &Finding,
    safety_context: Option<&SafetyContext<'_>>,
    home: &str,
) -> String {
    match finding.verdict {
        Verdict::InPlace => format!("led from {home}"),
        Verdict::Ignored(reason) => reason.explanation().to_owned(),
        Verdict::Misplaced(Remedy::StreamStepDown | Remedy::ConsumerStepDown) => {
            format!("a caught-up peer in {home} can take over")
        }
        Verdict::Misplaced(Remedy::ConsumerEvacuation) => {
            format!(
                "its only replica can go to other peers of its stream, some of them in {home}; the servers choose, so it is repeated"
            )
        }
        Verdict::Misplaced(Remedy::StreamPlacement) => {
            let stream = context.view.streams.get(finding.asset.stream() as usize);
            let cost = safety_context
                .zip(stream)
                .map(|(safety_context, stream)| cost_text(&safety_context.move_cost(stream)));
            let cost = cost.map_or_else(String::new, |cost| format!("; {cost}"));
            format!("no peer in {home}: the stream's replicas have to move there{cost}")
        }
        Verdict::Misplaced(Remedy::FollowsStream) => format!("moves to {home} with its stream"),
        Verdict::Misplaced(remedy @ Remedy::Advice) => remedy.explanation().to_owned(),
        Verdict::Held(remedy, reason) => {
            let held = HeldAsset::new(context, safety_context, evaluation, finding.asset, remedy);
            held.map_or_else(|| reason.explanation().to_owned(), |held| held.text(reason))
        }
    }
}

/// What a move is expected to cost.
fn cost_text(cost: &MoveCost) -> String {
    let MoveCost { bytes, time, stall } = cost;
    let copies = format!(
        "a move copies {} in about {}",
        amounts::bytes(*bytes),
        amounts::about(*time)
    );
    if stall.is_zero() {
        return copies;
    }
    let (stall, servers) = (amounts::about(*stall), amounts::stalling_servers());
    format!("{copies}, and blocks writes for about {stall} ({servers})")
}

#[cfg(test)]
mod tests;
