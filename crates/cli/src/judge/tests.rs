use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::HomeStatus;
use leeward_api::vocabulary::{Check, FindingReason, InPlaceReason};
use leeward_core::demand::Home;
use leeward_core::snapshot::Gap;
use serde_json::json;

use super::fixtures::{clients, free, judged, loaded, noon, orders, seen, stream};
use super::*;

fn past(home: &str, since: Duration, account: &str) -> PlacementPolicyStatus {
    PlacementPolicyStatus {
        account: Some(Account {
            id: account.into(),
            name: None,
        }),
        home: Some(HomeStatus {
            location: home.into(),
            percent: 80,
            connections: 30,
            since: Some(Time(noon() - since)),
            stable: true,
        }),
        ..PlacementPolicyStatus::default()
    }
}

#[test]
fn without_a_past_one_look_decides_home_and_says_so() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = judged(&loaded, &seen);
    assert!(judged.home_from_this_look);
    assert!(judged.about().home_from_this_look);
    let home = judged.report.home.as_ref().unwrap();
    assert_eq!((home.location.as_str(), home.stable), ("us-east", true));
    assert_eq!(judged.report.in_place.0, InPlaceReason::ActionsPending);
    assert_eq!(judged.found(), LookOutcome::Findings);
}

#[test]
fn with_a_past_a_new_home_has_to_last_as_the_policy_says() {
    let mut loaded = loaded("orders", free());
    loaded.past = past("eu-west", Duration::from_hours(9), "orders");
    let seen = seen(orders());
    let judged = judged(&loaded, &seen);
    assert!(!judged.home_from_this_look);
    assert!(matches!(
        judged.decision.evaluation.homes.account(),
        Some(Home::Stabilizing { .. })
    ));
    let first = judged.forecast().waves.first().unwrap();
    assert!(first.at >= noon() + Duration::from_mins(10), "{}", first.at);
}

#[test]
fn the_past_of_another_account_says_nothing() {
    let mut loaded = loaded("orders", free());
    loaded.past = past("eu-west", Duration::from_hours(9), "somebody-else");
    let seen = seen(orders());
    let judged = judged(&loaded, &seen);
    assert!(judged.home_from_this_look);
    assert_eq!(judged.report.home.as_ref().unwrap().location, "us-east");
}

#[test]
fn a_move_is_planned_with_its_cost_and_the_gain_of_those_who_come_along() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = judged(&loaded, &seen);
    let actions: Vec<ActionPart> = judged.forecast().waves[0]
        .actions
        .iter()
        .map(|action| judged.action(action))
        .collect();
    assert_eq!(actions.len(), 1);
    let moving = &actions[0];
    assert_eq!(
        (moving.stream.as_str(), moving.consumer.as_deref()),
        ("ORDERS", None)
    );
    assert_eq!(
        (moving.from.as_str(), moving.to.as_deref()),
        ("eu-west-1", Some("us-east"))
    );
    assert_eq!(moving.bytes, Some(900 << 20));
    assert_eq!(moving.followers, Some(2));
    let gain = moving.gain.unwrap();
    assert!((gain - 78.0 * 180.0).abs() < 1.0, "{gain}");
}

#[test]
fn a_gain_is_told_only_where_a_message_rate_is_known() {
    let mut view = orders();
    for stream in &mut view.streams {
        stream.message_rate = None;
        for consumer in &mut stream.consumers {
            consumer.message_rate = None;
        }
    }
    let (loaded, mut seen) = (loaded("orders", free()), seen(view.clone()));
    let gains = |seen: &Looked| {
        let judged = judged(&loaded, seen);
        let action = judged.action(&judged.forecast().waves[0].actions[0]);
        let findings = judged.findings().into_iter();
        (action.gain, findings.filter_map(|part| part.gain).count())
    };
    assert_eq!(gains(&seen), (None, 0));
    view.streams[0].consumers[0].message_rate = Some(0.0);
    seen.view = Arc::new(view);
    assert_eq!(gains(&seen), (Some(0.0), 1));
}

