//! Cancels a move, and restores the placement that the stream had before it (nats-facts N27).
//!
//! Servers from 2.15 on restore the placement by themselves. Up to 2.14 the stream goes back to its old peers, but
//! keeps the placement of the abandoned target, or none, and nobody answers while it has no leader, which a move may
//! cause. So the cancel is sent once, while the permit holds; then the stream is read until it no longer moves, and its
//! old placement is written if it is missing, even if the permit has ended and the caller is gone: stopping in between
//! would leave a placement that nobody wants. A placement that somebody else set stays.
//!
//! To servers up to 2.14, setting a placement is a move, for which they choose new peers: in a cluster with more
//! servers than the stream has replicas, some replicas may move inside the old placement. No request avoids that.

use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{AccountId, StreamName};
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_core::topology::Version;
use leeward_engine::permit::Permit;
use leeward_engine::ports::ActError;
use tokio::sync::oneshot;

use crate::connect::ConnectionState;
use crate::jetstream_api::{JetStreamApi, changed};
use crate::observe::listings::StoredStream;
use crate::place::{IncompleteReason, RetryBackoff, edit};
use crate::placement_edit::{EditError, stored_placement, with_placement, with_stored, without_placement};
use crate::reading::StreamReading;
use crate::request::REQUEST_LIMIT;
use crate::wire::api::{NO_MOVE, RequestedApi};

/// The first version in which an account cancels moves by the name of the stream alone.
const OWN_SUBJECT: Version = Version::new(2, 15, 0);
/// The time limit for reading the stream and writing its placement. A group of six with two sleeping members was
/// without a leader for more than a minute on a busy machine.
const COMPLETION_LIMIT: Duration = Duration::from_mins(3);

impl JetStreamApi {
    /// Cancels the move of a stream to `target`.
    pub(crate) async fn cancel_move(
        &self,
        permit: Permit,
        account: &AccountId,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        let config = self.config(stream, Some(&target.placement)).await?;
        let cancel = Cancel {
            placement: before(&config, target).map_err(|error| edit(stream, &error))?,
            subject: self.cancel_subject(account, stream),
            calls: self.clone(),
            stream: stream.clone(),
            target: target.clone(),
        };
        let (sender, answer) = oneshot::channel();
        tokio::spawn(cancel.run(permit, sender));
        let broken = || half_done("the cancel was broken off");
        answer.await.unwrap_or_else(|_| Err(broken()))
    }

    fn cancel_subject(&self, account: &AccountId, stream: &StreamName) -> String {
        let own = match &*self.link.state().borrow() {
            ConnectionState::Connected { server: _, version } => {
                Version::parse(version).is_some_and(|version| version >= OWN_SUBJECT)
            }
            ConnectionState::Connecting
            | ConnectionState::Disconnected { message: _ }
            | ConnectionState::Refused { .. } => false,
        };
        self.subject(&if own {
            format!("STREAM.CANCEL_MOVE.{stream}")
        } else {
            format!("ACCOUNT.STREAM.CANCEL_MOVE.{account}.{stream}")
        })
    }
}

/// The placement from before the move as the servers wrote it; fields not known here are those of the present one.
fn before(config: &str, target: &MoveTarget) -> Result<Option<String>, EditError> {
    let Some(replaced) = target.replaces.as_ref().filter(|replaced| !is_empty(replaced)) else {
        return Ok(None);
    };
    let restored = with_placement(config, replaced)?;
    Ok(stored_placement(&restored)?.map(str::to_owned))
}

fn is_empty(placement: &Placement) -> bool {
    placement.cluster.is_none() && placement.tags.is_empty()
}

/// A move that is cancelled.
struct Cancel {
    calls: JetStreamApi,
    stream: StreamName,
    target: MoveTarget,
    subject: String,
    /// The placement from before the move.
    placement: Option<String>,
}

