//! Real replies of three server versions, shortened: a supercluster of 2.15.1 and 2.10.29, a stretched cluster of
//! 2.11.10, each with a stream ORDERS of three replicas and a stream ONE of one.

use leeward_api::vocabulary::FindingReason;
use leeward_core::names::ServerName;
use leeward_core::snapshot::Placement;

use super::api::{Answer, Asked};
use super::assets::{ConsumerInfo, Jsz, Page, StreamInfo};
use super::monitor::{AccountStatz, Connz, Envelope, Gatewayz, Statsz, UserInfo};
use super::{duration, read};
use crate::observe::merge::merge;
use crate::reading::{ConsumerReading, StreamReading};

macro_rules! fixture {
    ($version:literal, $name:literal) => {
        include_str!(concat!("../../tests/fixtures/", $version, "/", $name, ".json"))
    };
}

macro_rules! of_each_version {
    ($name:literal) => {
        [
            ("2.15.1", fixture!("2.15.1", $name)),
            ("2.11.10", fixture!("2.11.10", $name)),
            ("2.10.29", fixture!("2.10.29", $name)),
        ]
    };
}

#[derive(serde::Deserialize)]
struct JszReply<'a> {
    server: super::monitor::ServerInfo,
    #[serde(borrow)]
    data: Jsz<'a>,
}

fn merged(lines: &str) -> Vec<StreamReading> {
    let part = |line: &str| {
        let reply: JszReply<'_> = read(line.as_bytes()).unwrap();
        let server = ServerName::from(reply.server.name.as_str());
        let details = reply
            .data
            .account_details
            .iter()
            .flat_map(|account| &account.stream_detail);
        let streams = details
            .map(|stream| StreamReading::new(stream, Some(&server)).unwrap())
            .collect();
        (server, streams)
    };
    merge(lines.lines().map(part).collect())
}

#[test]
fn what_all_servers_list_merges_to_what_the_leader_says() {
    let pairs = of_each_version!("jsz")
        .into_iter()
        .zip(of_each_version!("stream_info"));
    for (((version, lines), (_, info)), (_, consumer)) in pairs.zip(of_each_version!("consumer_info")) {
        let streams = merged(lines);
        let names: Vec<_> = streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["ONE", "ORDERS"], "{version}");
        let mut orders = streams[1].clone();
        let consumers = std::mem::take(&mut orders.consumers);
        let info: StreamInfo<'_> = read(info.as_bytes()).unwrap();
        assert_eq!(orders, StreamReading::new(&info, None).unwrap(), "{version}");
        let durable = consumers.iter().find(|consumer| consumer.name == "dur").unwrap();
        let info: ConsumerInfo<'_> = read(consumer.as_bytes()).unwrap();
        assert_eq!(*durable, ConsumerReading::new(&info, None).unwrap(), "{version}");
        assert!(
            durable.opted_out && durable.durable && durable.group.peers.len() == 3,
            "{version}"
        );
        let ephemeral: Vec<_> = consumers.iter().filter(|consumer| !consumer.durable).collect();
        assert!(
            matches!(ephemeral.as_slice(), [one] if one.group.peers.len() == 1),
            "{version}"
        );
        assert!(
            !orders.metadata.keys().any(|key| key.starts_with("_nats.")),
            "{version}"
        );
    }
}

#[test]
fn a_single_replica_is_led_by_its_only_peer() {
    for (version, lines) in of_each_version!("jsz") {
        let one = &merged(lines)[0].group;
        let peers: Vec<_> = one.peers.iter().map(|peer| Some(&peer.server)).collect();
        assert_eq!(peers, [one.leader.as_ref()], "{version}");
        assert!(one.leader.is_some(), "{version}");
    }
}

#[test]
fn stored_placements_are_read_as_they_are() {
    let stored: StreamInfo<'_> = read(fixture!("2.11.10", "stream_info").as_bytes()).unwrap();
    let placement = StreamReading::new(&stored, None).unwrap().placement;
    assert_eq!(
        placement,
        Some(Placement {
            cluster: Some("world".into()),
            tags: vec![]
        })
    );
    let text = br#"{"config":{"name":"S","num_replicas":1,"placement":{"cluster":"","tags":["B","a"]}},
        "state":{"bytes":0,"last_seq":0}}"#;
    let stored: StreamInfo<'_> = read(text).unwrap();
    let placement = StreamReading::new(&stored, None).unwrap().placement.unwrap();
    assert_eq!(
        (placement.cluster, placement.tags),
        (None, vec!["B".into(), "a".into()])
    );
}

#[test]
fn a_stream_that_says_desired_is_moving() {
    let text = |desired: &str| {
        format!(
            r#"{{"config":{{"name":"S","num_replicas":1}},"state":{{"bytes":0,"last_seq":0}},
            "cluster":{{"leader":"a"{desired}}}}}"#
        )
    };
    let moving = |text: &str| {
        let info: StreamInfo<'_> = read(text.as_bytes()).unwrap();
        StreamReading::new(&info, None).unwrap().group.moving
    };
    assert!(moving(&text(
        r#","desired":{"replicas":[{"name":"b"}],"status":{"type":"catchup"}}"#
    )));
    assert!(!moving(&text("")));
}

