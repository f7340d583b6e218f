//! A policy's precedence, the inputs of its status, and its conditions as text. Pure.

use itertools::Itertools as _;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_api::vocabulary::ResolvedRefsReason;
use leeward_core::conflict::outranked;
use leeward_core::names::StreamName;
use leeward_core::policy::Policy;
use leeward_core::snapshot::{AccountView, Gap};
use leeward_engine::condition::ReasonMessage;
use leeward_engine::precedence::Precedence;
use leeward_nats::{ConnectProblem, ConnectionState};

/// Decides for all policies, in the order of their rank, each with its name.
pub(super) fn precedence(view: &AccountView, ranked: &[(String, &Policy)]) -> Vec<Precedence<String>> {
    if view.gaps.contains(&Gap::WarmingUp) {
        let first = |rank| match rank {
            0 => Precedence::Free,
            _ => Precedence::Undecided,
        };
        return (0..ranked.len()).map(first).collect();
    }
    let policies: Vec<&Policy> = ranked.iter().map(|(_, policy)| *policy).collect();
    let decide = |above: Option<(usize, StreamName)>| match above {
        None => Precedence::Free,
        Some((above, over)) => ranked.get(above).map_or(Precedence::Undecided, |(by, _)| {
            let by = by.clone();
            Precedence::Outranked { by, over }
        }),
    };
    outranked(view, &policies).into_iter().map(decide).collect()
}

/// Whether NATS accepts the credentials.
pub(super) fn resolved(state: &ConnectionState) -> ReasonMessage<ResolvedRefsReason> {
    match state {
        ConnectionState::Refused {
            problem: ConnectProblem::InvalidCredentials,
            message,
        } => ReasonMessage::new(
            ResolvedRefsReason::InvalidCredentials,
            format!("NATS refused the credentials: {message}"),
        ),
        ConnectionState::Connecting
        | ConnectionState::Connected { .. }
        | ConnectionState::Disconnected { .. }
        | ConnectionState::Refused {
            problem: ConnectProblem::InvalidTls | ConnectProblem::InvalidServers,
            ..
        } => ReasonMessage::new(
            ResolvedRefsReason::ResolvedRefs,
            "the connection is the one of the command line",
        ),
    }
}

/// Why nothing can be sent now.
pub(super) fn lost(state: &ConnectionState) -> Option<String> {
    match state {
        ConnectionState::Disconnected { message } | ConnectionState::Refused { problem: _, message } => {
            Some(format!("no connection to NATS as the account's user: {message}"))
        }
        ConnectionState::Connecting | ConnectionState::Connected { .. } => None,
    }
}

/// The conditions in one line: each with its reason.
pub(super) fn conditions(status: &PlacementPolicyStatus) -> String {
    let conditions = status.conditions.iter();
    conditions
        .map(|condition| format!("{}={}", condition.type_, condition.reason))
        .join(" ")
}

#[cfg(test)]
mod tests;
