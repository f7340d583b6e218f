//! Whether a policy may act beside the others of its account, and all that inhibits acting. Pure.

use std::collections::BTreeSet;
use std::fmt;

use leeward_api::policy::{Mode, PlacementPolicySpec};
use leeward_api::vocabulary::AcceptedReason;
use leeward_core::names::StreamName;

use crate::condition::ReasonMessage;
use crate::permit::Inhibited;

/// Whether a policy may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precedence<By> {
    /// No other policy has precedence.
    Free,
    /// Policies of higher rank may select the same streams, and the streams or those policies were not seen yet.
    Undecided,
    /// This policy acts instead, on this stream and on what else both select.
    Outranked {
        /// The winner.
        by: By,
        /// The stream.
        over: StreamName,
    },
}

impl<By> Precedence<By> {
    /// The policy that acts instead.
    pub const fn outranked_by(&self) -> Option<&By> {
        match self {
            Self::Outranked { by, over: _ } => Some(by),
            Self::Free | Self::Undecided => None,
        }
    }
}

/// What precedence means for a policy's acceptance.
pub fn accepted<By: fmt::Display>(precedence: &Precedence<By>) -> ReasonMessage<AcceptedReason> {
    match precedence {
        Precedence::Free => ReasonMessage::new(AcceptedReason::Accepted, "the policy is valid"),
        Precedence::Undecided => ReasonMessage::new(
            AcceptedReason::Accepted,
            "the policy is valid; it acts once the account's streams were seen and none of them belongs to a policy \
             with precedence",
        ),
        Precedence::Outranked { by, over } => ReasonMessage::new(
            AcceptedReason::Conflicted,
            format!(
                "PlacementPolicy {by} has precedence and selects stream {over} too: narrow streams in one of the two, \
                 or raise this one's priority"
            ),
        ),
    }
}

/// Everything that inhibits acting.
pub fn inhibited<By>(
    spec: &PlacementPolicySpec,
    system_suspended: bool,
    precedence: &Precedence<By>,
) -> BTreeSet<Inhibited> {
    let mut inhibited = switched_off(spec, system_suspended);
    match precedence {
        Precedence::Free => {}
        Precedence::Undecided | Precedence::Outranked { by: _, over: _ } => {
            inhibited.insert(Inhibited::NotAccepted);
        }
    }
    inhibited
}

/// What the objects' own fields inhibit, known before anything else is read.
pub fn switched_off(spec: &PlacementPolicySpec, system_suspended: bool) -> BTreeSet<Inhibited> {
    let rules = [
        (spec.mode == Mode::Observe, Inhibited::Observing),
        (spec.suspend, Inhibited::Suspended),
        (system_suspended, Inhibited::SystemSuspended),
    ];
    rules
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, reason)| reason)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(changes: &serde_json::Value) -> PlacementPolicySpec {
        let mut spec = json!({
            "systemRef": {"name": "prod"},
            "credentialsRef": {"name": "orders"},
        });
        spec.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn p8_the_objects_own_switches_are_known_before_anything_else_is_read() {
        let enforce = spec(&json!({"mode": "Enforce"}));
        assert!(switched_off(&enforce, false).is_empty());
        let halted = BTreeSet::from([Inhibited::SystemSuspended]);
        assert_eq!(switched_off(&enforce, true), halted);
        let suspended = spec(&json!({"mode": "Enforce", "suspend": true}));
        assert_eq!(
            switched_off(&suspended, false),
            BTreeSet::from([Inhibited::Suspended])
        );
        let observing = spec(&json!({}));
        assert_eq!(
            switched_off(&observing, false),
            BTreeSet::from([Inhibited::Observing])
        );
    }

    #[test]
    fn p8_only_a_policy_with_precedence_may_act() {
        let enforce = spec(&json!({"mode": "Enforce"}));
        let inhibited = |precedence: &Precedence<&str>| inhibited(&enforce, false, precedence);
        assert!(inhibited(&Precedence::Free).is_empty());
        let refused = BTreeSet::from([Inhibited::NotAccepted]);
        assert_eq!(inhibited(&Precedence::Undecided), refused);
        let outranked = Precedence::Outranked {
            by: "mail",
            over: "ORDERS".into(),
        };
        assert_eq!(inhibited(&outranked), refused);
        let verdict = accepted(&outranked);
        assert_eq!(verdict.reason, AcceptedReason::Conflicted);
        assert!(
            verdict
                .message
                .contains("mail has precedence and selects stream ORDERS"),
            "{}",
            verdict.message
        );
    }
}
