use serde_json::{Value, json};

use super::*;
use crate::evaluate::evaluate;
use crate::fixtures::{
    at, clients, consumer, context, regional_policy, server, stream, stretched, supercluster, view,
};
use crate::history::{AssetHistory, History};
use crate::snapshot::Traffic;
use crate::topology::{ServerIx, Topology};

fn reported(
    view: &AccountView,
    changes: &Value,
    history: &History,
    previous: &[FindingStatus],
    now: u64,
) -> Report {
    let policy = regional_policy(changes);
    let context = context(view, &policy, history, at(now));
    let evaluation = evaluate(&context);
    report(&context, &evaluation, previous)
}

fn plainly(view: &AccountView, changes: &Value) -> Report {
    reported(view, changes, &History::default(), &[], 0)
}

/// Led from abroad, the higher numbers at the higher rate.
fn misplaced(count: u16) -> AccountView {
    let topology = stretched();
    let streams = (0..count).map(|number| {
        let mut stream = stream(&topology, &format!("S{number:03}"), &["n-3", "n-0", "n-1"]);
        stream.message_rate = Some(f32::from(number));
        stream
    });
    let streams = streams.collect();
    view(topology, vec![clients(ServerIx(0), 9)], streams)
}

fn names(findings: &[FindingStatus]) -> Vec<&str> {
    findings
        .iter()
        .filter_map(|finding| finding.stream.as_deref())
        .collect()
}

#[test]
fn p12_findings_are_capped_with_the_greatest_gain_first_and_the_rest_counted() {
    let view = misplaced(30);
    let report = plainly(&view, &json!({"report": {"maxFindings": 3}}));
    assert_eq!(names(&report.findings), ["S029", "S028", "S027"]);
    // 30 streams, and the home location without a leader.
    assert_eq!(report.findings_omitted, 28);
    let report = plainly(&view, &json!({"report": {"maxFindings": 200}}));
    assert_eq!((report.findings.len(), report.findings_omitted), (31, 0));
    assert_eq!(
        report.findings.last().unwrap().check,
        Check::NoLocalLeader,
        "those about no asset come last"
    );
    let report = plainly(&view, &json!({"report": {"maxFindings": 0}}));
    assert_eq!((report.findings.len(), report.findings_omitted), (0, 31));
}

#[test]
fn findings_of_equal_gain_are_listed_by_name() {
    let mut view = misplaced(5);
    for stream in &mut view.streams {
        stream.message_rate = None;
    }
    let report = plainly(&view, &json!({"report": {"maxFindings": 2}}));
    assert_eq!(names(&report.findings), ["S000", "S001"]);
}

#[test]
fn a_finding_keeps_its_beginning_as_long_as_it_is_the_same() {
    let view = misplaced(2);
    let first = plainly(&view, &json!({}));
    assert!(
        first
            .findings
            .iter()
            .all(|finding| finding.since == Some(Time(at(0))))
    );
    let second = reported(&view, &json!({}), &History::default(), &first.findings, 60);
    assert!(
        second
            .findings
            .iter()
            .all(|finding| finding.since == Some(Time(at(0))))
    );

    let mut wandered = view.clone();
    wandered.streams[0].group = crate::fixtures::group(&stretched(), &["n-4", "n-0", "n-1"]);
    let report = reported(&wandered, &json!({}), &History::default(), &first.findings, 60);
    let of = |name: &str| {
        report
            .findings
            .iter()
            .find(|finding| finding.stream.as_deref() == Some(name))
            .unwrap()
    };
    assert_eq!(
        of("S000").since,
        Some(Time(at(0))),
        "another server of the same location"
    );
    let report = reported(
        &misplaced(3),
        &json!({}),
        &History::default(),
        &first.findings,
        60,
    );
    let new = report
        .findings
        .iter()
        .find(|finding| finding.stream.as_deref() == Some("S002"))
        .unwrap();
    assert_eq!(new.since, Some(Time(at(60))));
}

