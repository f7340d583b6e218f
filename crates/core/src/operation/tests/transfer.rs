use std::collections::BTreeMap;

use super::*;
use crate::names::AssetName;

fn asset() -> AssetName {
    AssetName::stream("S".into())
}

const LIMITS: VerifyLimits = VerifyLimits {
    move_timeout: Duration::from_mins(5),
    max_requests: 3,
    max_lag: 0,
    max_ack_pending: Some(1000),
    refresh_dependents: true,
};

/// A group of three that moves: the first three lead it from eu, the others have joined.
fn moving(change: impl FnOnce(&mut AssetInfo)) -> AssetInfo {
    let mut reading = reading(&["eu-0", "eu-1", "eu-2", "us-0", "us-1", "us-2"]);
    reading.replicas = 3;
    change(&mut reading);
    reading
}

fn next(change: impl FnOnce(&mut AssetInfo), asked: u32) -> Transfer {
    transfer(&asset(), &target(), &moving(change), &LIMITS, asked)
}

fn to(server: &str) -> Transfer {
    Transfer::Ask {
        from: "eu-0".into(),
        to: server.into(),
    }
}

#[test]
fn a_leader_hands_over_once_all_new_peers_are_caught_up() {
    assert_eq!(next(|_| {}, 0), to("us-2"));
    assert_eq!(
        next(|reading| reading.peers[5].current = false, 0),
        Transfer::Wait
    );
    assert_eq!(next(|reading| reading.peers[4].lag = 1, 0), Transfer::Wait);
    assert_eq!(next(|reading| reading.peers[3].offline = true, 0), Transfer::Wait);
    assert_eq!(next(|reading| reading.peers.truncate(5), 0), Transfer::Wait);
    assert_eq!(next(|reading| reading.leader = None, 0), Transfer::Wait);
    assert_eq!(
        next(|reading| reading.leader = Some("us-1".into()), 0),
        Transfer::Done
    );
}

#[test]
fn another_peer_is_named_after_each_request_that_did_not_land() {
    let asked = |asked| next(|_| {}, asked);
    assert_eq!([0, 1, 2, 3].map(asked), ["us-2", "us-1", "us-0", "us-2"].map(to));
    let nearest = |asked| next(|reading| reading.peers[5].lag = 1, asked);
    assert_eq!(nearest(0), Transfer::Wait);
}

#[test]
fn leaders_are_spread_over_peers_that_are_caught_up_alike() {
    let reading = moving(|_| {});
    let mut led = BTreeMap::new();
    for number in 0..30 {
        let asset = AssetName::consumer("S".into(), format!("c{number}").into());
        match transfer(&asset, &target(), &reading, &LIMITS, 0) {
            Transfer::Ask { from: _, to } => *led.entry(to).or_insert(0) += 1,
            other @ (Transfer::Wait | Transfer::Done) => panic!("{other:?}"),
        }
    }
    assert!(led.len() == 3 && led.values().all(|count| *count >= 5), "{led:?}");
}

#[test]
fn a_consumer_with_too_many_messages_under_way_is_left_to_the_servers() {
    let with = |ack_pending| {
        let progress = Progress {
            ack_pending,
            ..Progress::default()
        };
        next(|reading| reading.progress = Some(progress), 0)
    };
    assert_eq!([1000, 1001].map(with), [to("us-2"), Transfer::Wait]);
}