#[test]
fn what_a_budget_holds_back_is_held_and_not_misplaced() {
    let mut view = orders();
    let second = stream(&view, "ZEBRA", &["eu-west-1", "eu-west-0", "eu-west-2"]);
    view.streams.push(second);
    let spec = json!({
        "actions": {"streamPlacement": {"maxStall": "1h"}},
        "disruption": {"budgets": [{"name": "one", "max": 1, "per": "10m"}]},
    });
    let (loaded, seen) = (loaded("orders", spec), seen(view));
    let judged = judged(&loaded, &seen);
    let held = judged.findings();
    let zebra = held
        .iter()
        .find(|part| part.finding.stream.as_deref() == Some("ZEBRA"));
    assert_eq!(
        zebra.unwrap().finding.reason,
        Some(FindingReason::BudgetExhausted)
    );
    assert_eq!(judged.limits.budgets[0].allowed, 1);
}

#[test]
fn all_findings_are_told_with_their_gain_whatever_the_status_may_hold() {
    let mut view = orders();
    for number in 0..300 {
        view.streams
            .push(stream(&view, &format!("S{number:03}"), &["eu-west-0"]));
    }
    view.normalize();
    let mut spec = free();
    spec["report"] = json!({"maxFindings": 5});
    let (loaded, seen) = (loaded("orders", spec), seen(view));
    let judged = judged(&loaded, &seen);
    let findings = judged.findings();
    assert_eq!(findings.len(), 303);
    assert!(findings.iter().all(|part| part.gain.is_some()));
}

#[test]
fn what_is_about_no_stream_comes_last_and_is_no_reason_to_fail() {
    let mut view = orders();
    view.streams.remove(0);
    let (loaded, seen) = (loaded("orders", free()), seen(view));
    let judged = judged(&loaded, &seen);
    let findings = judged.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].finding.check, Check::NoLocalLeader);
    assert_eq!(findings[0].gain, None);
    assert_eq!(judged.found(), LookOutcome::InPlace);
}

#[test]
fn p6_an_incomplete_look_decides_nothing_and_wins_over_findings() {
    let mut view = orders();
    view.gaps.push(Gap::ServerMissing {
        server: "eu-west-0".into(),
    });
    let (loaded, seen) = (loaded("orders", free()), seen(view));
    let judged = judged(&loaded, &seen);
    assert_eq!(judged.found(), LookOutcome::Incomplete);
    assert!(judged.forecast().waves.is_empty());
    assert_eq!(judged.about().observed.reason, "ServersMissing");
}

#[test]
fn of_two_policies_on_one_stream_the_second_is_outranked() {
    let policies = [loaded("first", free()), loaded("second", free())];
    let seen = seen(orders());
    let judged = judge(&policies, &seen, noon());
    assert_eq!(judged[0].outranked_by, None);
    assert_eq!(judged[1].outranked_by.as_deref(), Some("payments/first"));
}

#[test]
fn p6_without_a_home_nobody_can_tell_whether_leaders_are_in_place() {
    let mut view = orders();
    view.clients = vec![clients(&view, "us-east-0", 2)];
    let policy = loaded("orders", free());
    let with_streams = seen(view.clone());
    let undecided = judged(&policy, &with_streams);
    assert_eq!(undecided.report.in_place.0, InPlaceReason::NoMajority);
    assert_eq!(undecided.found(), LookOutcome::Incomplete);

    view.streams.clear();
    let without = seen(view);
    assert_eq!(judged(&policy, &without).found(), LookOutcome::InPlace);
}

#[test]
fn nobody_is_told_of_a_mode_that_nobody_chose() {
    let mut spec = free();
    spec["mode"] = json!("Observe");
    let mut defaults = loaded("defaults", spec.clone());
    defaults.origin = PolicyOrigin::Defaults;
    let seen = seen(orders());
    assert!(!judged(&defaults, &seen).report.in_place.1.contains("mode"));
    let written = loaded("orders", spec);
    assert!(
        judged(&written, &seen)
            .report
            .in_place
            .1
            .contains("mode is Observe")
    );
}

#[test]
fn p1_the_same_look_is_judged_the_same() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let again = Looked {
        view: Arc::new(orders()),
        ..seen.clone()
    };
    assert_eq!(judged(&loaded, &seen).report, judged(&loaded, &again).report);
}
