//! One policy at work, as the operator, `leeward run` and `leeward apply` have it: it starts from a status, takes
//! input, publishes its state, and ends with what the next one has to know.

use std::collections::BTreeSet;
use std::sync::Arc;

use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::names::AccountId;
use leeward_core::proposal::Proposal;
use tokio::sync::{mpsc, watch};

use crate::in_flight::OperationInFlight;
use crate::permit::Inhibited;
use crate::policy_event::PolicyEvent;
use crate::policy_state::PolicyState;
use crate::ports::{Act, Clock};
use crate::runner::{Runner, RunnerInput, Setup};

/// One policy at work.
#[derive(Debug)]
pub struct PolicyWorker {
    runner: Runner,
    input: RunnerInput,
    policy_state: watch::Receiver<Option<Arc<PolicyState>>>,
}

/// The status, if it is of this account; what was done in another one does not apply to it.
pub fn status_of_account<'a>(
    status: &'a PlacementPolicyStatus,
    account: &AccountId,
) -> Option<&'a PlacementPolicyStatus> {
    let of = status.account.as_ref()?;
    (of.id == account.as_str()).then_some(status)
}

impl PolicyWorker {
    /// Starts from the state in the status, if it is of this account. Each policy event arrives at the receiver once;
    /// the receiver may be dropped.
    pub fn start<A: Act, C: Clock + Clone>(
        mut setup: Setup<A, C>,
        input: RunnerInput,
    ) -> (Self, mpsc::Receiver<PolicyEvent>) {
        if status_of_account(&setup.past, &setup.account).is_none() {
            setup.past = PlacementPolicyStatus::default();
        }
        let (runner, policy_events) = Runner::start(setup, input.clone());
        let worker = Self {
            policy_state: runner.policy_state(),
            runner,
            input,
        };
        (worker, policy_events)
    }

    /// The input that it works by.
    pub fn input(&self) -> &RunnerInput {
        &self.input
    }

    /// Replaces the input where it differs; what inhibits acting takes effect at once, for permits already issued too.
    pub fn update(&mut self, input: RunnerInput) {
        if self.input != input {
            self.runner.update(input.clone());
            self.input = input;
        }
    }

    /// Inhibits acting at once, without waiting for anything else that a new input needs.
    pub fn inhibit(&mut self, reasons: BTreeSet<Inhibited>) {
        let mut input = self.input.clone();
        input.inhibited.extend(reasons);
        self.update(input);
    }

    /// Replaces what is approved.
    pub fn approve(&mut self, approved: Arc<Proposal>) {
        let approved = Some(approved);
        self.update(RunnerInput {
            approved,
            ..self.input.clone()
        });
    }

    /// The policy's state; `None` before the first round.
    pub fn policy_state(&self) -> Option<Arc<PolicyState>> {
        self.policy_state.borrow().clone()
    }

    /// The policy's state, for those that wait for a change.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<PolicyState>>> {
        self.runner.policy_state()
    }

    /// What is in flight, see [`Runner::underway`].
    pub fn underway(&self) -> watch::Receiver<Arc<[OperationInFlight]>> {
        self.runner.underway()
    }

    /// The state with this sequence, or a later one, is stored in the status.
    pub fn recorded(&self, sequence: u64) {
        self.runner.recorded(sequence);
    }

    /// Whether its loop ended although nobody asked it to, which only a defect does.
    pub fn broke_off(&self) -> bool {
        self.policy_state.has_changed().is_err()
    }

    /// Stops acting at once, and ends; returns the policy's last state.
    pub async fn end(self) -> Option<Arc<PolicyState>> {
        self.runner.shutdown().await;
        self.policy_state.borrow().clone()
    }
}

/// Keeps in a status what was done, for people and for the next worker. The conditions stay as they are; the next
/// worker judges them.
pub fn keep_what_was_done(status: &mut PlacementPolicyStatus, last: &PolicyState) {
    status.recent_actions.clone_from(&last.recent_actions);
    status.operations.clone_from(&last.operations);
    status.breaker.clone_from(&last.limits.breaker);
    status.memory = Some(last.memory.clone());
}

#[cfg(test)]
mod tests {
    use leeward_api::policy_status::Account;

    use super::*;

    #[test]
    fn what_was_done_in_another_account_is_not_taken_over() {
        let of = |id: Option<&str>| PlacementPolicyStatus {
            account: id.map(|id| Account {
                id: id.to_owned(),
                name: None,
            }),
            ..PlacementPolicyStatus::default()
        };
        let own = AccountId::from("A");
        assert!(status_of_account(&of(Some("A")), &own).is_some());
        assert!(status_of_account(&of(Some("B")), &own).is_none());
        assert!(status_of_account(&of(None), &own).is_none());
    }
}
