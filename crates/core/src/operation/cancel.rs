//! A move that took too long: cancelled where the servers allow it, and read back (nats-facts N27).

use std::collections::BTreeSet;
use std::time::Duration;

use leeward_api::vocabulary::ActionResult;

use super::{AssetInfo, Outcome, ReadResult, verify};
use crate::names::ServerName;
use crate::target::MoveTarget;

/// How long a failed cancel is retried, and how long a cancelled move is watched: the servers drop the members that
/// were added, and elect a new leader.
pub const CANCEL_TIMEOUT: Duration = Duration::from_mins(3);

/// Judges a stream after its move was cancelled; `peers_before` are its members from before, `overdue` the outcome so
/// far. `None` while it is neither back nor, since the cancel came too late, done.
pub fn after_cancel(
    target: &MoveTarget,
    peers_before: &[ServerName],
    read_result: &ReadResult,
    overdue: &Outcome,
) -> Option<Outcome> {
    let reading = match read_result {
        ReadResult::Seen(reading) => reading,
        ReadResult::Gone => {
            return Some(Outcome::new(
                ActionResult::Abandoned,
                None,
                "it was deleted meanwhile",
            ));
        }
        ReadResult::Unanswered => return None,
    };
    verify::done(target, reading).or_else(|| {
        is_back(target, peers_before, reading).then(|| {
            let names: Vec<&str> = peers_before.iter().map(ServerName::as_str).collect();
            let message = format!(
                "{}: cancelled, it lies on {} as before",
                overdue.message,
                names.join(", ")
            );
            Outcome::new(ActionResult::TimedOut, None, message).led_by(reading.leader.as_ref())
        })
    })
}

/// The outcome of an overdue move that could not be cancelled, or was not seen to be.
pub fn left_to_the_servers(overdue: Outcome, why: &str) -> Outcome {
    Outcome {
        message: format!("{}: left to the servers, {why}", overdue.message),
        ..overdue
    }
}

fn is_back(target: &MoveTarget, peers_before: &[ServerName], reading: &AssetInfo) -> bool {
    let before: BTreeSet<&ServerName> = peers_before.iter().collect();
    let now: BTreeSet<&ServerName> = reading.peers.iter().map(|peer| &peer.server).collect();
    !reading.is_moving()
        && reading.placement == target.replaces
        && before == now
        && reading
            .leader
            .as_ref()
            .is_some_and(|leader| before.contains(leader))
}