impl Cancel {
    async fn run(self, permit: Permit, caller: oneshot::Sender<Result<(), ActError>>) {
        // If the caller went away before anything was sent, nothing is sent.
        let right = || !caller.is_closed() && permit.holds(Timestamp::now());
        let (stream, placement) = (&self.stream, self.placement.as_deref());
        tracing::info!(%stream, placement, "the move of a stream is cancelled, which gives it its placement back");
        let asked = self
            .calls
            .act(
                &right,
                &self.subject,
                String::new(),
                RequestedApi::CancelMove,
                REQUEST_LIMIT,
            )
            .await;
        let result = match asked {
            Ok(_) => self.complete(None).await,
            // What an unanswered cancel did shows in the stream. "No move" means that it ended, or that an earlier
            // cancel was not completed.
            Err(error) if error.may_have_acted() || is_no_move(&error) => self.complete(Some(error)).await,
            Err(error) => Err(error),
        };
        // A caller that went away needs no result.
        let _ = caller.send(result);
    }

    /// Reads the stream until it rests with its old placement; `doubt` is why the cancel may have failed.
    async fn complete(&self, doubt: Option<ActError>) -> Result<(), ActError> {
        let mut tries = RetryBackoff::for_at_most(COMPLETION_LIMIT);
        loop {
            let error = match self.put_back(doubt.as_ref()).await {
                Ok(()) => return Ok(()),
                Err(IncompleteReason::Ended(error)) => return Err(error),
                Err(IncompleteReason::Failed(error)) => error,
            };
            let (stream, placement) = (&self.stream, self.placement.as_deref());
            tracing::debug!(%stream, placement, %error, "a stream has not its placement from before its move back yet");
            if !tries.another().await {
                tracing::warn!(
                    %stream, placement, %error,
                    "the move of a stream was cancelled and its placement from before could not be confirmed"
                );
                return Err(doubt.unwrap_or_else(|| half_done(&error.to_string())));
            }
        }
    }

    async fn put_back(&self, doubt: Option<&ActError>) -> Result<(), IncompleteReason> {
        let gone = changed("the stream was deleted meanwhile".to_owned());
        let StoredStream {
            reading: seen,
            config,
        } = *self.calls.stored_now(&self.stream, gone).await?;
        match next(&seen, &self.target) {
            FollowUpEdit::Nothing if doubt.is_none() || !seen.is_moving() => Ok(()),
            FollowUpEdit::Nothing | FollowUpEdit::Wait => Err(IncompleteReason::Failed(changed(format!(
                "stream {} still moves",
                self.stream
            )))),
            FollowUpEdit::Finished => {
                let finished = || changed(format!("stream {} has reached its target", self.stream));
                Err(IncompleteReason::Ended(doubt.cloned().unwrap_or_else(finished)))
            }
            FollowUpEdit::Leave => Err(IncompleteReason::Ended(half_done(
                "somebody else set another one meanwhile",
            ))),
            FollowUpEdit::Write => self.write(&config).await,
        }
    }

    async fn write(&self, config: &str) -> Result<(), IncompleteReason> {
        let wanted = match &self.placement {
            Some(placement) => with_stored(config, placement),
            None => without_placement(config),
        };
        let wanted = wanted.map_err(|error| IncompleteReason::Failed(edit(&self.stream, &error)))?;
        self.calls.complete_by(&self.stream, wanted).await
    }
}

/// What a stream needs after its move was cancelled.
#[derive(Debug, PartialEq, Eq)]
enum FollowUpEdit {
    /// The stream stores the placement from before.
    Nothing,
    /// The stream still moves: an update may be refused, or use a configuration that the cancel changes.
    Wait,
    /// The stream has reached the target: there is nothing to take back.
    Finished,
    /// The stream's placement is the target's or none.
    Write,
    /// Somebody else set another placement.
    Leave,
}

fn next(seen: &StreamReading, target: &MoveTarget) -> FollowUpEdit {
    let stated = |placement: &Option<Placement>| placement.clone().filter(|placement| !is_empty(placement));
    let (stored, before) = (stated(&seen.placement), stated(&target.replaces));
    let peers = &seen.group.peers;
    if stored == before {
        return FollowUpEdit::Nothing;
    }
    if stored.is_some_and(|stored| stored != target.placement) {
        return FollowUpEdit::Leave;
    }
    if seen.is_moving() || seen.group.leader.is_none() || peers.is_empty() {
        return FollowUpEdit::Wait;
    }
    if peers.iter().all(|peer| target.servers.contains(&peer.server)) {
        return FollowUpEdit::Finished;
    }
    FollowUpEdit::Write
}

