use std::{fmt::Debug, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};
use strum::IntoEnumIterator;

use super::*;

/// Checks that an enum holds exactly these words in this order, and that each reads back as itself.
fn holds<T>(words: &str)
where
    T: IntoEnumIterator + AsRef<str> + ToString + FromStr + Serialize + DeserializeOwned + Copy + Ord + Debug,
{
    let variants: Vec<T> = T::iter().collect();
    assert_eq!(
        variants.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        words.split_whitespace().collect::<Vec<_>>()
    );
    assert!(variants.is_sorted());
    for variant in variants {
        let word = variant.as_ref();
        assert_eq!(variant.to_string(), word);
        assert_eq!(T::from_str(word).ok(), Some(variant));
        let json = serde_json::to_string(&variant).unwrap();
        assert_eq!(json, format!("\"{word}\""));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), variant);
    }
}

#[test]
fn findings_use_exactly_the_words_of_the_contract() {
    holds::<Check>(
        "StreamLeaderMisplaced ConsumerLeaderMisplaced NoLocalLeader HighGatewayShare SeveralLocations",
    );
    holds::<Remedy>(
        "ConsumerStepDown StreamStepDown ConsumerEvacuation StreamPlacement FollowsStream Advice",
    );
    holds::<ActionType>("ConsumerStepDown StreamStepDown ConsumerEvacuation StreamPlacement");
    holds::<ActionResult>("Succeeded Missed Stalled Failed TimedOut Abandoned");
    holds::<AdviceKind>("Mirror");
    holds::<FindingReason>(&[FINE, SOFT, POLICY, HARD].join(" "));
}

const FINE: &str = "OptedOut Ephemeral";
const SOFT: &str = "CoolingDown BudgetExhausted OutsideWindow BreakerOpen Stabilizing UseUnknown \
    UsedElsewhere NoMajorityOfUse TargetLagging \
    AckPendingHigh RecentlyElected ServerJustStarted MoveInProgress StreamMoving";
const POLICY: &str = "ActionDisabled ManagedElsewhere BytesOverLimit StallTooLong \
    NotWorthIt PinnedClient Contested";
const HARD: &str = "SinglePeer NoPeerInHome NoServersMatch NotEnoughServers NoCapacity NoLeader QuorumAtRisk \
    PermissionDenied AnswersDiffer ServerTooOld MixedVersions AttemptsExhausted";

#[test]
fn every_finding_reason_is_in_the_class_of_the_contract() {
    let classes = [
        (FINE, ReasonClass::Fine),
        (SOFT, ReasonClass::Soft),
        (POLICY, ReasonClass::Policy),
        (HARD, ReasonClass::Hard),
    ];
    for (words, class) in classes {
        for word in words.split_whitespace() {
            assert_eq!(FindingReason::from_str(word).unwrap().class(), class, "{word}");
        }
    }
}

#[test]
fn every_finding_reason_explains_itself_in_one_sentence() {
    for reason in FindingReason::iter() {
        let text = reason.explanation();
        assert!(
            text.len() > 20 && text.ends_with('.') && !text.contains('\n'),
            "{reason}: {text:?}"
        );
        assert_eq!(text.matches(". ").count(), 0, "{reason}: {text:?}");
        assert_eq!(text, text.trim(), "{reason}");
    }
}

#[test]
fn every_finding_reason_says_what_comes_next() {
    for reason in FindingReason::iter() {
        let says_what_next = reason.explanation().contains([';', ',']);
        assert!(says_what_next, "{reason}: {:?}", reason.explanation());
    }
}

#[test]
fn conditions_use_exactly_the_words_of_the_contract() {
    holds::<ConditionStatus>("True False Unknown");
    holds::<PolicyCondition>("Accepted ResolvedRefs Observed InPlace Approved Progressing Degraded Ready");
    holds::<SystemCondition>("Connected Observed Ready");
    holds::<AcceptedReason>("Accepted Invalid InvalidTimeZone Conflicted");
    holds::<ResolvedRefsReason>(
        "ResolvedRefs SystemNotFound RefNotPermitted SecretNotFound InvalidCredentials AccountUnconfirmed \
         PermissionDenied",
    );
    holds::<ObservedReason>("Complete ServersMissing DomainDiffers WarmingUp Disconnected Stale");
    holds::<InPlaceReason>("AllInPlace NothingSelected ActionsPending Held NoMajority Unfixable Contested");
    holds::<ProgressingReason>(
        "SteppingDown StreamMoving Verifying Idle Observing AwaitingApproval Suspended OutsideWindow BudgetExhausted GateClosed \
         BreakerOpen FenceHeldElsewhere",
    );
    holds::<ApprovedReason>(
        "NothingProposed Approved AwaitingApproval Rejected UnknownPlan PlansUnavailable Withdrawn",
    );
    holds::<DegradedReason>("StepDownsMissed ConsumerStalled MoveTimedOut RepeatedFailures Healthy");
    holds::<ConnectedReason>(
        "Connected Connecting SecretNotFound InvalidCredentials TlsFailed Unreachable PermissionDenied",
    );
}

