use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fixtures::{clients, policy, spec, stream, stretched};
use crate::topology::ServerIx;

#[test]
fn the_defaults_are_those_of_the_api() {
    let policy = policy(json!({}));
    assert_eq!(policy.mode, Mode::Observe);
    assert_eq!(policy.topology, TopologyKey::Cluster { tag_prefix: None });
    let expected = HomeRules {
        strategy: Strategy::ClientMajority,
        preferences: Vec::new(),
        weight_by: WeightBy::Connections,
        min_connections: 5,
        majority_percent: 60,
        hysteresis_percent: 10,
        stabilization_window: Duration::from_mins(10),
        on_no_majority: OnNoMajority::Hold,
        exclude: Vec::new(),
    };
    assert_eq!(policy.home, expected);
    let expected = Actions {
        consumer_step_down: true,
        stream_step_down: true,
        stream_placement: Some(MoveRules {
            timeout: Duration::from_hours(1),
            max_bytes: None,
        }),
    };
    assert_eq!(policy.actions, expected);
    let expected = Disruption {
        max_concurrent: 4,
        cooldown: Duration::from_mins(30),
        max_attempts: 3,
    };
    assert_eq!(policy.disruption, expected);
    assert_eq!((policy.max_findings, policy.reset_token), (20, None));
    assert_eq!(policy.clients.kinds, [ClientKind::Client]);
}

#[test]
fn every_field_of_home_arrives() {
    let policy = policy(json!({"home": {
        "strategy": "Preferred",
        "preferences": ["us", "EU"],
        "weightBy": "Bytes",
        "minConnections": 7,
        "majorityPercent": 71,
        "hysteresisPercent": 13,
        "stabilizationWindow": "90s",
        "onNoMajority": "UsePreferences",
        "exclude": ["Mgmt"],
    }}));
    let expected = HomeRules {
        strategy: Strategy::Preferred,
        preferences: vec!["us".into(), "EU".into()],
        weight_by: WeightBy::Bytes,
        min_connections: 7,
        majority_percent: 71,
        hysteresis_percent: 13,
        stabilization_window: Duration::from_secs(90),
        on_no_majority: OnNoMajority::UsePreferences,
        exclude: vec!["Mgmt".into()],
    };
    assert_eq!(policy.home, expected, "names of clusters keep their case");
    let messages = crate::fixtures::policy(json!({"home": {"weightBy": "Messages"}}));
    assert_eq!(messages.home.weight_by, WeightBy::Messages);
}

#[test]
fn tags_are_lower_cased_as_the_servers_report_them() {
    let policy = policy(json!({
        "topology": {"key": "ServerTag", "tagPrefix": "Region:"},
        "home": {"preferences": ["Region:US-East"], "exclude": ["Region:MGMT"]},
    }));
    assert_eq!(
        policy.topology,
        TopologyKey::ServerTag {
            prefix: "region:".to_owned()
        }
    );
    assert_eq!(policy.home.preferences, ["region:us-east".into()]);
    assert_eq!(policy.home.exclude, ["region:mgmt".into()]);
    let by_cluster = crate::fixtures::policy(json!({"topology": {"key": "Cluster", "tagPrefix": "At:"}}));
    assert_eq!(
        by_cluster.topology,
        TopologyKey::Cluster {
            tag_prefix: Some("at:".to_owned())
        }
    );
}

#[test]
fn mode_and_suspend_make_one_mode() {
    let mode = |mode: &str, suspend: bool| policy(json!({"mode": mode, "suspend": suspend})).mode;
    assert_eq!(mode("Observe", false), Mode::Observe);
    assert_eq!(mode("Observe", true), Mode::Observe);
    assert_eq!(mode("Enforce", false), Mode::Enforce);
    assert_eq!(mode("Enforce", true), Mode::Suspended);
}

#[test]
fn every_field_of_actions_disruption_and_report_arrives() {
    let policy = policy(json!({
        "actions": {
            "consumerStepDown": {"enabled": false},
            "streamPlacement": {"timeout": "2h", "maxBytes": "10Gi"},
        },
        "disruption": {"maxConcurrent": 9, "cooldown": "5m", "maxAttempts": 8},
        "report": {"maxFindings": 77},
        "resetToken": "again",
    }));
    assert!(!policy.actions.consumer_step_down);
    assert!(policy.actions.stream_step_down);
    let moves = policy.actions.stream_placement.unwrap();
    assert_eq!(moves.timeout, Duration::from_hours(2));
    assert_eq!(moves.max_bytes, Some(10 * 1024 * 1024 * 1024));
    let expected = Disruption {
        max_concurrent: 9,
        cooldown: Duration::from_mins(5),
        max_attempts: 8,
    };
    assert_eq!(policy.disruption, expected);
    assert_eq!(
        (policy.max_findings, policy.reset_token.as_deref()),
        (77, Some("again"))
    );
    let disabled = crate::fixtures::policy(json!({"actions": {
        "streamStepDown": {"enabled": false},
        "streamPlacement": {"enabled": false, "timeout": "2h"},
    }}));
    assert!(disabled.actions.consumer_step_down && !disabled.actions.stream_step_down);
    assert_eq!(disabled.actions.stream_placement, None);
}

#[test]
fn selectors_of_clients_streams_and_consumers_arrive() {
    let policy = policy(json!({
        "clients": {
            "kinds": ["Leafnode"],
            "users": ["app-*"], "excludeUsers": ["app-ci"],
            "names": ["web?"], "excludeNames": ["web0"],
        },
        "streams": {"include": ["ORD*"], "exclude": ["ORD_OLD"], "metadata": {"tier": "gold"}},
        "consumers": {"include": ["c*"], "exclude": ["cx"]},
    }));
    let group = |user: &str, name: &str| {
        let mut group = clients(ServerIx(0), 1);
        group.kind = ClientKind::Leafnode;
        group.user = Some(user.into());
        group.name = Some(name.into());
        group
    };
    assert!(policy.clients.selects(&group("app-1", "web1")));
    assert!(!policy.clients.selects(&group("app-ci", "web1")));
    assert!(!policy.clients.selects(&group("app-1", "web0")));
    assert!(!policy.clients.selects(&group("other", "web1")));
    assert!(!policy.clients.selects(&clients(ServerIx(0), 1)));
    let stream = |name: &str, tier: &str| {
        let mut stream = stream(&stretched(), name, &["n-0"]);
        stream.metadata.insert("tier".to_owned(), tier.to_owned());
        stream
    };
    assert!(policy.streams.selects(&stream("ORDERS", "gold")));
    assert!(!policy.streams.selects(&stream("ORDERS", "tin")));
    assert!(!policy.streams.selects(&stream("ORD_OLD", "gold")));
    assert!(!policy.streams.selects(&stream("KV_x", "gold")));
    assert!(policy.consumers.selects("c1") && !policy.consumers.selects("cx"));
}

#[test]
fn what_the_schema_lets_through_and_nobody_can_use_is_refused_with_its_field() {
    let error = resolve(&spec(json!({"topology": {"key": "ServerTag"}}))).unwrap_err();
    assert_eq!(error, InvalidPolicy::TagPrefixMissing);
    assert!(error.to_string().contains("topology.tagPrefix"));
    let error = resolve(&spec(
        json!({"actions": {"streamPlacement": {"maxBytes": "many"}}}),
    ))
    .unwrap_err();
    assert!(
        error.to_string().contains("actions.streamPlacement.maxBytes"),
        "{error}"
    );
}