#[test]
fn a_finding_tells_how_often_it_was_tried_and_when_it_is_again() {
    let mut history = History::default();
    let past = |attempts| AssetHistory {
        attempts,
        last: at(0),
        undone: 0,
        moved_to: None,
    };
    history.assets.insert(AssetName::stream("S000".into()), past(2));
    history.assets.insert(AssetName::stream("S001".into()), past(3));
    let report = reported(&misplaced(2), &json!({}), &history, &[], 60);
    let [given_up, cooling, ..] = &report.findings[..] else {
        panic!("two findings: {:?}", report.findings);
    };
    assert_eq!((given_up.attempts, given_up.next_attempt_time.clone()), (3, None));
    assert_eq!(given_up.reason, Some(FindingReason::AttemptsExhausted));
    assert_eq!(
        (cooling.attempts, cooling.next_attempt_time.clone()),
        (2, Some(Time(at(1800))))
    );
    assert_eq!(cooling.remedy, Remedy::StreamStepDown);
}

#[test]
fn whether_leaders_are_in_place_is_said_in_one_word_and_a_sentence() {
    let in_place = |view: &AccountView, changes: Value| plainly(view, &changes).in_place;
    let view = misplaced(2);
    let (reason, text) = in_place(&view, json!({}));
    assert_eq!(
        (reason, text.as_str()),
        (InPlaceReason::ActionsPending, "2 misplaced, 0 held")
    );
    assert!(
        in_place(&view, json!({"mode": "Observe"}))
            .1
            .contains("mode is Observe")
    );
    assert!(in_place(&view, json!({"suspend": true})).1.contains("suspended"));
    assert_eq!(
        in_place(&view, json!({"streams": {"include": ["none"]}})).0,
        InPlaceReason::NothingSelected
    );
    let disabled = json!({"actions": {"streamStepDown": {"enabled": false}}});
    let (reason, text) = in_place(&view, disabled);
    assert_eq!(
        (reason, text.as_str()),
        (InPlaceReason::Held, "2 held: ActionDisabled 2")
    );
    let (reason, text) = in_place(&view, json!({"home": {}}));
    assert_eq!(reason, InPlaceReason::Held);
    assert!(
        text.starts_with("region:us-east becomes home at 2026-01-01T12:10:00Z"),
        "{text}"
    );
    let (reason, text) = in_place(&view, json!({"home": {"minConnections": 50}}));
    assert_eq!(reason, InPlaceReason::NoMajority);
    assert!(text.contains("9 connections, 50 are needed"), "{text}");

    let mut stuck = view.clone();
    for stream in &mut stuck.streams {
        stream.group.peers[1].offline = true;
    }
    assert_eq!(in_place(&stuck, json!({})).0, InPlaceReason::Unfixable);
    let mut home = view;
    for stream in &mut home.streams {
        stream.group.leader = Some(ServerIx(0));
    }
    let report = plainly(&home, &json!({}));
    assert_eq!(
        report.in_place,
        (InPlaceReason::AllInPlace, "all 2 leaders are home".to_owned())
    );
    assert_eq!(report.in_place_of.as_deref(), Some("2/2"));
}

