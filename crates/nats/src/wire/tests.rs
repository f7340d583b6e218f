//! Real replies of three server versions, shortened: a supercluster of 2.15.1 and 2.10.29, a stretched cluster of
//! 2.11.10, each with a stream ORDERS of three replicas and a stream ONE of one.

use std::time::Duration;

use leeward_api::vocabulary::FindingReason;
use leeward_core::names::{ServerName, StreamName};
use leeward_core::operation::{Progress, Upstream};
use leeward_core::snapshot::Placement;
use leeward_core::topology::Storage;

use super::api::{Answer, RequestedApi};
use super::assets::{ApiPage, ConsumerInfo, Jsz, StreamInfo};
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
    let text = br#"{"config":{"name":"S","storage":"file","max_bytes":-1,"num_replicas":1,"placement":{"cluster":"","tags":["B","a"]}},
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
            r#"{{"config":{{"name":"S","storage":"file","max_bytes":-1,"num_replicas":1}},"state":{{"bytes":0,"last_seq":0}},
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

fn stream_of(config: &str, rest: &str) -> StreamReading {
    let text = format!(
        r#"{{"config":{{"name":"S","num_replicas":1,{config}}},"state":{{"bytes":0,"last_seq":0}}{rest}}}"#
    );
    let info: StreamInfo<'_> = read(text.as_bytes()).unwrap();
    StreamReading::new(&info, None).unwrap()
}

#[test]
fn what_a_stream_takes_is_read() {
    let of = |config| {
        let stream = stream_of(config, "");
        (stream.storage, stream.max_bytes)
    };
    assert_eq!(
        of(r#""storage":"memory","max_bytes":7"#),
        (Storage::Memory, Some(7))
    );
    assert_eq!(of(r#""storage":"file","max_bytes":-1"#), (Storage::File, None));
}

#[test]
fn upstreams_are_those_that_are_configured_in_the_account_whatever_the_leader_says_of_them() {
    let config = r#""storage":"file","max_bytes":-1,"sources":[{"name":"B"},{"name":"A","filter_subject":"a"},
        {"name":"A","filter_subject":"b"},{"name":"FAR","external":{"api":"$JS.far.API"}},{"name":"B2"}]"#;
    let told = r#","sources":[{"name":"A","lag":1,"active":5000000},{"name":"A","lag":9,"active":7000000},
        {"name":"B","lag":3,"active":-1},{"name":"FAR","lag":0,"active":1,"external":{"api":"$JS.far.API"}}]"#;
    let upstream = |name: &str, milliseconds: Option<u64>, lag| Upstream {
        stream: StreamName::from(name),
        last_active: milliseconds.map(Duration::from_millis),
        lag,
    };
    let seen = stream_of(config, told).reading().upstreams;
    assert_eq!(
        seen,
        [
            upstream("A", Some(7), 9),
            upstream("B", None, 3),
            upstream("B2", None, 0)
        ]
    );
    let mirror = r#""storage":"file","max_bytes":-1,"mirror":{"name":"UP"}"#;
    let heard = r#","mirror":{"name":"UP","lag":2,"active":1000000}"#;
    assert_eq!(stream_of(mirror, heard).upstreams, [upstream("UP", Some(1), 2)]);
    assert_eq!(
        stream_of(mirror, "").upstreams,
        [upstream("UP", None, 0)],
        "a new leader"
    );
}

#[test]
fn how_far_a_consumer_is_and_who_uses_it_is_read() {
    let of = |config: &str, rest: &str| {
        let text = format!(
            r#"{{"name":"C","config":{{"num_replicas":0{config}}},"delivered":{{"consumer_seq":9,"stream_seq":8}},
            "ack_floor":{{"consumer_seq":7,"stream_seq":6}},"num_ack_pending":5,"num_waiting":4,"num_pending":3{rest}}}"#
        );
        let info: ConsumerInfo<'_> = read(text.as_bytes()).unwrap();
        ConsumerReading::new(&info, None).unwrap()
    };
    let plain = Progress {
        delivered: 9,
        ack_floor: 6,
        pending: 3,
        ack_pending: 5,
        max_ack_pending: None,
        waiting: 4,
        push_bound: false,
        paused: false,
    };
    let unlimited = of(
        r#","max_ack_pending":-1"#,
        r#","priority_groups":[{"group":"g"}]"#,
    );
    assert_eq!((unlimited.progress, unlimited.pinned), (plain.clone(), false));
    let used = of(
        r#","max_ack_pending":1000"#,
        r#","push_bound":true,"paused":true,"priority_groups":[{"group":"g","pinned_client_id":"x"}]"#,
    );
    let busy = Progress {
        max_ack_pending: Some(1000),
        push_bound: true,
        paused: true,
        ..plain
    };
    assert_eq!((used.progress, used.pinned), (busy, true));
    let stateless: ConsumerInfo<'_> = read(br#"{"name":"C","config":{"num_replicas":0}}"#).unwrap();
    assert!(ConsumerReading::new(&stateless, None).is_err());
}

