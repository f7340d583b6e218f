//! Looks at consumers until they resume after their leader changed.

use leeward_core::names::{AssetName, ConsumerName, ServerName, StreamName};
use leeward_core::operation::{Progress, ReadResult, ResumeCheck, ResumeResult};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Stage, StepContext};
use crate::ports::{Act, Clock};

/// Consumers as they were right before a move.
pub(super) type Baseline = Vec<(ConsumerName, Progress)>;

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// Looks at a consumer whose new leader was just seen until it is known whether it resumes.
    pub(super) async fn prove(
        self,
        asset: &AssetName,
        home: &[ServerName],
        before: &Progress,
    ) -> ResumeResult {
        let Some(mut proof) = ResumeCheck::of(before) else {
            return ResumeResult::Resumed;
        };
        self.is_at(Stage::Verifying);
        let mut pace = Backoff::of_proof();
        let begun = Instant::now();
        loop {
            let read_result = self.act.read(asset).await.ok();
            // On a copy: an unconfirmed look must not affect the next.
            let read_result = match (
                proof.clone().look(read_result.as_ref(), home, begun.elapsed()),
                read_result,
            ) {
                (ResumeResult::NotYet, read_result) => read_result,
                (_, Some(ReadResult::Seen(reading))) => Some(self.confirmed(asset, reading).await),
                (_, read_result) => read_result,
            };
            match proof.look(read_result.as_ref(), home, begun.elapsed()) {
                ResumeResult::NotYet => pace.rest().await,
                proven => return proven,
            }
        }
    }

    /// The same of all consumers of a stream that moved.
    pub(super) async fn prove_all(
        self,
        stream: &StreamName,
        home: &[ServerName],
        baseline: &Baseline,
    ) -> Vec<(ConsumerName, ResumeResult)> {
        let one = |(name, before): &(ConsumerName, Progress)| {
            let (name, before) = (name.clone(), before.clone());
            async move {
                let asset = AssetName::consumer(stream.clone(), name.clone());
                let proven = self.prove(&asset, home, &before).await;
                (name, proven)
            }
        };
        futures::future::join_all(baseline.iter().map(one)).await
    }

    /// Reads the consumers that have to resume after a move. One that does not answer now is not watched: its state
    /// before is unknown.
    pub(super) async fn baseline(self, stream: &StreamName, consumers: &[ConsumerName]) -> Baseline {
        let one = |name: &ConsumerName| {
            let name = name.clone();
            async move {
                let asset = AssetName::consumer(stream.clone(), name.clone());
                match self.act.read(&asset).await {
                    Ok(ReadResult::Seen(reading)) => Some((name, reading.progress?)),
                    Ok(ReadResult::Gone | ReadResult::Unanswered) | Err(_) => None,
                }
            }
        };
        let read = futures::future::join_all(consumers.iter().map(one)).await;
        read.into_iter().flatten().collect()
    }
}