fn is_no_move(error: &ActError) -> bool {
    matches!(error, ActError::Refused { code, .. } if *code == NO_MOVE)
}

/// Once the cancel was accepted, an error counts as one that may have acted.
fn half_done(why: &str) -> ActError {
    ActError::StoredDifferently {
        fields: vec![format!("placement (its move was cancelled: {why})")],
    }
}

#[cfg(test)]
mod tests {
    use leeward_core::names::{ClusterName, Location, ServerName, Tag};
    use leeward_core::operation::PeerInfo;
    use leeward_core::topology::Storage;

    use super::*;
    use crate::reading::GroupReading;

    fn placement(cluster: &str) -> Placement {
        Placement {
            cluster: Some(ClusterName::from(cluster)),
            tags: vec![Tag::from("SSD")],
        }
    }

    fn target(replaces: Option<Placement>) -> MoveTarget {
        MoveTarget {
            location: Location::from("eu"),
            placement: placement("eu"),
            replaces,
            servers: vec![ServerName::from("eu-0"), ServerName::from("eu-1")],
            owner: None,
        }
    }

    fn stream(stored: Option<Placement>, peers: &[&str]) -> StreamReading {
        let peer = |name: &&str| PeerInfo {
            server: ServerName::from(*name),
            current: true,
            offline: false,
            lag: 0,
        };
        StreamReading {
            name: "S".into(),
            group: GroupReading {
                leader: peers.first().map(|name| ServerName::from(*name)),
                leader_since: None,
                peers: peers.iter().map(peer).collect(),
                moving: false,
                alone: false,
            },
            replicas: 2,
            placement: stored,
            metadata: std::collections::BTreeMap::new(),
            bytes: 0,
            storage: Storage::File,
            max_bytes: None,
            upstreams: vec![],
            last_sequence: 0,
            subjects: Vec::new(),
            allow_direct: false,
            answers_gets_of: None,
            consumers: vec![],
        }
    }

    const OLD: [&str; 2] = ["us-0", "us-1"];

    #[test]
    fn a_stream_that_stands_still_on_its_old_peers_gets_its_placement_back() {
        for before in [None, Some(placement("us"))] {
            let target = target(before.clone());
            let stored = |stored, peers: &[&str]| next(&stream(stored, peers), &target);
            assert_eq!(stored(Some(placement("eu")), &OLD), FollowUpEdit::Write);
            assert_eq!(stored(before.clone(), &OLD), FollowUpEdit::Nothing);
            assert_eq!(stored(Some(placement("ap")), &OLD), FollowUpEdit::Leave);
        }
        let wiped = next(&stream(None, &OLD), &target(Some(placement("us"))));
        assert_eq!(wiped, FollowUpEdit::Write, "servers up to 2.14 may remove it");
    }

    #[test]
    fn nothing_is_written_while_it_moves_or_where_it_has_arrived() {
        let target = target(None);
        let stored = Some(placement("eu"));
        let both = ["us-0", "us-1", "eu-0", "eu-1"];
        assert_eq!(next(&stream(stored.clone(), &both), &target), FollowUpEdit::Wait);
        let mut leaderless = stream(stored.clone(), &OLD);
        leaderless.group.leader = None;
        assert_eq!(next(&leaderless, &target), FollowUpEdit::Wait);
        let mut desired = stream(stored.clone(), &OLD);
        desired.group.moving = true;
        assert_eq!(next(&desired, &target), FollowUpEdit::Wait);
        let arrived = stream(stored, &["eu-0", "eu-1"]);
        assert_eq!(next(&arrived, &target), FollowUpEdit::Finished);
    }

    #[test]
    fn p7_the_placement_from_before_keeps_what_the_edit_had_left_alone() {
        let config = r#"{"name":"S","placement":{"cluster":"eu","tags":["SSD"],"new":[1, 2]}}"#;
        let restored = before(config, &target(Some(placement("us"))));
        let wanted = r#"{"cluster":"us","tags":["SSD"],"new":[1, 2]}"#;
        assert_eq!(restored, Ok(Some(wanted.to_owned())));
        for nothing in [None, Some(Placement::default())] {
            assert_eq!(before(config, &target(nothing)), Ok(None));
        }
    }
}
