use std::time::Duration;

use leeward_api::policy::OnManagedStream;
use leeward_api::vocabulary::ActionType;
use serde_json::{Value, json};

use super::*;
use crate::action_set::ActionSet;
use crate::breaker::BreakerRules;
use crate::budget::{Budget, BudgetLimit};
use crate::fixtures::{clients, policy, spec, stream, stretched};
use crate::policy::{Disruption, Gates};
use crate::schedule::Schedule;
use crate::topology::ServerIx;
use crate::window::{Window, WindowEffect};

#[test]
fn the_defaults_are_those_of_the_api() {
    let policy = policy(json!({}));
    assert_eq!(policy.mode, Mode::Observe);
    assert_eq!(policy.topology, TopologyKey::Cluster { tag_prefix: None });
    let expected = HomeRules {
        strategy: Strategy::ClientMajority,
        preferences: Vec::new(),
        by_use: Some(UseRules {
            coverage_percent: 80,
            messages_per_minute: 200,
        }),
        weight_by: WeightBy::Connections,
        min_connections: 5,
        majority_percent: 60,
        hysteresis_percent: 10,
        stabilization_window: Duration::from_mins(10),
        stream_stabilization_window: Duration::from_mins(10),
        on_no_majority: OnNoMajority::Hold,
        exclude: Vec::new(),
    };
    assert_eq!(policy.home, expected);
    let expected = Actions {
        consumer_step_down: true,
        consumer_evacuation: false,
        stream_step_down: true,
        stream_placement: Some(MoveRules {
            timeout: Duration::from_hours(1),
            max_bytes: None,
            max_stall: Duration::from_secs(10),
            refresh_dependents: true,
            on_managed: OnManagedStream::Skip,
        }),
    };
    assert_eq!(policy.actions, expected);
    let expected = Disruption {
        max_concurrent: 4,
        cooldown: Duration::from_mins(30),
        max_attempts: 3,
        max_payback: Some(Duration::from_hours(24)),
        gates: Gates {
            max_replica_lag: 256,
            max_ack_pending: None,
            quiet_after_leader_change: Duration::from_mins(1),
            quiet_after_server_start: Duration::from_mins(2),
        },
        budgets: vec![Budget {
            name: "default".to_owned(),
            actions: ActionSet::all(),
            max: BudgetLimit::Percent(10),
            per: Some(Duration::from_mins(10)),
            schedule: None,
        }],
        windows: Vec::new(),
        circuit_breaker: BreakerRules {
            failures: 3,
            within: Duration::from_mins(30),
            open_for: Duration::from_hours(1),
        },
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
        by_use: None,
        weight_by: WeightBy::Bytes,
        min_connections: 7,
        majority_percent: 71,
        hysteresis_percent: 13,
        stabilization_window: Duration::from_secs(90),
        stream_stabilization_window: Duration::from_secs(90),
        on_no_majority: OnNoMajority::UsePreferences,
        exclude: vec!["Mgmt".into()],
    };
    assert_eq!(policy.home, expected, "names of clusters keep their case");
    let messages = crate::fixtures::policy(json!({"home": {"weightBy": "Messages"}}));
    assert_eq!(messages.home.weight_by, WeightBy::Messages);
    let by_use = |home: Value| crate::fixtures::policy(json!({"home": home})).home.by_use;
    let expected = UseRules {
        coverage_percent: 91,
        messages_per_minute: 17,
    };
    let sampled = by_use(json!({"coveragePercent": 91, "sampling": {"messagesPerMinute": 17}}));
    assert_eq!(sampled, Some(expected));
    assert_eq!(by_use(json!({"sampling": {"enabled": false}})), None);
    assert_eq!(by_use(json!({"scope": "Account"})), None);
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

fn schedule(cron: &str, zone: Option<&str>, duration: Duration) -> Schedule {
    Schedule::parse(cron, zone, duration).unwrap()
}

/// What the next test writes down, resolved.
fn every_limit() -> Disruption {
    let berlin = schedule("0 8 * * 1-5", Some("Europe/Berlin"), Duration::from_hours(10));
    let new_york = schedule("0 2 * * *", Some("America/New_York"), Duration::from_mins(30));
    Disruption {
        max_concurrent: 9,
        cooldown: Duration::from_mins(5),
        max_attempts: 8,
        max_payback: None,
        gates: Gates {
            max_replica_lag: 7,
            max_ack_pending: Some(70),
            quiet_after_leader_change: Duration::from_secs(3),
            quiet_after_server_start: Duration::from_secs(4),
        },
        budgets: vec![
            Budget {
                name: "few".to_owned(),
                actions: ActionSet::all(),
                max: BudgetLimit::Count(5),
                per: None,
                schedule: None,
            },
            Budget {
                name: "by day".to_owned(),
                actions: ActionSet::of(&[ActionType::StreamPlacement]),
                max: BudgetLimit::Percent(100),
                per: Some(Duration::from_hours(1)),
                schedule: Some(berlin),
            },
        ],
        windows: vec![
            Window {
                kind: WindowEffect::Allow,
                actions: ActionSet::all(),
                schedule: schedule("@daily", None, Duration::from_hours(6)),
            },
            Window {
                kind: WindowEffect::Deny,
                actions: ActionSet::of(&[ActionType::ConsumerStepDown, ActionType::StreamStepDown]),
                schedule: new_york,
            },
        ],
        circuit_breaker: BreakerRules {
            failures: 5,
            within: Duration::from_mins(6),
            open_for: Duration::from_mins(7),
        },
    }
}

#[test]
fn every_field_of_actions_disruption_and_report_arrives() {
    let policy = policy(json!({
        "actions": {
            "consumerStepDown": {"enabled": false},
            "streamPlacement": {"timeout": "2h", "maxBytes": "10Gi", "maxStall": "3s", "refreshDependents": false},
        },
        "disruption": {
            "maxConcurrent": 9,
            "cooldown": "5m",
            "maxAttempts": 8,
            "maxPayback": "0s",
            "budgets": [
                {"name": "few", "max": 5},
                {
                    "name": "by day", "max": "100%", "per": "1h", "actions": ["StreamPlacement"],
                    "schedule": "0 8 * * 1-5", "duration": "10h", "timeZone": "Europe/Berlin",
                },
            ],
            "windows": [
                {"kind": "Allow", "schedule": "@daily", "duration": "6h"},
                {
                    "kind": "Deny", "schedule": "0 2 * * *", "duration": "30m", "timeZone": "America/New_York",
                    "actions": ["StreamStepDown", "ConsumerStepDown"],
                },
            ],
            "gates": {
                "maxReplicaLag": 7, "maxAckPending": 70, "quietAfterLeaderChange": "3s", "quietAfterServerStart": "4s",
            },
            "circuitBreaker": {"failures": 5, "within": "6m", "openFor": "7m"},
        },
        "report": {"maxFindings": 77},
        "resetToken": "again",
    }));
    assert!(!policy.actions.consumer_step_down);
    assert!(policy.actions.stream_step_down);
    let moves = policy.actions.stream_placement.unwrap();
    assert_eq!(moves.timeout, Duration::from_hours(2));
    assert_eq!(moves.max_bytes, Some(10 * 1024 * 1024 * 1024));
    assert_eq!(moves.max_stall, Duration::from_secs(3));
    assert!(!moves.refresh_dependents);
    assert_eq!(policy.disruption, every_limit());
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

fn refused(disruption: &Value) -> InvalidPolicy {
    resolve(&spec(json!({"disruption": disruption}))).unwrap_err()
}

fn budget(changes: &Value) -> Value {
    let mut budget = json!({"name": "nightly", "max": 1});
    for (key, value) in changes.as_object().unwrap() {
        budget[key] = value.clone();
    }
    json!({"budgets": [{"name": "other", "max": 1}, budget]})
}

#[test]
fn a_budget_whose_max_is_no_amount_is_refused_by_its_name() {
    for max in [
        json!(-1),
        json!("101%"),
        json!("-1%"),
        json!("1.5%"),
        json!("5"),
        json!("%"),
        json!("many"),
        json!(""),
    ] {
        let error = refused(&budget(&json!({ "max": max })));
        assert!(matches!(error, InvalidPolicy::Limit { .. }), "{max}: {error:?}");
        assert!(
            error
                .to_string()
                .starts_with("disruption.budgets[nightly]: max must be"),
            "{error}"
        );
    }
    for (max, most) in [
        (json!(0), BudgetLimit::Count(0)),
        (json!("0%"), BudgetLimit::Percent(0)),
        (json!("100%"), BudgetLimit::Percent(100)),
    ] {
        let policy = policy(json!({"disruption": budget(&json!({ "max": max }))}));
        assert_eq!(policy.disruption.budgets[1].max, most);
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_with_its_field() {
    let window = |cron: &str| json!({"windows": [{"kind": "Deny", "schedule": cron, "duration": "1h"}]});
    for cron in ["", "* * * *", "61 * * * *", "@reboot", "never"] {
        let error = refused(&window(cron));
        assert!(matches!(error, InvalidPolicy::Limit { .. }), "{cron}: {error:?}");
        assert!(
            error.to_string().starts_with("disruption.windows[0]: "),
            "{error}"
        );
        let error = refused(&budget(&json!({"schedule": cron, "duration": "1h"})));
        assert!(
            error.to_string().starts_with("disruption.budgets[nightly]: "),
            "{error}"
        );
    }
    let error = refused(&budget(&json!({"schedule": "@daily"})));
    assert!(
        error
            .to_string()
            .contains("schedule and duration belong together"),
        "{error}"
    );
    let error = refused(&budget(&json!({"duration": "1h"})));
    assert!(
        error
            .to_string()
            .contains("schedule and duration belong together"),
        "{error}"
    );
}

#[test]
fn a_time_zone_that_nobody_knows_is_refused_with_its_field() {
    let zoned = json!({"schedule": "@daily", "duration": "1h", "timeZone": "Europe/Atlantis"});
    let error = refused(&budget(&zoned));
    assert!(matches!(error, InvalidPolicy::TimeZone { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with("disruption.budgets[nightly].timeZone: ") && text.contains("Europe/Atlantis"),
        "{text}"
    );
    let mut window = zoned;
    window["kind"] = json!("Allow");
    let error = refused(&json!({"windows": [window]}));
    assert!(matches!(error, InvalidPolicy::TimeZone { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("disruption.windows[0].timeZone: "),
        "{error}"
    );
}
