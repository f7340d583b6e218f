//! Answers of the JetStream API: an error, or the content.

use leeward_api::vocabulary::FindingReason;
use serde::Deserialize;

use super::text::Words;

/// What every answer may hold.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) error: Option<ApiError>,
    pub(crate) success: Option<bool>,
}

/// An error as the server sends it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: Words,
}

/// The requested API, as far as it matters for reading an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestedApi {
    Read,
    StepDown,
    Placement,
    CancelMove,
}

const BAD_REQUEST: u32 = 10003;
const NO_PEERS: u32 = 10005;
const UNAVAILABLE: u32 = 10008;
const CONSUMER_NOT_FOUND: u32 = 10014;
const INSUFFICIENT_RESOURCES: u32 = 10023;
const INVALID_JSON: u32 = 10025;
const MEMORY_EXCEEDED: u32 = 10028;
const STORAGE_EXCEEDED: u32 = 10047;
const STREAM_NOT_FOUND: u32 = 10059;
const MOVE_AND_SCALE: u32 = 10123;
const MOVE_IN_PROGRESS: u32 = 10124;
/// There is no move to cancel: it has ended, or was cancelled.
pub(crate) const NO_MOVE: u32 = 10129;
const REQUIRED_API_LEVEL: u32 = 10185;
/// From 2.15 on: another change of the group is under way.
const RECONFIGURE_IN_PROGRESS: u32 = 10226;

impl ApiError {
    /// The asset does not exist.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.err_code, CONSUMER_NOT_FOUND | STREAM_NOT_FOUND)
    }

    /// Nobody can answer for it now: an election (nats-facts N14).
    pub(crate) fn is_leaderless(&self) -> bool {
        self.err_code == UNAVAILABLE || (self.code == 503 && self.err_code == 0)
    }

    /// The matching finding reason, if any.
    pub(crate) fn reason(&self, asked: RequestedApi) -> Option<FindingReason> {
        match (self.err_code, asked) {
            // On a step-down the same code means that the preferred peer is unknown or leads already (nats-facts N11).
            (NO_PEERS, RequestedApi::Placement)
            | (INSUFFICIENT_RESOURCES | MEMORY_EXCEEDED | STORAGE_EXCEEDED, _) => {
                Some(FindingReason::NoCapacity)
            }
            (MOVE_AND_SCALE | MOVE_IN_PROGRESS | RECONFIGURE_IN_PROGRESS, _) => {
                Some(FindingReason::MoveInProgress)
            }
            (UNAVAILABLE, _) => Some(FindingReason::NoLeader),
            // Only servers before 2.11 refuse a body (nats-facts N10).
            (BAD_REQUEST, RequestedApi::StepDown) | (REQUIRED_API_LEVEL, _) => {
                Some(FindingReason::ServerTooOld)
            }
            // A field that one server wrote and another does not know (nats-facts N31).
            (INVALID_JSON, _) => Some(FindingReason::MixedVersions),
            _ => None,
        }
    }
}