#[test]
fn a_field_that_decides_is_not_made_up() {
    let without = |text: &str| {
        let info: StreamInfo<'_> = read(text.as_bytes()).unwrap();
        StreamReading::new(&info, None).unwrap_err()
    };
    assert_eq!(
        without(r#"{"state":{"bytes":0,"last_seq":0}}"#),
        "a stream came without its configuration"
    );
    assert_eq!(
        without(r#"{"config":{"name":"S","num_replicas":1}}"#),
        "stream S came without its state"
    );
    let error = read::<StreamInfo<'_>>(br#"{"cluster":{"replicas":[{"name":"a"}]}}"#).unwrap_err();
    assert!(
        error.contains("current") && error.contains("cluster.replicas[0]"),
        "{error}"
    );
}

#[test]
fn lists_are_read() {
    for (version, text) in of_each_version!("stream_list") {
        let page: Page<'_> = read(text.as_bytes()).unwrap();
        let streams = page.streams.unwrap();
        assert_eq!(
            (page.total, page.limit, streams.len()),
            (2, Some(256), 2),
            "{version}"
        );
        assert!(page.missing.is_none(), "{version}");
    }
}

#[test]
fn servers_say_how_many_they_are() {
    for (version, text) in of_each_version!("statsz") {
        let (server, statsz) = read::<Envelope<Statsz>>(text.as_bytes())
            .unwrap()
            .content()
            .unwrap();
        assert_eq!(server.ver, version);
        assert!(server.jetstream && statsz.start.is_some(), "{version}");
        assert!(
            statsz.active_servers.is_some_and(|servers| servers >= 3),
            "{version}"
        );
    }
}

#[test]
fn the_part_of_gateways_is_absent_before_2_11_5() {
    for (version, text) in of_each_version!("statz") {
        let (_, statz) = read::<Envelope<AccountStatz>>(text.as_bytes())
            .unwrap()
            .content()
            .unwrap();
        let stat = &statz.account_statz[0];
        assert_eq!(stat.acc, "APP");
        assert_eq!(stat.sent.gateways.is_some(), version != "2.10.29", "{version}");
    }
}

#[test]
fn connections_gateways_and_users_are_read() {
    let text = fixture!("2.15.1", "connz");
    let (_, connz) = read::<Envelope<Connz>>(text.as_bytes())
        .unwrap()
        .content()
        .unwrap();
    let one = &connz.connections[0];
    assert_eq!(
        (one.cid, one.authorized_user.as_deref(), one.name.as_deref()),
        (23, Some("APP-app"), None)
    );
    let text = fixture!("2.15.1", "gatewayz");
    let (_, gatewayz) = read::<Envelope<Gatewayz>>(text.as_bytes())
        .unwrap()
        .content()
        .unwrap();
    let rtt = gatewayz.outbound_gateways["eu-west"]
        .connection
        .as_ref()
        .unwrap()
        .rtt
        .as_deref();
    assert!(
        rtt.and_then(duration::parse)
            .is_some_and(|rtt| rtt.as_millis() == 25),
        "{rtt:?}"
    );
    let text = fixture!("2.15.1", "user_info");
    let (_, user) = read::<Envelope<UserInfo>>(text.as_bytes())
        .unwrap()
        .content()
        .unwrap();
    assert_eq!(user.account, "SYS");
}

#[test]
fn refusals_are_told_apart() {
    let error = |text: &str| read::<Answer>(text.as_bytes()).unwrap().error.unwrap();
    assert!(error(fixture!("2.15.1", "not_found")).is_gone());
    let step_down = |text| error(text).reason(Asked::StepDown);
    assert_eq!(
        step_down(fixture!("2.10.29", "step_down_refused")),
        Some(FindingReason::ServerTooOld)
    );
    assert_eq!(step_down(fixture!("2.15.1", "step_down_refused")), None);
    let coded = |code: u32, asked| {
        error(&format!(
            r#"{{"error":{{"code":400,"err_code":{code},"description":"x"}}}}"#
        ))
        .reason(asked)
    };
    let table = [
        (10005, FindingReason::NoCapacity),
        (10023, FindingReason::NoCapacity),
        (10028, FindingReason::NoCapacity),
        (10047, FindingReason::NoCapacity),
        (10123, FindingReason::MoveInProgress),
        (10124, FindingReason::MoveInProgress),
        (10008, FindingReason::NoLeader),
        (10025, FindingReason::MixedVersions),
        (10185, FindingReason::ServerTooOld),
    ];
    for (code, reason) in table {
        assert_eq!(coded(code, Asked::Placement), Some(reason), "{code}");
    }
    assert_eq!(coded(10039, Asked::Placement), None);
}
