//! Cancels a move that took too long, and reads back that the stream has its peers where they were.

use leeward_core::action::Action;
use leeward_core::names::ServerName;
use leeward_core::operation::{CANCEL_TIMEOUT, Outcome, ReadResult, after_cancel, left_to_the_servers};
use leeward_core::target::MoveTarget;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Stage, StepContext, unlike_sent};
use crate::ports::{Act, ActError, Clock};

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// `overdue` is the outcome so far; `peers_before` are the stream's peers from before the move.
    ///
    /// The servers that keep a move from completing may keep the meta group from a leader too, and elections lose
    /// requests. So it is repeated until it is taken; once the move is cancelled, that does nothing.
    pub(super) async fn cancel(
        self,
        action: &Action,
        target: &MoveTarget,
        peers_before: &[ServerName],
        overdue: Outcome,
    ) -> Outcome {
        let look = async || {
            let read_result = self.act.read(&action.asset).await;
            let read_result = read_result.unwrap_or(ReadResult::Unanswered);
            let means = |read_result: &ReadResult| after_cancel(target, peers_before, read_result, &overdue);
            match (means(&read_result), read_result) {
                (Some(_), ReadResult::Seen(reading)) => means(&self.confirmed(&action.asset, reading).await),
                (outcome, _) => outcome,
            }
        };
        let begun = Instant::now();
        let mut pace = Backoff::of_proof();
        // `Err` holds only errors that may have cancelled it.
        let mut answer = Ok(());
        loop {
            let permit = match self.authorizer.issue(self.clock.now()) {
                Ok(permit) => permit,
                Err(_) if answer.is_err() => break,
                Err(inhibited) => return left_to_the_servers(overdue, &inhibited.to_string()),
            };
            self.is_at(Stage::Cancelling);
            let Err(error) = self.act.cancel_move(permit, &action.asset.stream, target).await else {
                answer = Ok(());
                break;
            };
            if error.may_have_acted() {
                answer = Err(error.clone());
                if !error.is_passing() {
                    break;
                }
            }
            if let Some(outcome) = look().await {
                return outcome;
            }
            if error.is_passing() && begun.elapsed() < CANCEL_TIMEOUT {
                pace.rest().await;
            } else if answer.is_err() {
                break;
            } else {
                return left_to_the_servers(overdue, &error.to_string());
            }
        }
        let begun = Instant::now();
        let mut pace = Backoff::of_proof();
        let outcome = loop {
            pace.rest().await;
            if let Some(outcome) = look().await {
                break outcome;
            }
            if begun.elapsed() >= CANCEL_TIMEOUT {
                let waited = begun.elapsed().as_secs();
                let why = match &answer {
                    Ok(()) => format!("it was not back {waited} s after the cancel"),
                    Err(error) => format!("whether they cancelled it was not seen in {waited} s: {error}"),
                };
                break left_to_the_servers(overdue, &why);
            }
        };
        match answer {
            Err(error @ ActError::StoredDifferently { .. }) => unlike_sent(&error, outcome),
            Ok(()) | Err(_) => outcome,
        }
    }
}
