use super::*;
use crate::names::ServerName;

/// In this order they should lead.
fn successors() -> Vec<ServerName> {
    ["us-2", "us-1", "us-0"].map(ServerName::from).into()
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

fn next(change: impl FnOnce(&mut AssetInfo), turn: usize) -> Transfer {
    transfer(&target(), &successors(), &moving(change), &LIMITS, turn)
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
fn caught_up_peers_take_turns_and_only_those_that_may_lead() {
    let turn = |turn| next(|_| {}, turn);
    assert_eq!([0, 1, 2, 3].map(turn), ["us-2", "us-1", "us-0", "us-2"].map(to));
    let may_lead = |successors: &[&str]| {
        let successors: Vec<ServerName> = successors.iter().copied().map(ServerName::from).collect();
        transfer(&target(), &successors, &moving(|_| {}), &LIMITS, 1)
    };
    assert_eq!(
        may_lead(&["us-3", "us-1"]),
        to("us-1"),
        "only one of them is a peer"
    );
    assert_eq!(may_lead(&["us-3"]), Transfer::Wait);
    assert_eq!(may_lead(&[]), Transfer::Wait);
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
