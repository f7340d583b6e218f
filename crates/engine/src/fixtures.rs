//! Actions and their ends, for unit tests.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, FindingReason};
use leeward_core::action::{Action, ActionKind, LeaderTransfers, Move, StepDown, Successor};
use leeward_core::names::AssetName;
use leeward_core::operation::Outcome;
use leeward_core::score::MoveCost;
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;

use crate::execute::Finished;

pub(crate) fn at(seconds: u64) -> Timestamp {
    "2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn asset(text: &str) -> AssetName {
    match text.split_once('/') {
        Some((stream, consumer)) => AssetName::consumer(stream.into(), consumer.into()),
        None => AssetName::stream(text.into()),
    }
}

/// `S` is the stream, `S/c` a consumer.
pub(crate) fn step_down(name: &str, towards: Option<&str>) -> Action {
    Action {
        asset: asset(name),
        from: "eu-0".into(),
        kind: ActionKind::StepDown(StepDown {
            successor: towards.map_or(Successor::Anyone, |server| Successor::Peer(server.into())),
            alternatives: Vec::new(),
            home_peers: vec!["us-0".into()],
        }),
    }
}

pub(crate) fn stream_move(name: &str) -> Action {
    Action {
        asset: asset(name),
        from: "eu-0".into(),
        kind: ActionKind::Move(Box::new(Move {
            target: MoveTarget {
                location: "us".into(),
                placement: Placement::default(),
                replaces: None,
                servers: vec!["us-0".into()],
                owner: None,
            },
            bytes: 0,
            cost: MoveCost::default(),
            consumers: Vec::new(),
            transfers: LeaderTransfers::default(),
            dependents: Vec::new(),
        })),
    }
}

/// Took 250 ms and sent one request.
pub(crate) fn finished(action: Action, result: ActionResult, reason: Option<FindingReason>) -> Finished {
    let mut outcome = Outcome::new(result, reason, "as it went");
    outcome.to = Some("us-0".into());
    Finished {
        action,
        outcome,
        requests: 1,
        started: at(0),
        ended: at(0) + Duration::from_millis(250),
        follow_ups: Vec::new(),
        transfers: Vec::new(),
    }
}
