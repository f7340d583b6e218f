use std::collections::BTreeSet;

use leeward_api::vocabulary::FindingReason;

use super::*;
use crate::fixtures::{finished, step_down, stream_move};
use crate::policy_event::PolicyEvent;

fn labels() -> PolicyLabels {
    PolicyLabels {
        namespace: "apps".to_owned(),
        policy: "nearby".to_owned(),
    }
}

/// A page after one move and two step-downs, the last of which is under way still.
fn page() -> String {
    let metrics = Metrics::new();
    let of_stream = step_down("SECRET_STREAM/secret_consumer", Some("us-0"));
    for action in [&of_stream, &of_stream, &stream_move("SECRET_STREAM")] {
        let started = PolicyEvent::Started {
            action: action.clone(),
        };
        started.emit(&labels(), &metrics);
    }
    let missed = finished(of_stream, ActionResult::Missed, Some(FindingReason::NoLeader));
    PolicyEvent::Ended(missed).emit(&labels(), &metrics);
    let moved = finished(stream_move("SECRET_STREAM"), ActionResult::Succeeded, None);
    PolicyEvent::Ended(moved).emit(&labels(), &metrics);
    metrics.page().unwrap()
}

fn samples(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn every_sample_carries_the_prefix_and_names_its_policy() {
    let page = page();
    assert!(samples(&page).count() > 10);
    for line in samples(&page) {
        assert!(line.starts_with("leeward_"), "{line}");
        assert!(
            line.contains("namespace=\"apps\"") && line.contains("policy=\"nearby\""),
            "{line}"
        );
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn no_label_ever_holds_the_name_of_a_stream_a_consumer_or_a_server() {
    let page = page();
    for name in ["SECRET_STREAM", "secret_consumer", "us-0", "eu-0"] {
        assert!(!page.contains(name), "{name} in {page}");
    }
    let allowed = [
        "namespace",
        "policy",
        "kind",
        "state",
        "location",
        "action",
        "result",
        "reason",
        "le",
    ];
    let keys: BTreeSet<&str> = samples(&page)
        .filter_map(|line| line.split_once('{')?.1.split_once('}'))
        .flat_map(|(labels, _)| labels.split(','))
        .filter_map(|label| Some(label.split_once('=')?.0))
        .collect();
    assert!(keys.iter().all(|key| allowed.contains(key)), "{keys:?}");
}

#[test]
fn operations_are_counted_up_and_down_and_by_how_they_ended() {
    let page = page();
    let of_policy = "namespace=\"apps\",policy=\"nearby\"";
    for line in [
        format!("leeward_operations_in_flight{{{of_policy},action=\"ConsumerStepDown\"}} 1"),
        format!("leeward_operations_in_flight{{{of_policy},action=\"StreamPlacement\"}} 0"),
        format!(
            "leeward_actions_total{{{of_policy},action=\"ConsumerStepDown\",result=\"Missed\",reason=\"NoLeader\"}} 1"
        ),
        format!(
            "leeward_actions_total{{{of_policy},action=\"StreamPlacement\",result=\"Succeeded\",reason=\"\"}} 1"
        ),
        format!("leeward_action_duration_seconds_sum{{{of_policy},action=\"StreamPlacement\"}} 0.25"),
    ] {
        assert!(
            samples(&page).any(|found| found == line),
            "{line} is not in {page}"
        );
    }
}

#[test]
fn locations_are_shown_up_to_a_number_those_of_most_weight_first() {
    let names: Vec<String> = (0..1000).map(|number| format!("l{number:03}")).collect();
    let of_weight = |heavy: &'static str| {
        names
            .iter()
            .map(move |name| (name.as_str(), u64::from(name == heavy)))
    };
    let shown = shown(of_weight("l999").chain([("l998", u64::MAX), ("l998", 1)]));
    assert_eq!(shown.len(), MAX_LOCATIONS);
    assert!(shown.contains("l999") && shown.contains("l998") && shown.contains("l000"));
    assert!(!shown.contains("l500"));
}

#[test]
fn an_operation_that_is_dropped_is_not_in_flight_any_more() {
    let metrics = Metrics::new();
    metrics.started(&labels(), ActionType::StreamStepDown);
    metrics.dropped(&labels(), ActionType::StreamStepDown);
    assert!(metrics.page().unwrap().contains("action=\"StreamStepDown\"} 0"));
}

#[test]
fn an_adapters_metrics_are_on_the_same_page_with_the_same_prefix() {
    let metrics = Metrics::new();
    let counter: Counter = Counter::default();
    metrics.register_with(|registry| registry.register("sweeps", "Looks at a system", counter.clone()));
    counter.inc();
    assert!(metrics.page().unwrap().contains("leeward_sweeps_total 1"));
}

#[test]
fn a_policy_that_is_gone_leaves_the_page_and_others_stay() {
    let metrics = Metrics::new();
    let labels = |policy: &str| PolicyLabels {
        namespace: "payments".to_owned(),
        policy: policy.to_owned(),
    };
    for policy in ["gone", "stays"] {
        let (policy, kind) = (labels(policy), ActionType::StreamPlacement);
        metrics.started(&policy, kind);
        metrics.ended(
            &policy,
            kind,
            ActionResult::Succeeded,
            Some("NoCapacity"),
            Duration::ZERO,
        );
    }
    metrics.forget(&labels("gone"));
    let page = metrics.page().unwrap();
    assert!(!page.contains("gone"), "{page}");
    assert!(page.contains("policy=\"stays\""), "{page}");
}

#[test]
fn what_was_counted_stays_while_another_replica_looks_after_a_policy() {
    let metrics = Metrics::new();
    let (policy, kind) = (labels(), ActionType::StreamPlacement);
    metrics.started(&policy, kind);
    metrics.underway(&policy, [(kind, Timestamp::UNIX_EPOCH)].into_iter());
    metrics.degraded(&policy, DegradedReason::MoveTimedOut);
    metrics.ended(&policy, kind, ActionResult::Succeeded, None, Duration::ZERO);
    metrics.rest(&policy);
    let page = metrics.page().unwrap();
    assert!(
        page.contains("leeward_actions_total{namespace=\"apps\",policy=\"nearby\","),
        "{page}"
    );
    assert!(page.contains("leeward_action_duration_seconds_count{"), "{page}");
    for gauge in ["operations_in_flight{", "oldest_start", "policy_degraded"] {
        assert!(!page.contains(gauge), "{gauge} in {page}");
    }
    metrics.ended(&policy, kind, ActionResult::Succeeded, None, Duration::ZERO);
    let page = metrics.page().unwrap();
    assert!(page.contains("result=\"Succeeded\",reason=\"\"} 2"), "{page}");
}

#[test]
fn the_table_has_each_metric_once_with_labels_that_cannot_grow_with_the_assets() {
    let names: BTreeSet<String> = table::ALL.iter().map(|row| row.full_name()).collect();
    assert_eq!(names.len(), table::ALL.len());
    for row in table::ALL {
        assert!(
            !row.help.ends_with('.') && !row.help.contains('\n'),
            "{}",
            row.help
        );
        for label in row.labels {
            assert!(
                !["stream", "consumer", "server", "account", "asset"].contains(label),
                "{label}"
            );
        }
    }
}
