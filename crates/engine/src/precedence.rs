//! Whether a policy may act beside the others of its account, and all that withholds the right to act. Pure.

use std::collections::BTreeSet;
use std::fmt;

use leeward_api::policy::{Mode, PlacementPolicySpec};
use leeward_api::vocabulary::AcceptedReason;
use leeward_core::names::StreamName;

use crate::condition::Verdict;
use crate::permit::Withheld;

/// Whether a policy may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precedence<By> {
    /// No other policy stands above it.
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

/// What precedence means for a policy's acceptance.
pub fn accepted<By: fmt::Display>(precedence: &Precedence<By>) -> Verdict<AcceptedReason> {
    match precedence {
        Precedence::Free => Verdict::new(AcceptedReason::Accepted, "the policy is valid"),
        Precedence::Undecided => Verdict::new(
            AcceptedReason::Accepted,
            "the policy is valid; it acts once the account's streams were seen and none of them belongs to a policy \
             with precedence",
        ),
        Precedence::Outranked { by, over } => Verdict::new(
            AcceptedReason::Conflicted,
            format!(
                "PlacementPolicy {by} has precedence and selects stream {over} too: narrow streams in one of the two, \
                 or raise this one's priority"
            ),
        ),
    }
}

/// Everything that withholds the right to act.
pub fn withheld<By>(
    spec: &PlacementPolicySpec,
    system_suspended: bool,
    precedence: &Precedence<By>,
) -> BTreeSet<Withheld> {
    let mut withheld = switched_off(spec, system_suspended);
    match precedence {
        Precedence::Free => {}
        Precedence::Undecided | Precedence::Outranked { by: _, over: _ } => {
            withheld.insert(Withheld::NotAccepted);
        }
    }
    withheld
}

/// What people withhold by the objects themselves, known before anything else was read.
pub fn switched_off(spec: &PlacementPolicySpec, system_suspended: bool) -> BTreeSet<Withheld> {
    let rules = [
        (spec.mode == Mode::Observe, Withheld::Observing),
        (spec.suspend, Withheld::Suspended),
        (system_suspended, Withheld::SystemSuspended),
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
        let halted = BTreeSet::from([Withheld::SystemSuspended]);
        assert_eq!(switched_off(&enforce, true), halted);
        let suspended = spec(&json!({"mode": "Enforce", "suspend": true}));
        assert_eq!(
            switched_off(&suspended, false),
            BTreeSet::from([Withheld::Suspended])
        );
        let observing = spec(&json!({}));
        assert_eq!(
            switched_off(&observing, false),
            BTreeSet::from([Withheld::Observing])
        );
    }

    #[test]
    fn p8_only_a_policy_with_precedence_may_act() {
        let enforce = spec(&json!({"mode": "Enforce"}));
        let withheld = |precedence: &Precedence<&str>| withheld(&enforce, false, precedence);
        assert!(withheld(&Precedence::Free).is_empty());
        let refused = BTreeSet::from([Withheld::NotAccepted]);
        assert_eq!(withheld(&Precedence::Undecided), refused);
        let outranked = Precedence::Outranked {
            by: "mail",
            over: "ORDERS".into(),
        };
        assert_eq!(withheld(&outranked), refused);
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
