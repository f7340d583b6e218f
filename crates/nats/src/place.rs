//! Edits of a stream's placement.
//!
//! A repair (nats-facts N21) takes two updates: one that removes the placement and one that sets it again. The first is
//! sent only while the permit holds; the second completes the repair even if the permit has ended: stopping in between
//! would lose what the owner wrote. For the same reason it continues when the caller goes away, is retried until it is
//! answered or [`COMPLETION_LIMIT`] has passed, and uses the configuration as it is by then, so that nobody's change in
//! between is reverted. A placement that somebody else set in between stays.

use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::StreamName;
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_engine::permit::Permit;
use leeward_engine::ports::ActError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::jetstream_api::{JetStreamApi, changed, malformed};
use crate::moments::ahead;
use crate::observe::listings::StoredStream;
use crate::placement_edit::{
    EditError, differences, stored_placement, with_placement, with_stored, without_placement,
};
use crate::request::Guard;
use crate::stored::{Stored, config_text};
use crate::wire::api::RequestedApi;

/// An update waits for the meta leader and for the stream's own leader.
const UPDATE_LIMIT: Duration = Duration::from_secs(8);
/// How long setting a removed placement again is retried.
const COMPLETION_LIMIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

impl JetStreamApi {
    /// Writes a placement and nothing else (P7).
    pub(crate) async fn place(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        let config = self.config(stream, target.replaces.as_ref()).await?;
        let wanted = with_placement(&config, &target.placement).map_err(|error| edit(stream, &error))?;
        if target.is_repair() {
            return self.repair(permit, stream, config).await;
        }
        let right = || permit.holds(Timestamp::now());
        self.update(&right, stream, wanted).await.map(drop)
    }

    /// The configuration as the servers wrote it, if the stream stores the placement that the plan was made for.
    pub(crate) async fn config(
        &self,
        stream: &StreamName,
        replaces: Option<&Placement>,
    ) -> Result<String, ActError> {
        let stored = match self.stored(stream).await? {
            Stored::Here(stored) => stored,
            Stored::Gone => return Err(changed(format!("stream {stream} does not exist any more"))),
            // Nothing was sent yet: a read without an answer does not mean that an act may have happened.
            Stored::Unconfirmed { message } => return Err(ActError::Unread { message }),
        };
        if stored.reading.placement.as_ref() != replaces {
            return Err(changed(format!(
                "the placement of stream {stream} was changed meanwhile"
            )));
        }
        Ok(stored.config)
    }

    /// Sends a whole configuration and compares it with what was stored.
    pub(crate) async fn update(
        &self,
        right: Guard<'_>,
        stream: &StreamName,
        config: String,
    ) -> Result<(), ActError> {
        let subject = self.subject(&format!("STREAM.UPDATE.{stream}"));
        let answer = self
            .act(
                right,
                &subject,
                config.clone(),
                RequestedApi::Placement,
                UPDATE_LIMIT,
            )
            .await?;
        let stored = config_text(&subject, &answer)?;
        let fields = differences(&config, &stored).map_err(|error| malformed(&subject, error.to_string()))?;
        if fields.is_empty() {
            Ok(())
        } else {
            Err(ActError::StoredDifferently { fields })
        }
    }

    /// A stream as it is now, to complete an edit; `gone` is the error where it was deleted meanwhile.
    pub(crate) async fn stored_now(
        &self,
        stream: &StreamName,
        gone: ActError,
    ) -> Result<Box<StoredStream>, IncompleteReason> {
        match self.stored(stream).await {
            Ok(Stored::Here(stored)) => Ok(stored),
            Ok(Stored::Gone) => Err(IncompleteReason::Ended(gone)),
            Ok(Stored::Unconfirmed { message }) => {
                Err(IncompleteReason::Failed(ActError::Unread { message }))
            }
            Err(error) => Err(IncompleteReason::Failed(error)),
        }
    }

    /// Sends a configuration that completes an edit, even if the right to start it has ended.
    pub(crate) async fn complete_by(
        &self,
        stream: &StreamName,
        config: String,
    ) -> Result<(), IncompleteReason> {
        match self.update(&|| true, stream, config).await {
            Err(error @ ActError::StoredDifferently { fields: _ }) => Err(IncompleteReason::Ended(error)),
            result => result.map_err(IncompleteReason::Failed),
        }
    }

    /// Removes the stored placement and sets it again, in a task of its own.
    async fn repair(&self, permit: Permit, stream: &StreamName, config: String) -> Result<(), ActError> {
        let failed = |error: EditError| edit(stream, &error);
        let Some(placement) = stored_placement(&config).map_err(failed)? else {
            return Err(changed(format!("stream {stream} stores no placement")));
        };
        let repair = Repair {
            calls: self.clone(),
            stream: stream.clone(),
            placement: placement.to_owned(),
        };
        let bare = without_placement(&config).map_err(failed)?;
        let (sender, answer) = oneshot::channel();
        tokio::spawn(repair.run(permit, bare, sender));
        answer
            .await
            .unwrap_or_else(|_| Err(half_done("the repair was broken off")))
    }
}

/// A placement that is removed and set again.
struct Repair {
    calls: JetStreamApi,
    stream: StreamName,
    /// As the servers wrote it.
    placement: String,
}

/// Why an edit is not complete.
pub(crate) enum IncompleteReason {
    /// A retry is of no use.
    Ended(ActError),
    /// The step may be retried.
    Failed(ActError),
}

/// The pauses between retries, up to a limit.
pub(crate) struct RetryBackoff {
    deadline: Instant,
    pause: Duration,
}

