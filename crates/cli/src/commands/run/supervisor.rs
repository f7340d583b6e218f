//! Runs all policies of the files: each with its runner, input and status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_all};
use jiff::Timestamp;
use leeward_api::policy_status::{Account, PlacementPolicyStatus};
use leeward_api::vocabulary::ObservedReason;
use leeward_core::policy::Policy;
use leeward_core::snapshot::AccountView;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::policy_state::PolicyState;
use leeward_engine::policy_worker::{PolicyWorker, keep_what_was_done};
use leeward_engine::precedence::{Precedence, accepted, inhibited};
use leeward_engine::runner::{RunnerInput, stale_after};
use leeward_engine::status::{Observation, PolicyStatusInput, build, same};
use leeward_engine::supervise::RestartBackoff;
use leeward_nats::ConnectionState;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::status_file::{PolicyName, StatusFile};
use super::status_input::{conditions, lost, precedence, resolved};
use crate::commands::drive::{self, StartedFrom, SystemContext};
use crate::loaded_policy::name_of;
use crate::loaded_policy::{LoadedPolicy, SystemRules};
use crate::look::Session;

/// All policies, the first in rank first.
pub(super) struct Supervisor<'a> {
    session: &'a Session,
    common: SystemContext,
    interval: Duration,
    suspended: bool,
    record: Option<StatusFile>,
    members: Vec<SupervisedPolicy>,
    view: watch::Receiver<Arc<AccountView>>,
    state: watch::Receiver<ConnectionState>,
}

/// One policy.
struct SupervisedPolicy {
    key: PolicyName,
    loaded: LoadedPolicy,
    policy: Arc<Policy>,
    generation: i64,
    precedence: Precedence<String>,
    input: RunnerInput,
    worker: Option<PolicyWorker>,
    restart: RestartBackoff,
    policy_state: watch::Receiver<Option<Arc<PolicyState>>>,
    status: PlacementPolicyStatus,
    /// As it is in the file.
    written: Option<PlacementPolicyStatus>,
    reported: String,
}

/// Returns when one of them has changed or ended.
async fn any_changed<'r, T: 'r>(receivers: impl Iterator<Item = &'r mut watch::Receiver<T>>) {
    let changes: Vec<_> = receivers.map(|receiver| Box::pin(receiver.changed())).collect();
    if changes.is_empty() {
        std::future::pending::<()>().await;
    }
    let (_, _, _) = select_all(changes).await;
}

fn account_of(session: &Session) -> Account {
    Account {
        id: session.account.id.to_string(),
        name: Some(session.account.name.clone()),
    }
}

fn key(loaded: &LoadedPolicy) -> PolicyName {
    PolicyName {
        namespace: loaded.namespace.clone(),
        name: loaded.name.clone(),
    }
}

impl<'a> Supervisor<'a> {
    /// Starts all policies from their status in the file.
    pub(super) fn new(
        session: &'a Session,
        interval: Duration,
        record: Option<StatusFile>,
        policies: Vec<LoadedPolicy>,
        rules: SystemRules,
    ) -> anyhow::Result<Self> {
        if let Some(record) = &record {
            let keys: Vec<PolicyName> = policies.iter().map(key).collect();
            record.must_be_about(&keys, session.account.id.as_str())?;
        }
        let mut supervisor = Self {
            session,
            common: SystemContext::new(rules),
            interval,
            suspended: rules.suspended,
            record,
            members: Vec::new(),
            view: session.observe.watch(&session.account.id),
            state: session.client.state(),
        };
        for loaded in policies {
            let member = supervisor.member(loaded);
            supervisor.members.push(member);
        }
        Ok(supervisor)
    }

