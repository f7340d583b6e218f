use std::sync::Arc;

use leeward_api::policy_status::{AssetCounts, HomeStatus, Memory, RecentAction};
use leeward_api::vocabulary::ActionResult;
use leeward_core::names::AccountId;
use leeward_core::report::Report;
use leeward_core::snapshot::AccountView;
use leeward_core::topology::Topology;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn spec() -> PlacementPolicySpec {
    serde_json::from_value(serde_json::json!({
        "systemRef": {"name": "prod"},
        "credentialsRef": {"name": "orders"},
    }))
    .unwrap()
}

fn policy_state(observed: ObservedReason, in_place: InPlaceReason) -> PolicyState {
    let view = AccountView {
        account: AccountId::from("A"),
        topology: Arc::new(Topology::default()),
        observed_at: at(0),
        gaps: Vec::new(),
        clients: Vec::new(),
        streams: Vec::new(),
        traffic: None,
    };
    let report = Report {
        observed: (observed, "observed".into()),
        in_place: (in_place, "in place".into()),
        home: Some(HomeStatus {
            location: "east".into(),
            percent: 80,
            connections: 8,
            since: None,
            stable: true,
        }),
        locations: Vec::new(),
        streams: AssetCounts::default(),
        consumers: AssetCounts::default(),
        in_place_of: Some("3/4".into()),
        findings: Vec::new(),
        findings_omitted: 0,
        gateway: None,
        advice: Vec::new(),
    };
    PolicyState {
        sequence: 1,
        limits: Limits::default(),
        memory: Memory::default(),
        generation: 1,
        evaluated_at: at(100),
        view: Arc::new(view),
        report: Arc::new(report),
        progressing: (ProgressingReason::Idle, "nothing to do".into()),
        degraded: (DegradedReason::Healthy, "healthy".into()),
        denied: Vec::new(),
        operations: Vec::new(),
        settling: Vec::new(),
        waiting: 0,
        recent_actions: Vec::new(),
        proposed: None,
    }
}

fn status_input<'a>(spec: &'a PlacementPolicySpec, observation: Observation<'a>) -> PolicyStatusInput<'a> {
    PolicyStatusInput {
        generation: Some(1),
        spec,
        accepted: ReasonMessage::new(AcceptedReason::Accepted, "accepted"),
        resolved: ReasonMessage::new(ResolvedRefsReason::ResolvedRefs, "resolved"),
        account: None,
        observation,
        lost: None,
        approval: None,
    }
}

#[test]
fn what_was_spent_stays_where_plans_are_not_known_or_not_wanted() {
    let spec = spec();
    let observation =
        || Observation::Unavailable(ReasonMessage::new(ObservedReason::WarmingUp, "first look"));
    let spent = |status: &PlacementPolicyStatus| status.approval.clone().unwrap_or_default().spent;
    let known = PlacementPolicyStatus {
        approval: Some(ApprovalStatus {
            plan: Some("8899aabbccddeeff".into()),
            spent: vec!["0011223344556677".into()],
            ..ApprovalStatus::default()
        }),
        ..PlacementPolicyStatus::default()
    };
    let mut unknown = status_input(&spec, observation());
    unknown.approval = Some(ApprovalInput {
        condition: ReasonMessage::new(ApprovedReason::PlansUnavailable, "no answer"),
        status: None,
    });
    assert_eq!(build(&known, &unknown, at(200)).approval, known.approval);
    let unwanted = build(&known, &status_input(&spec, observation()), at(200));
    assert_eq!(spent(&unwanted), spent(&known));
    assert_eq!(unwanted.approval.unwrap().plan, None);
}

fn fresh(status_input: &PolicyStatusInput<'_>) -> PlacementPolicyStatus {
    build(&PlacementPolicyStatus::default(), status_input, at(200))
}

fn reason<'a>(status: &'a PlacementPolicyStatus, kind: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found
        .map(|condition| (condition.status.as_str(), condition.reason.as_str()))
        .unwrap()
}

#[test]
fn a_policy_that_was_evaluated_completely_is_ready_although_leaders_are_elsewhere() {
    let (mut spec, policy_state) = (
        spec(),
        policy_state(ObservedReason::Complete, InPlaceReason::ActionsPending),
    );
    let status = fresh(&status_input(&spec, Observation::State(&policy_state)));
    assert_eq!(status.conditions.len(), 7);
    assert_eq!(reason(&status, "InPlace"), ("False", "ActionsPending"));
    assert_eq!(reason(&status, "Ready"), ("True", "Evaluated"));
    assert_eq!(status.in_place.as_deref(), Some("3/4"));
    assert_eq!(status.last_evaluation_time, Some(Time(at(100))));
    spec.ready_when = ReadyWhen::InPlace;
    let status = fresh(&status_input(&spec, Observation::State(&policy_state)));
    assert_eq!(reason(&status, "Ready"), ("False", "ActionsPending"));
}