#[test]
fn plans_use_exactly_the_words_of_the_contract() {
    holds::<PlanState>(
        "Proposed Approved Executing Completed PartlyDone Superseded Expired Cancelled Rejected",
    );
    holds::<ReviewDecision>("Approved Rejected Cancelled");
    holds::<ApprovedBy>("Review Policy AutoApprove");
    holds::<SkipReason>("Gone NotSelected HomeChanged LeaderChanged ActionChanged Held Cancelled");
    holds::<PlanCondition>("Approved Complete");
}

/// The reasons with which a condition has a status.
fn reasons_with<T: IntoEnumIterator + ConditionReason>(status: ConditionStatus) -> Vec<String> {
    T::iter()
        .filter(|reason| reason.status() == status)
        .map(|reason| reason.as_ref().to_owned())
        .collect()
}

#[test]
fn a_reason_decides_its_conditions_status() {
    use ConditionStatus::{False, True, Unknown};
    assert_eq!(reasons_with::<AcceptedReason>(True), ["Accepted"]);
    assert_eq!(reasons_with::<ResolvedRefsReason>(True), ["ResolvedRefs"]);
    assert_eq!(reasons_with::<ObservedReason>(True), ["Complete"]);
    assert_eq!(
        reasons_with::<InPlaceReason>(True),
        ["AllInPlace", "NothingSelected"]
    );
    assert_eq!(reasons_with::<InPlaceReason>(Unknown), ["NoMajority"]);
    assert_eq!(
        reasons_with::<ProgressingReason>(True),
        ["SteppingDown", "StreamMoving", "Verifying"]
    );
    assert_eq!(
        reasons_with::<ApprovedReason>(True),
        ["NothingProposed", "Approved"]
    );
    assert_eq!(
        reasons_with::<PlanState>(False),
        ["Proposed", "Approved", "Executing", "Rejected"]
    );
    assert_eq!(reasons_with::<DegradedReason>(False), ["Healthy"]);
    assert_eq!(reasons_with::<ConnectedReason>(True), ["Connected"]);
}

#[test]
fn ready_takes_the_reason_of_what_fails() {
    let cases = [
        (ReadyReason::Evaluated, "Evaluated", ConditionStatus::True),
        (ReadyReason::InPlace, "InPlace", ConditionStatus::True),
        (
            ReadyReason::Accepted(AcceptedReason::Conflicted),
            "Conflicted",
            ConditionStatus::False,
        ),
        (
            ReadyReason::ResolvedRefs(ResolvedRefsReason::SecretNotFound),
            "SecretNotFound",
            ConditionStatus::False,
        ),
        (
            ReadyReason::Observed(ObservedReason::WarmingUp),
            "WarmingUp",
            ConditionStatus::False,
        ),
        (
            ReadyReason::NotInPlace(InPlaceReason::NoMajority),
            "NoMajority",
            ConditionStatus::Unknown,
        ),
    ];
    for (reason, word, status) in cases {
        assert_eq!((reason.to_string().as_str(), reason.status()), (word, status));
    }
    let unreachable = SystemReadyReason::Connected(ConnectedReason::Unreachable);
    assert_eq!(
        (unreachable.as_ref(), unreachable.status()),
        ("Unreachable", ConditionStatus::False)
    );
}

#[test]
fn events_use_exactly_the_words_of_the_contract() {
    let normal = "HomeChanged LeaderMoved StreamMoveStarted StreamMoveCompleted \
        PlanProposed PlanApproved PlanEnded PlanCompleted BreakerClosed";
    let warning = "ObservationIncomplete StepDownMissed StepDownFailed ConsumerStalled StreamMoveTimedOut \
        PlacementContested AttemptsExhausted BreakerOpened AnswersDiffer PermissionDenied \
        PolicyConflicted";
    holds::<EventReason>(&[normal, warning].join(" "));
    for event in EventReason::iter() {
        assert_eq!(
            event.warning(),
            warning.split_whitespace().any(|word| word == event.as_ref()),
            "{event}"
        );
    }
}