#[test]
fn what_was_not_seen_is_named_up_to_five_times_and_the_rest_counted() {
    let mut view = misplaced(1);
    let missing = |number: u32| Gap::ServerMissing {
        server: format!("n-{number}").as_str().into(),
    };
    view.gaps = (0..7).map(missing).collect();
    let report = plainly(&view, &json!({}));
    let (reason, text) = &report.observed;
    assert_eq!(*reason, ObservedReason::ServersMissing);
    assert!(
        text.starts_with("server n-0 does not answer; ") && text.ends_with("; and 2 more"),
        "{text}"
    );
    assert_eq!(report.in_place.0, InPlaceReason::NoMajority);
    assert_eq!(report.in_place_of, None);
    for (gap, expected) in [
        (Gap::WarmingUp, ObservedReason::WarmingUp),
        (
            Gap::Disconnected {
                message: "refused".to_owned(),
            },
            ObservedReason::Disconnected,
        ),
        (
            Gap::Denied {
                subject: "$SYS.X".to_owned(),
            },
            ObservedReason::ServersMissing,
        ),
        (
            Gap::ServersUncounted {
                expected: 3,
                answered: 2,
            },
            ObservedReason::ServersMissing,
        ),
        (
            Gap::Unreadable {
                message: "cut".to_owned(),
            },
            ObservedReason::ServersMissing,
        ),
    ] {
        view.gaps = vec![gap];
        assert_eq!(plainly(&view, &json!({})).observed.0, expected);
    }
    let refused = Gap::Disconnected {
        message: "refused".to_owned(),
    };
    view.gaps = vec![Gap::WarmingUp, refused];
    let (reason, text) = plainly(&view, &json!({})).observed;
    assert_eq!(
        (reason, text.as_str()),
        (ObservedReason::Disconnected, "not connected to NATS: refused"),
        "a first look is not under way where it cannot be"
    );
    view.gaps.clear();
    let stale = reported(&view, &json!({}), &History::default(), &[], 91);
    assert_eq!(stale.observed.0, ObservedReason::Stale);
    assert_eq!(
        reported(&view, &json!({}), &History::default(), &[], 90)
            .observed
            .0,
        ObservedReason::Complete
    );
}

#[test]
fn with_data_missing_assets_are_counted_against_the_last_home_and_shown_as_not_stable() {
    let mut view = misplaced(2);
    view.gaps = vec![Gap::WarmingUp];
    let mut history = History::default();
    history.home.settled = Some(crate::demand::SettledHome {
        location: "region:us-east".into(),
        since: at(0),
    });
    let report = reported(&view, &json!({}), &history, &[], 10);
    assert_eq!((report.streams.total, report.streams.held), (2, 2));
    let home = report.home.unwrap();
    assert_eq!((home.location.as_str(), home.stable), ("region:us-east", false));
    let unknown = reported(&view, &json!({}), &History::default(), &[], 10);
    assert_eq!(
        (unknown.streams.total, unknown.streams.held, unknown.home),
        (2, 0, None)
    );
}

#[test]
fn a_location_with_many_clients_and_no_leader_gets_a_finding_and_advice() {
    let topology = stretched();
    let mut streams = vec![
        stream(&topology, "A", &["n-0", "n-1", "n-2"]),
        stream(&topology, "B", &["n-1", "n-0", "n-2"]),
    ];
    streams[1].message_rate = Some(5.0);
    let crowd = |abroad: u32| vec![clients(ServerIx(0), 40), clients(ServerIx(3), abroad)];
    let lonely = view(topology.clone(), crowd(5), streams.clone());
    let report = plainly(&lonely, &json!({}));
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].location.as_deref(), Some("region:eu-west"));
    assert_eq!(report.advice.len(), 1);
    assert_eq!(
        (
            report.advice[0].stream.as_str(),
            report.advice[0].location.as_str()
        ),
        ("B", "region:eu-west")
    );
    let few = view(topology, crowd(4), streams);
    assert!(plainly(&few, &json!({})).findings.is_empty());
    let by_share = |abroad: u32| {
        let mut view = lonely.clone();
        view.clients = vec![clients(ServerIx(0), 100), clients(ServerIx(3), abroad)];
        plainly(&view, &json!({})).advice.len()
    };
    assert_eq!((by_share(11), by_share(12)), (0, 1), "9 % and 10 %");
}

#[test]
fn home_itself_is_advised_no_mirror() {
    let report = plainly(&misplaced(1), &json!({}));
    assert_eq!(report.findings.last().unwrap().check, Check::NoLocalLeader);
    assert!(report.advice.is_empty());
}