#[test]
fn a_follower_that_lacks_something_is_current_while_it_is_heard_of_however_much_it_lacks() {
    let of = |replica: &str| {
        let text = format!(r#","cluster":{{"leader":"a","replicas":[{{"name":"b",{replica}}}]}}"#);
        let peers = stream_of(r#""storage":"file","max_bytes":-1"#, &text).group.peers;
        (peers[1].current, peers[1].lag)
    };
    assert_eq!(
        of(r#""current":false,"active":2400000000,"lag":99999"#),
        (true, 99999)
    );
    assert_eq!(of(r#""current":false,"active":2500000000,"lag":1"#), (false, 1));
    assert_eq!(of(r#""current":false,"active":0"#), (false, 0), "never heard of");
    assert_eq!(
        of(r#""current":true,"active":9000000000"#),
        (true, 0),
        "its leader's word"
    );
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
        without(r#"{"config":{"name":"S","storage":"file","max_bytes":-1,"num_replicas":1}}"#),
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
        let page: ApiPage<'_> = read(text.as_bytes()).unwrap();
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
        assert_eq!(&*server.ver, version);
        assert!(server.jetstream && statsz.start.is_some(), "{version}");
        let jetstream = statsz.jetstream.unwrap();
        let limit = jetstream.config.and_then(|config| config.max_storage);
        assert_eq!(limit, Some(8 << 30), "{version}");
        assert!(
            jetstream.stats.is_some_and(|stats| stats.ha_assets > Some(0)),
            "{version}"
        );
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
        assert_eq!(&*stat.acc, "APP");
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
    let one = &connz.connections.unwrap()[0];
    assert_eq!(
        (one.cid, one.authorized_user.as_deref(), one.name.as_deref()),
        (23, Some("APP-app"), None)
    );
    let text = fixture!("2.15.1", "gatewayz");
    let (_, gatewayz) = read::<Envelope<Gatewayz>>(text.as_bytes())
        .unwrap()
        .content()
        .unwrap();
    let rtt = gatewayz.outbound_gateways[&"eu-west".into()]
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
    assert_eq!(&*user.account, "SYS");
}

#[test]
fn an_answer_without_a_list_of_connections_is_told_from_an_empty_list() {
    let read_list = |list: &str| {
        let text = format!(
            r#"{{"server":{{"name":"a","id":"N","ver":"2.15.1"}},"data":{{"total":0,"connections":{list}}}}}"#
        );
        let (_, connz) = read::<Envelope<Connz>>(text.as_bytes())
            .unwrap()
            .content()
            .unwrap();
        connz.connections.map(|list| list.len())
    };
    assert_eq!((read_list("null"), read_list("[]")), (None, Some(0)));
}

#[test]
fn a_peer_without_a_name_is_called_by_its_id() {
    let text = r#","cluster":{"leader":"a","replicas":[{"name":"Server name unknown at this time (peerID: bV6xXTAf)",
        "current":false,"offline":true}]}"#;
    let peers = stream_of(r#""storage":"file","max_bytes":-1"#, text).group.peers;
    assert_eq!(peers[1].server, ServerName::from("bV6xXTAf"));
}

#[test]
fn a_server_in_no_cluster_leads_what_it_lists_once_it_is_known_which_one_that_is() {
    let mut alone = stream_of(r#""storage":"file","max_bytes":-1"#, "").group;
    assert_eq!(alone.leader, None);
    alone.lead_alone(&ServerName::from("a"));
    assert_eq!(
        (alone.leader, alone.peers.len()),
        (Some(ServerName::from("a")), 1)
    );
    let clustered = r#","cluster":{"replicas":[]}"#;
    let mut leaderless = stream_of(r#""storage":"file","max_bytes":-1"#, clustered).group;
    leaderless.lead_alone(&ServerName::from("a"));
    assert_eq!(leaderless.leader, None, "nobody leads it");
}

#[test]
fn refusals_are_told_apart() {
    let error = |text: &str| read::<Answer>(text.as_bytes()).unwrap().error.unwrap();
    assert!(error(fixture!("2.15.1", "not_found")).is_gone());
    let step_down = |text| error(text).reason(RequestedApi::StepDown);
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
        (10226, FindingReason::MoveInProgress),
        (10008, FindingReason::NoLeader),
        (10025, FindingReason::MixedVersions),
        (10185, FindingReason::ServerTooOld),
    ];
    for (code, reason) in table {
        assert_eq!(coded(code, RequestedApi::Placement), Some(reason), "{code}");
    }
    assert_eq!(coded(10039, RequestedApi::Placement), None);
    assert_eq!(coded(10129, RequestedApi::CancelMove), None);
}