impl RetryBackoff {
    pub(crate) fn for_at_most(limit: Duration) -> Self {
        Self {
            deadline: ahead(limit),
            pause: FIRST_PAUSE,
        }
    }

    /// Waits for the next retry; false when the time is over.
    pub(crate) async fn another(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        true
    }
}

impl Repair {
    async fn run(self, permit: Permit, bare: String, caller: oneshot::Sender<Result<(), ActError>>) {
        // If the caller went away before anything was sent, nothing is sent.
        let right = || !caller.is_closed() && permit.holds(Timestamp::now());
        // If this process ends, the placement can be found in its log.
        let (stream, placement) = (&self.stream, &self.placement);
        tracing::info!(%stream, placement, "the placement of a stream is removed to be set again");
        let removal = self.calls.update(&right, stream, bare).await;
        let result = match removal {
            Ok(()) => self.complete(true).await,
            Err(error) if error.may_have_acted() => {
                tracing::warn!(%stream, placement, %error, "a placement may have been removed");
                // The first update's result is unknown, so only its own error is correct.
                let stored = matches!(error, ActError::StoredDifferently { fields: _ });
                self.complete(stored).await.and(Err(error))
            }
            Err(error) => Err(error),
        };
        // A caller that went away needs no result.
        let _ = caller.send(result);
    }

    /// Sets the placement again; `removed` means that it was certainly removed.
    async fn complete(&self, removed: bool) -> Result<(), ActError> {
        let mut tries = RetryBackoff::for_at_most(COMPLETION_LIMIT);
        loop {
            let error = match self.set_again(removed).await {
                Ok(()) => return Ok(()),
                Err(IncompleteReason::Ended(error)) => return Err(error),
                Err(IncompleteReason::Failed(error)) => error,
            };
            let (stream, placement) = (&self.stream, &self.placement);
            tracing::warn!(%stream, placement, %error, "a removed placement is not set again yet");
            if !tries.another().await {
                tracing::error!(
                    %stream, placement, %error,
                    "a stream has lost its placement: it was removed and could not be set again; set it by hand"
                );
                return Err(half_done(&error.to_string()));
            }
        }
    }

    async fn set_again(&self, removed: bool) -> Result<(), IncompleteReason> {
        let gone = half_done("the stream was deleted meanwhile");
        let config = self.calls.stored_now(&self.stream, gone).await?.config;
        let step = next(&config, &self.placement, removed);
        match step.map_err(|error| IncompleteReason::Failed(edit(&self.stream, &error)))? {
            RepairStep::Set(config) => self.calls.complete_by(&self.stream, config).await,
            RepairStep::Nothing => Ok(()),
            RepairStep::Leave => Err(IncompleteReason::Ended(half_done(
                "somebody else set another one meanwhile",
            ))),
        }
    }
}

/// What is to be sent after the first update of a repair.
#[derive(Debug, PartialEq, Eq)]
enum RepairStep {
    /// Send this configuration.
    Set(String),
    /// The placement is there again.
    Nothing,
    /// Somebody else set another placement.
    Leave,
}

/// Chooses the second update from the configuration read after the first. An unanswered first update may still arrive:
/// a second one behind it, otherwise without effect, makes sure that the placement is set in the end.
fn next(config: &str, placement: &str, removed: bool) -> Result<RepairStep, EditError> {
    let same = |stored: &str| {
        let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
        value(stored) == value(placement)
    };
    Ok(match stored_placement(config)? {
        Some(stored) if !same(stored) => RepairStep::Leave,
        Some(_) if removed => RepairStep::Nothing,
        Some(_) | None => RepairStep::Set(with_stored(config, placement)?),
    })
}

/// After the first update of a repair an error counts as one that may have acted.
fn half_done(why: &str) -> ActError {
    ActError::StoredDifferently {
        fields: vec![format!("placement (removed to be set again: {why})")],
    }
}

pub(crate) fn edit(stream: &StreamName, error: &EditError) -> ActError {
    changed(format!("stream {stream}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEMENT: &str = r#"{"cluster":"eu","tags":["SSD"],"new":[1, 2]}"#;

    fn set(config: &str) -> RepairStep {
        RepairStep::Set(config.to_owned())
    }

    #[test]
    fn p7_a_repair_sets_the_placement_in_the_configuration_of_that_moment() {
        let meanwhile = r#"{"name":"A","max_age":7}"#;
        let wanted = format!(r#"{{"name":"A","max_age":7,"placement":{PLACEMENT}}}"#);
        for removed in [true, false] {
            assert_eq!(next(meanwhile, PLACEMENT, removed), Ok(set(&wanted)));
        }
        let null = r#"{"placement":null,"name":"A"}"#;
        let wanted = format!(r#"{{"placement":{PLACEMENT},"name":"A"}}"#);
        assert_eq!(next(null, PLACEMENT, true), Ok(set(&wanted)));
    }

    #[test]
    fn a_placement_that_another_set_meanwhile_stays() {
        let other = r#"{"name":"A","placement":{"cluster":"us"}}"#;
        for removed in [true, false] {
            assert_eq!(next(other, PLACEMENT, removed), Ok(RepairStep::Leave));
        }
    }

    #[test]
    fn a_removal_that_may_still_come_is_followed_by_an_update() {
        let still = format!(r#"{{"name":"A","placement":{PLACEMENT}}}"#);
        assert_eq!(next(&still, PLACEMENT, false), Ok(set(&still)));
        assert_eq!(next(&still, PLACEMENT, true), Ok(RepairStep::Nothing));
    }

    #[test]
    fn a_half_done_repair_may_have_acted() {
        let error = half_done("nobody answered");
        assert!(error.may_have_acted());
        assert!(error.to_string().contains("nobody answered"), "{error}");
    }
}