#[test]
fn traffic_over_gateways_is_told_and_a_finding_from_thirty_percent_on() {
    let mut view = misplaced(1);
    let mut with = |bytes: u64, gateway_bytes: u64| {
        view.traffic = Some(Traffic {
            bytes,
            gateway_bytes,
            span_milliseconds: 2000,
        });
        let report = plainly(&view, &json!({}));
        let found = report
            .findings
            .iter()
            .any(|finding| finding.check == Check::HighGatewayShare);
        let gateway = report.gateway.unwrap();
        (gateway.percent, gateway.bytes_per_second, found)
    };
    assert_eq!(with(10_000_000, 3_000_000), (30, 1_500_000, true));
    assert_eq!(with(10_000_001, 3_000_000), (29, 1_500_000, false));
    assert_eq!(with(10, 9), (90, 4, false), "too few bytes to matter");
    assert_eq!(with(0, 0), (0, 0, false));
    assert_eq!(
        with(10, 20).0,
        100,
        "counters that were read at different moments are no 200 %"
    );
}

#[test]
fn p12_locations_and_advice_are_capped() {
    let servers = (0..200).map(|number| server(&format!("n-{number:03}"), &format!("c{number:03}"), &[]));
    let topology = Topology::new(servers.collect(), BTreeMap::new());
    // Nine in a hundred each would be too few for a finding: ten locations with a tenth each, and nothing led there.
    let crowds = (1..=10).map(|number| clients(ServerIx(number), 10)).collect();
    let streams = vec![stream(&topology, "S", &["n-000"])];
    let report = plainly(
        &view(topology, crowds, streams),
        &json!({"topology": {"key": "Cluster"}}),
    );
    assert_eq!(report.locations.len(), MAX_LOCATIONS);
    assert_eq!(report.advice.len(), 10);
}

#[test]
fn locations_show_their_servers_clients_and_leaders() {
    let topology = stretched();
    let mut one = stream(&topology, "S", &["n-3", "n-0", "n-1"]);
    one.consumers
        .push(consumer(&topology, "c", &["n-0", "n-3", "n-1"]));
    let view = view(
        topology,
        vec![clients(ServerIx(0), 9), clients(ServerIx(3), 3)],
        vec![one],
    );
    let report = plainly(&view, &json!({}));
    let [abroad, home] = &report.locations[..] else {
        panic!("two locations");
    };
    assert_eq!((abroad.servers, abroad.connections, abroad.percent), (3, 3, 25));
    assert_eq!((abroad.stream_leaders, abroad.consumer_leaders), (1, 0));
    assert_eq!(
        (home.stream_leaders, home.consumer_leaders, home.no_local_leader),
        (0, 1, true)
    );
    assert_eq!(
        (report.consumers.in_place, report.in_place_of.as_deref()),
        (1, Some("1/2"))
    );
}

#[test]
fn every_cure_has_its_remedy() {
    let topology = supercluster();
    let mut abroad = stream(&topology, "S", &["eu-west-0", "eu-west-1", "eu-west-2"]);
    abroad.consumers.push(consumer(&topology, "c", &["eu-west-0"]));
    let home = topology.find("us-east-0").unwrap();
    let seen = view(topology, vec![clients(home, 9)], vec![abroad]);
    let report = plainly(&seen, &json!({"topology": {"key": "Cluster"}}));
    let remedies: Vec<Remedy> = report.findings.iter().map(|finding| finding.remedy).collect();
    assert_eq!(
        remedies,
        [Remedy::StreamPlacement, Remedy::FollowsStream, Remedy::Advice]
    );
    let topology = stretched();
    let mut far = stream(&topology, "S", &["n-3", "n-0", "n-1"]);
    far.consumers
        .push(consumer(&topology, "c", &["n-3", "n-0", "n-1"]));
    let home = topology.find("n-0").unwrap();
    let seen = view(topology, vec![clients(home, 9)], vec![far]);
    let report = plainly(&seen, &json!({}));
    let remedies: Vec<Remedy> = report.findings.iter().map(|finding| finding.remedy).collect();
    assert!(remedies.contains(&Remedy::StreamStepDown) && remedies.contains(&Remedy::ConsumerStepDown));
}