#[test]
fn ready_names_the_first_condition_that_fails() {
    let spec = spec();
    let blind = ReasonMessage::new(ObservedReason::Disconnected, "no connection");
    let mut status_input = status_input(&spec, Observation::Unavailable(blind));
    assert_eq!(reason(&fresh(&status_input), "Ready"), ("False", "Disconnected"));
    status_input.resolved = ReasonMessage::new(ResolvedRefsReason::SecretNotFound, "no Secret");
    assert_eq!(
        reason(&fresh(&status_input), "Ready"),
        ("False", "SecretNotFound")
    );
    status_input.accepted = ReasonMessage::new(AcceptedReason::Conflicted, "conflict");
    assert_eq!(reason(&fresh(&status_input), "Ready"), ("False", "Conflicted"));
    assert_eq!(
        reason(&fresh(&status_input), "InPlace"),
        ("Unknown", "NoMajority")
    );
}

#[test]
fn what_cannot_be_seen_now_keeps_its_last_value() {
    let spec = spec();
    let seen = policy_state(ObservedReason::Complete, InPlaceReason::AllInPlace);
    let before = fresh(&status_input(&spec, Observation::State(&seen)));
    let blind = ReasonMessage::new(ObservedReason::Disconnected, "no connection");
    let blind = build(
        &before,
        &status_input(&spec, Observation::Unavailable(blind)),
        at(300),
    );
    assert_eq!(blind.home, before.home);
    assert_eq!(blind.last_evaluation_time, before.last_evaluation_time);
    let mut warming = policy_state(ObservedReason::WarmingUp, InPlaceReason::NoMajority);
    Arc::make_mut(&mut warming.report).home = None;
    let warming = build(
        &before,
        &status_input(&spec, Observation::State(&warming)),
        at(300),
    );
    assert_eq!(warming.home, before.home, "a restart forgets nothing");
    assert_eq!(reason(&warming, "Observed"), ("False", "WarmingUp"));
}

#[test]
fn p12_another_evaluation_alone_is_no_news() {
    let spec = spec();
    let mut seen = policy_state(ObservedReason::Complete, InPlaceReason::AllInPlace);
    let before = fresh(&status_input(&spec, Observation::State(&seen)));
    seen.evaluated_at = at(400);
    let again = build(&before, &status_input(&spec, Observation::State(&seen)), at(401));
    assert!(same(&before, &again));
    assert_eq!(again.last_evaluation_time, before.last_evaluation_time);
    seen.recent_actions.push(RecentAction {
        time: Time(at(399)),
        action: ActionType::StreamStepDown,
        stream: "ORDERS".into(),
        consumer: None,
        from: None,
        to: None,
        result: ActionResult::Succeeded,
        reason: None,
        duration_milliseconds: 40,
        proof: None,
    });
    let acted = build(&before, &status_input(&spec, Observation::State(&seen)), at(401));
    assert!(!same(&before, &acted));
    assert_eq!(acted.last_evaluation_time, Some(Time(at(400))));
}

#[test]
fn a_status_read_back_from_the_api_is_no_news_either() {
    let spec = spec();
    let mut seen = policy_state(ObservedReason::Complete, InPlaceReason::AllInPlace);
    let precise = Timestamp::from_millisecond(123_456).unwrap();
    Arc::make_mut(&mut seen.report).home.as_mut().unwrap().since = Some(Time(precise));
    let written = build(
        &PlacementPolicyStatus::default(),
        &status_input(&spec, Observation::State(&seen)),
        precise,
    );
    let read: PlacementPolicyStatus =
        serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
    assert!(same(&written, &read));
    assert!(same(
        &read,
        &build(&read, &status_input(&spec, Observation::State(&seen)), at(500))
    ));
}

#[test]
fn refused_actions_name_the_subjects_to_allow() {
    let mut spec = spec();
    spec.jet_stream_domain = Some("hub".into());
    let mut seen = policy_state(ObservedReason::Complete, InPlaceReason::Held);
    seen.denied = vec![ActionType::StreamPlacement];
    let status = fresh(&status_input(&spec, Observation::State(&seen)));
    assert_eq!(reason(&status, "ResolvedRefs"), ("False", "PermissionDenied"));
    let message = &status.conditions[1].message;
    assert!(message.contains("$JS.hub.API.STREAM.UPDATE.>"), "{message}");
}

#[test]
fn a_connection_that_is_lost_is_said_although_the_system_is_seen() {
    let spec = spec();
    let seen = policy_state(ObservedReason::Complete, InPlaceReason::AllInPlace);
    let mut status_input = status_input(&spec, Observation::State(&seen));
    status_input.lost = Some("connection refused".into());
    assert_eq!(
        reason(&fresh(&status_input), "Observed"),
        ("False", "Disconnected")
    );
}

#[test]
fn traffic_that_hardly_changes_is_no_news() {
    let rate = |bytes_per_second| {
        Some(GatewayStatus {
            percent: 40,
            bytes_per_second,
        })
    };
    assert_eq!(steadied(rate(1000), rate(1050)), rate(1000));
    assert_eq!(steadied(rate(1000), rate(1200)), rate(1200));
    assert_eq!(steadied(rate(1000), None), None);
}
