mod cancel;
mod check;
mod proof;
mod refresh;
mod transfer;
mod verify;

use super::*;
use crate::action::{Action, ActionKind, LeaderTransfers, Move, StepDown, Successor};
use crate::fixtures::{asset, at};
use crate::names::{ClusterName, Location};
use crate::safety::SMALL_LAG;
use crate::score::MoveCost;
use crate::snapshot::Placement;
use crate::target::MoveTarget;

fn member(server: &str) -> PeerInfo {
    PeerInfo {
        server: server.into(),
        current: true,
        offline: false,
        lag: 0,
    }
}

/// The first server leads, the rest follow.
fn reading(servers: &[&str]) -> AssetInfo {
    AssetInfo {
        leader: servers.first().map(|name| ServerName::from(*name)),
        peers: servers.iter().map(|name| member(name)).collect(),
        replicas: u8::try_from(servers.len()).unwrap(),
        moving: false,
        placement: None,
        bytes: 0,
        progress: None,
        upstreams: Vec::new(),
    }
}

fn seen(change: impl FnOnce(&mut AssetInfo)) -> ReadResult {
    let mut reading = reading(&["eu-0", "us-0", "us-1"]);
    change(&mut reading);
    ReadResult::Seen(reading)
}

fn step_down(successor: Successor) -> Action {
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        kind: ActionKind::StepDown(StepDown {
            successor,
            alternatives: Vec::new(),
            home_peers: vec!["us-0".into(), "us-1".into()],
        }),
    }
}

fn aimed() -> Action {
    step_down(Successor::Peer("us-0".into()))
}

fn blind() -> Action {
    step_down(Successor::Anyone)
}

fn placement(cluster: &str) -> Placement {
    Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: Vec::new(),
    }
}

fn target() -> MoveTarget {
    MoveTarget {
        location: Location::from("us"),
        placement: placement("us"),
        replaces: None,
        servers: vec!["us-0".into(), "us-1".into(), "us-2".into()],
        owner: None,
    }
}

fn moving_home() -> Action {
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        kind: ActionKind::Move(Box::new(Move {
            target: target(),
            bytes: 0,
            cost: MoveCost::default(),
            consumers: Vec::new(),
            transfers: LeaderTransfers::default(),
            dependents: Vec::new(),
        })),
    }
}

fn away(change: impl FnOnce(&mut AssetInfo)) -> ReadResult {
    let mut reading = reading(&["eu-0", "eu-1", "eu-2"]);
    change(&mut reading);
    ReadResult::Seen(reading)
}

fn moved(change: impl FnOnce(&mut AssetInfo)) -> ReadResult {
    let mut reading = reading(&["us-0", "us-1", "us-2"]);
    reading.placement = Some(placement("us"));
    change(&mut reading);
    ReadResult::Seen(reading)
}

/// Why it was stopped, and the leader that was seen.
fn stopped(action: &Action, read_result: &ReadResult) -> (Option<FindingReason>, String) {
    match before(action, read_result, &limits(3)) {
        Preflight::Stop(outcome) => {
            assert_eq!(outcome.result, ActionResult::Abandoned);
            let reason = outcome
                .reason
                .map(|reason| reason.behavior().is_checked_before_request);
            assert_ne!(
                reason,
                Some(false),
                "{:?} is not said to be checked before a request",
                outcome.reason
            );
            (outcome.reason, outcome.message)
        }
        Preflight::Request => panic!("{action:?} is requested in spite of {read_result:?}"),
    }
}

fn limits(max_requests: u32) -> VerifyLimits {
    VerifyLimits {
        move_timeout: Duration::from_mins(5),
        max_requests,
        max_lag: 256,
        max_ack_pending: None,
        refresh_dependents: true,
    }
}

fn asked(requests: u32) -> SentRequest {
    SentRequest {
        of: "eu-0".into(),
        at: at(0),
        requests,
        elected: None,
    }
}

fn after_seconds(action: &Action, read_result: &ReadResult, seconds: u64) -> Verification {
    after(action, read_result, &asked(1), at(seconds), &limits(3))
}

fn ended(after: Verification) -> Outcome {
    match after {
        Verification::Done(outcome) => outcome,
        Verification::Wait | Verification::Again | Verification::Overdue(_) => {
            panic!("it goes on: {after:?}")
        }
    }
}

fn overdue(after: Verification) -> Outcome {
    match after {
        Verification::Overdue(outcome) => outcome,
        Verification::Wait | Verification::Again | Verification::Done(_) => {
            panic!("it is not overdue: {after:?}")
        }
    }
}

fn led_by(leader: &str) -> Outcome {
    Outcome::new(ActionResult::Succeeded, None, format!("{leader} leads it now")).led_by(Some(&leader.into()))
}
