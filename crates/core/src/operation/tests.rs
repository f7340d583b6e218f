mod cancel;
mod check;
mod proof;
mod refresh;
mod verify;

use super::*;
use crate::fixtures::{asset, at};
use crate::names::{ClusterName, Location};
use crate::plan::{Action, Aim, Deed, Move, StepDown};
use crate::safety::SMALL_LAG;
use crate::score::MoveCost;
use crate::snapshot::Placement;
use crate::target::MoveTarget;

fn member(server: &str) -> PeerReading {
    PeerReading {
        server: server.into(),
        current: true,
        offline: false,
        lag: 0,
    }
}

/// The first server leads, the rest follow.
fn reading(servers: &[&str]) -> Reading {
    Reading {
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

fn seen(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["eu-0", "us-0", "us-1"]);
    change(&mut reading);
    Sighting::Seen(reading)
}

fn step_down(aim: Aim) -> Action {
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        deed: Deed::StepDown(StepDown {
            aim,
            home_peers: vec!["us-0".into(), "us-1".into()],
        }),
    }
}

fn aimed() -> Action {
    step_down(Aim::Peer("us-0".into()))
}

fn blind() -> Action {
    step_down(Aim::Anyone)
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
    }
}

fn moving_home() -> Action {
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        deed: Deed::Move(Box::new(Move {
            target: target(),
            bytes: 0,
            cost: MoveCost::default(),
            consumers: Vec::new(),
            dependents: Vec::new(),
        })),
    }
}

fn abroad(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["eu-0", "eu-1", "eu-2"]);
    change(&mut reading);
    Sighting::Seen(reading)
}

fn moved(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["us-0", "us-1", "us-2"]);
    reading.placement = Some(placement("us"));
    change(&mut reading);
    Sighting::Seen(reading)
}

/// Why it was stopped, and the leader that was seen.
fn stopped(action: &Action, sighting: &Sighting) -> (Option<FindingReason>, String) {
    match before(action, sighting, &limits(3)) {
        Before::Stop(outcome) => {
            assert_eq!(outcome.result, ActionResult::Abandoned);
            (outcome.reason, outcome.message)
        }
        Before::Request => panic!("{action:?} is requested in spite of {sighting:?}"),
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

fn asked(requests: u32) -> Asked {
    Asked {
        of: "eu-0".into(),
        at: at(0),
        requests,
    }
}

fn after_seconds(action: &Action, sighting: &Sighting, seconds: u64) -> After {
    after(action, sighting, &asked(1), at(seconds), &limits(3))
}

fn ended(after: After) -> Outcome {
    match after {
        After::Done(outcome) => outcome,
        After::Wait | After::Again | After::Overdue(_) => panic!("it goes on: {after:?}"),
    }
}

fn overdue(after: After) -> Outcome {
    match after {
        After::Overdue(outcome) => outcome,
        After::Wait | After::Again | After::Done(_) => panic!("it is not overdue: {after:?}"),
    }
}

fn led_by(leader: &str) -> Outcome {
    Outcome::new(ActionResult::Succeeded, None, format!("{leader} leads it now")).led_by(Some(&leader.into()))
}