    /// Starts a policy; [`Supervisor::update_precedence`] decides whether it has precedence.
    fn member(&self, loaded: LoadedPolicy) -> SupervisedPolicy {
        let key = key(&loaded);
        let written = self.record.as_ref().and_then(|record| record.past(&key)).cloned();
        let mut status = written.clone().unwrap_or_default();
        // The file is known to be about this account.
        status.account.get_or_insert_with(|| account_of(self.session));
        let policy = Arc::new(loaded.policy.clone());
        let generation = status.observed_generation.unwrap_or(1);
        // Precedence is unknown until all are there.
        let precedence = Precedence::Undecided;
        let input = RunnerInput {
            policy: Arc::clone(&policy),
            generation,
            stale_after: stale_after(self.interval),
            owners: Arc::new(loaded.owners.clone()),
            inhibited: inhibited(&loaded.spec, self.suspended, &precedence),
            approved: None,
        };
        let records = self.record.is_some();
        // The engine logs its own events.
        let (worker, _) = drive::start(
            self.session,
            &self.common,
            &loaded,
            StartedFrom::status(&status),
            records,
            input.clone(),
        );
        info!(policy = %key, mode = %loaded.spec.mode, "policy starts");
        SupervisedPolicy {
            policy_state: worker.watch(),
            key,
            loaded,
            policy,
            generation,
            precedence,
            input,
            worker: Some(worker),
            restart: RestartBackoff::default(),
            status,
            written,
            reported: String::new(),
        }
    }

    /// Decides about precedence, and updates what each policy may do.
    pub(super) fn update_precedence(&mut self) {
        let view = self.view.borrow().clone();
        let ranked: Vec<(String, &Policy)> = self
            .members
            .iter()
            .map(|member| (name_of(&member.loaded), &*member.policy))
            .collect();
        let decided = precedence(&view, &ranked);
        for (member, precedence) in self.members.iter_mut().zip(decided) {
            member.precedence = precedence;
            let inhibited = inhibited(&member.loaded.spec, self.suspended, &member.precedence);
            if member.input.inhibited != inhibited {
                member.input.inhibited = inhibited;
                member.update();
            }
        }
    }

    /// Writes the status of policies where it changed; returns whether everything is written.
    pub(super) fn record(&mut self) -> bool {
        let state = self.state.borrow().clone();
        let account = account_of(self.session);
        let mut policy_states = Vec::new();
        for member in &mut self.members {
            let policy_state = member.policy_state.borrow_and_update().clone();
            member.update_status(policy_state.as_deref(), &state, &account);
            policy_states.push(policy_state);
        }
        let written = self.write();
        for (member, policy_state) in self.members.iter().zip(policy_states) {
            if let (true, Some(policy_state), Some(worker)) =
                (member.is_written(), policy_state, &member.worker)
            {
                worker.recorded(policy_state.sequence);
            }
        }
        written
    }

    fn write(&mut self) -> bool {
        let Some(record) = &mut self.record else {
            return true;
        };
        let news: BTreeMap<PolicyName, PlacementPolicyStatus> = self
            .members
            .iter()
            .filter(|member| !member.is_written())
            .map(|member| (member.key.clone(), member.status.clone()))
            .collect();
        if news.is_empty() {
            return true;
        }
        if let Err(error) = record.write(news) {
            error!(error = format!("{error:#}"), "status not written");
            return false;
        }
        for member in &mut self.members {
            if !member.is_written() {
                member.written = Some(member.status.clone());
            }
        }
        true
    }

    /// Restarts, after a pause, the loops that ended by themselves, which only a defect causes. Returns the pause until
    /// the next restart.
    pub(super) async fn restart_failed(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let records = self.record.is_some();
        let mut rest = None;
        for member in &mut self.members {
            if member.worker.as_ref().is_some_and(PolicyWorker::broke_off) {
                error!(policy = %member.key, "the policy's loop broke off, a defect of Leeward, and begins anew");
                member.stop().await;
                member.restart.begin(now);
            }
            if member.worker.is_some() {
                continue;
            }
            match member.restart.remaining(now) {
                Some(remaining) => rest = rest.min(Some(remaining)).or(Some(remaining)),
                None => member.restart(self.session, &self.common, records),
            }
        }
        rest
    }

    /// Returns when a policy's state changes, or its loop ended.
    pub(super) async fn changed(&mut self) {
        let running = self.members.iter_mut().filter(|member| member.worker.is_some());
        let policy_states = running.map(|member| &mut member.policy_state);
        any_changed(policy_states).await;
    }

