//! An operation is written into the policy's status before its first request, so that a kill at any instant forgets no
//! limit (P10).
//!
//! The writer of the status publishes the sequence that is stored; the operation waits here until its own is. What is
//! written, and how, is up to the writer.

use std::time::Duration;

use tokio::sync::watch;

/// After this long the status counts as unreachable, and the operation is abandoned.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until an operation is recorded.
#[derive(Debug)]
pub struct Recorded(Option<(u64, watch::Receiver<u64>)>);

/// The operation was not recorded in time, so it may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it could not be written to the policy's status first")]
pub struct NotRecorded;

impl Recorded {
    /// Nothing is written: the loop runs without a status.
    pub fn not_needed() -> Self {
        Self(None)
    }

    /// It is recorded once `written` has reached `sequence`.
    pub fn once(sequence: u64, written: watch::Receiver<u64>) -> Self {
        Self(Some((sequence, written)))
    }

    /// Returns once it is recorded; at once, if it already is.
    pub async fn wait(&mut self) -> Result<(), NotRecorded> {
        let Some((sequence, written)) = &mut self.0 else {
            return Ok(());
        };
        let reached = written.wait_for(|count| count >= sequence);
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotRecorded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_written_nothing_is_waited_for() {
        assert_eq!(Recorded::not_needed().wait().await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_waits_until_its_own_number_is_written() {
        let written = watch::Sender::new(6);
        let mut recorded = Recorded::once(8, written.subscribe());
        let writer = async {
            for count in [7, 9] {
                tokio::time::sleep(Duration::from_secs(3)).await;
                written.send_replace(count);
            }
        };
        let begun = tokio::time::Instant::now();
        let (waited, ()) = tokio::join!(recorded.wait(), writer);
        assert_eq!(waited, Ok(()));
        assert_eq!(begun.elapsed(), Duration::from_secs(6));
        drop(written);
        assert_eq!(recorded.wait().await, Ok(()), "what is written stays written");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_when_nobody_writes() {
        let written = watch::Sender::new(0);
        let mut late = Recorded::once(1, written.subscribe());
        assert_eq!(late.wait().await, Err(NotRecorded));
        let mut abandoned = Recorded::once(1, written.subscribe());
        drop(written);
        let begun = tokio::time::Instant::now();
        assert_eq!(abandoned.wait().await, Err(NotRecorded));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
