//! What a reconcile found out about one policy, as reasons of its conditions.

use std::time::Duration;

use leeward_api::vocabulary::{AcceptedReason, ObservedReason, ResolvedRefsReason};
use leeward_engine::condition::ReasonMessage;

use super::RETRY_SOON;
use super::dereference::{References, SystemResolution};
use super::validate::{Refs, Unresolved};

/// What a reconcile found out, as the status reports it.
#[derive(Debug)]
pub struct Findings {
    /// Whether the policy may be used.
    pub accepted: ReasonMessage<AcceptedReason>,
    /// Whether what it refers to was found.
    pub resolved: ReasonMessage<ResolvedRefsReason>,
    /// Why nothing is observed, as long as nothing was evaluated.
    pub blind: ReasonMessage<ObservedReason>,
    /// How often to reconcile.
    pub interval: Duration,
    /// It is not known yet whether another policy has precedence.
    pub undecided: bool,
}

impl Findings {
    /// Takes over why the policy cannot be observed.
    pub fn take(&mut self, unresolved: Unresolved) {
        match unresolved {
            Unresolved::Refs(verdict) => {
                let text = "the account is not observed while ResolvedRefs is False";
                self.blind = ReasonMessage::new(ObservedReason::Disconnected, text);
                self.resolved = verdict;
            }
            Unresolved::System(verdict) => self.blind = verdict,
            Unresolved::Unknown(message) => {
                self.blind = ReasonMessage::new(ObservedReason::WarmingUp, message);
            }
        }
    }
}

/// What follows from the facts, before any request to NATS.
pub fn findings(facts: &References, refs: &Result<Refs, Unresolved>) -> Findings {
    let interval = match &facts.system.1 {
        SystemResolution::Known(handle) => handle.interval,
        SystemResolution::NotWatched
        | SystemResolution::Missing
        | SystemResolution::Unreadable
        | SystemResolution::Starting => RETRY_SOON,
    };
    let (system, secret) = (&facts.system.0, &facts.secret.0);
    let mut findings = Findings {
        accepted: ReasonMessage::new(AcceptedReason::Accepted, "the policy is valid"),
        resolved: ReasonMessage::new(
            ResolvedRefsReason::ResolvedRefs,
            format!("NatsSystem {system} and Secret {secret} were found"),
        ),
        blind: ReasonMessage::new(ObservedReason::WarmingUp, "the first look is under way"),
        interval,
        undecided: false,
    };
    if let Err(unresolved) = refs {
        findings.take(unresolved.clone());
    }
    findings
}
