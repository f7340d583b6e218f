use std::collections::{BTreeMap, BTreeSet};

use leeward_core::names::{ClusterName, ServerName};
use leeward_core::topology::Version;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seen() -> SystemStatus {
    let cluster = |name: &str, version| leeward_nats::ClusterStatus {
        name: ClusterName::from(name),
        servers: 3,
        versions: BTreeSet::from([version]),
        connections: 4,
        stream_leaders: 2,
        consumer_leaders: 1,
    };
    let pair = (ClusterName::from("east"), ClusterName::from("west"));
    SystemStatus {
        connection: ConnectionState::Connected {
            server: ServerName::from("east-0"),
            version: "2.11.0".into(),
        },
        rights: ObserverRights::System,
        servers_expected: 6,
        servers_answered: 6,
        servers_missing: Vec::new(),
        clusters: vec![
            cluster("east", Version::new(2, 11, 0)),
            cluster("west", Version::new(2, 10, 29)),
        ],
        round_trips: BTreeMap::from([(pair, Duration::from_millis(40))]),
        observed_at: Some(at(100)),
        gaps: Vec::new(),
        incomplete_since: None,
    }
}

fn status_input(observation: SystemObservation<'_>) -> SystemStatusInput<'_> {
    SystemStatusInput {
        generation: Some(1),
        interval: Duration::from_secs(30),
        policies: 2,
        observation,
    }
}

fn built(observation: SystemObservation<'_>) -> NatsSystemStatus {
    build(&NatsSystemStatus::default(), &status_input(observation), at(110))
}

fn reason<'a>(status: &'a NatsSystemStatus, kind: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found
        .map(|condition| (condition.status.as_str(), condition.reason.as_str()))
        .unwrap()
}

#[test]
fn a_system_that_answers_completely_is_ready_and_summed_up() {
    let status = built(SystemObservation::Seen(&seen()));
    assert_eq!(reason(&status, "Connected"), ("True", "Connected"));
    assert_eq!(reason(&status, "Observed"), ("True", "Complete"));
    assert_eq!(reason(&status, "Ready"), ("True", "Ready"));
    let summary = status.summary.unwrap();
    assert_eq!(summary.servers, "6/6");
    assert_eq!(summary.version, "2.10.29–2.11.0");
    assert_eq!(status.policies, Some(2));
}

#[test]
fn a_server_that_is_missing_is_named() {
    let mut seen = seen();
    seen.servers_answered = 5;
    seen.gaps = vec![Gap::ServerMissing {
        server: ServerName::from("west-2"),
    }];
    let status = built(SystemObservation::Seen(&seen));
    assert_eq!(reason(&status, "Ready"), ("False", "ServersMissing"));
    assert!(status.conditions[1].message.contains("west-2"));
    assert_eq!(status.summary.unwrap().servers, "5/6");
}

#[test]
fn a_first_look_that_fails_says_why() {
    let mut seen = seen();
    seen.observed_at = None;
    let under_way = built(SystemObservation::Seen(&seen));
    assert_eq!(reason(&under_way, "Observed"), ("False", "WarmingUp"));
    seen.gaps = vec![Gap::Unreadable {
        message: "max payload size exceeded".into(),
    }];
    let failed = built(SystemObservation::Seen(&seen));
    assert_eq!(reason(&failed, "Ready"), ("False", "ServersMissing"));
    let message = &failed.conditions[1].message;
    assert!(message.contains("max payload size exceeded"), "{message}");
}

#[test]
fn a_server_that_is_missing_for_a_moment_changes_no_condition() {
    let complete = built(SystemObservation::Seen(&seen()));
    let mut missing = seen();
    missing.gaps = vec![Gap::MemberMissing {
        server: ServerName::from("west-2"),
    }];
    missing.incomplete_since = Some(at(100));
    let later = |second| {
        build(
            &complete,
            &status_input(SystemObservation::Seen(&missing)),
            at(second),
        )
    };
    assert_eq!(later(150).conditions, complete.conditions);
    let lasting = later(191);
    assert_eq!(reason(&lasting, "Ready"), ("False", "ServersMissing"));
    assert!(lasting.conditions[1].message.contains("peer-remove west-2"));
}

#[test]
fn an_ordinary_user_is_told_that_it_is_no_system_user() {
    let mut seen = seen();
    seen.rights = ObserverRights::NotSystem {
        account: Some("ORDERS".into()),
    };
    seen.observed_at = None;
    let status = built(SystemObservation::Seen(&seen));
    assert_eq!(reason(&status, "Connected"), ("False", "InvalidCredentials"));
    assert!(status.conditions[0].message.contains("account ORDERS"));
}

#[test]
fn an_old_observation_is_stale_and_what_was_seen_stays_while_nothing_is() {
    let before = built(SystemObservation::Seen(&seen()));
    let stale = build(&before, &status_input(SystemObservation::Seen(&seen())), at(300));
    assert_eq!(reason(&stale, "Observed"), ("False", "Stale"));
    let gone = ReasonMessage::new(ConnectedReason::SecretNotFound, "no Secret");
    let blind = build(
        &before,
        &status_input(SystemObservation::Unreachable(gone)),
        at(300),
    );
    assert_eq!(reason(&blind, "Ready"), ("False", "SecretNotFound"));
    assert_eq!(blind.clusters, before.clusters);
}

#[test]
fn tenant_mode_says_what_is_not_known() {
    let status = built(SystemObservation::Tenant);
    assert_eq!(reason(&status, "Ready"), ("True", "Ready"));
    assert!(status.conditions[1].message.contains("tenant mode"));
    assert_eq!(status.servers, None);
    assert_eq!(
        status_input(SystemObservation::Tenant).numbers(),
        None,
        "an alert would fire for ever"
    );
}

#[test]
fn p12_time_and_jitter_alone_are_no_news() {
    let before = built(SystemObservation::Seen(&seen()));
    let mut later = seen();
    later.observed_at = Some(at(130));
    for time in later.round_trips.values_mut() {
        *time = Duration::from_millis(43);
    }
    let again = build(&before, &status_input(SystemObservation::Seen(&later)), at(131));
    assert!(same(&before, &again));
    assert_eq!(again.last_observation_time, before.last_observation_time);
    for time in later.round_trips.values_mut() {
        *time = Duration::from_millis(90);
    }
    let slower = build(&before, &status_input(SystemObservation::Seen(&later)), at(131));
    assert!(!same(&before, &slower));
}