    /// Continues with these policies: removed ones end, changed ones are updated.
    pub(super) async fn replace(&mut self, policies: Vec<LoadedPolicy>, rules: SystemRules) {
        self.common.set_rules(rules);
        self.suspended = rules.suspended;
        let wanted: BTreeSet<PolicyName> = policies.iter().map(key).collect();
        // Removed ones stop acting before others begin.
        let gone = self
            .members
            .iter_mut()
            .filter(|member| !wanted.contains(&member.key));
        join_all(gone.map(SupervisedPolicy::stop)).await;
        self.write();
        let mut before: BTreeMap<PolicyName, SupervisedPolicy> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|member| (member.key.clone(), member))
            .collect();
        for loaded in policies {
            let member = match before.remove(&key(&loaded)) {
                Some(mut member) => {
                    member.follow(loaded, self.suspended);
                    member
                }
                None => self.member(loaded),
            };
            self.members.push(member);
        }
        info!(policies = self.members.len(), "the policy files were read anew");
    }

    /// Stops acting, and writes the last status of every policy.
    pub(super) async fn end(mut self) {
        join_all(self.members.iter_mut().map(SupervisedPolicy::stop)).await;
        self.write();
    }
}

impl SupervisedPolicy {
    /// Updates the status from the state.
    fn update_status(
        &mut self,
        policy_state: Option<&PolicyState>,
        state: &ConnectionState,
        account: &Account,
    ) {
        let status_input = PolicyStatusInput {
            generation: Some(self.generation),
            spec: &self.loaded.spec,
            accepted: accepted(&self.precedence),
            resolved: resolved(state),
            account: Some(account.clone()),
            observation: match policy_state {
                Some(policy_state) => Observation::State(policy_state),
                None => Observation::Unavailable(ReasonMessage::new(
                    ObservedReason::WarmingUp,
                    "the first look is under way",
                )),
            },
            lost: lost(state),
            approval: None,
        };
        self.status = build(&self.status, &status_input, Timestamp::now());
        let conditions = conditions(&self.status);
        if conditions != self.reported {
            let in_place = self.status.in_place.as_deref();
            let home = self.status.home.as_ref().map(|home| home.location.as_str());
            info!(policy = %self.key, home, in_place, %conditions, "policy status");
            self.reported = conditions;
        }
    }

    fn is_written(&self) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|written| same(written, &self.status))
    }

    /// Applies what the files have now.
    fn follow(&mut self, loaded: LoadedPolicy, suspended: bool) {
        if loaded.spec != self.loaded.spec {
            self.generation += 1;
            self.policy = Arc::new(loaded.policy.clone());
            info!(policy = %self.key, mode = %loaded.spec.mode, "policy changed");
        }
        self.loaded = loaded;
        self.precedence = Precedence::Undecided;
        self.input = RunnerInput {
            policy: Arc::clone(&self.policy),
            generation: self.generation,
            inhibited: inhibited(&self.loaded.spec, suspended, &self.precedence),
            ..self.input.clone()
        };
        self.update();
    }

    /// Another loop, from the last status.
    fn restart(&mut self, session: &Session, common: &SystemContext, records: bool) {
        let (input, from) = (self.input.clone(), StartedFrom::status(&self.status));
        let (worker, _) = drive::start(session, common, &self.loaded, from, records, input);
        self.policy_state = worker.watch();
        self.worker = Some(worker);
    }

    fn update(&mut self) {
        if let Some(worker) = &mut self.worker {
            worker.update(self.input.clone());
        }
    }

    /// Stops acting. What was done is kept; the conditions stay as they are for the next start to judge.
    async fn stop(&mut self) {
        let Some(worker) = self.worker.take() else {
            return;
        };
        info!(policy = %self.key, "policy stops");
        if let Some(last) = worker.end().await.as_deref() {
            keep_what_was_done(&mut self.status, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn news_of_any_policy_and_the_end_of_its_loop_are_heard() {
        let (first, receiver) = watch::channel(0);
        let (second, other) = watch::channel(0);
        let mut receivers = [receiver, other];
        let limit = Duration::from_mins(1);
        let silent = tokio::time::timeout(limit, any_changed(receivers.iter_mut()));
        assert!(silent.await.is_err());
        second.send_replace(1);
        let heard = tokio::time::timeout(limit, any_changed(receivers.iter_mut()));
        assert!(heard.await.is_ok());
        receivers[1].borrow_and_update();
        let has_ended = |receiver: &watch::Receiver<i32>| receiver.has_changed().is_err();
        assert!(!receivers.iter().any(has_ended));
        drop(first);
        let heard = tokio::time::timeout(limit, any_changed(receivers.iter_mut()));
        assert!(heard.await.is_ok());
        assert_eq!(receivers.each_ref().map(has_ended), [true, false]);
    }
}
