//! The reconciler of `PlacementPolicy`: dereference → validate → run → publish. Each step is its own module.
//!
//! One entry per policy holds its connection and its runner. A reconcile brings the entry to what the policy asks for;
//! without an answer from the Kubernetes API, what runs continues with what was known.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod allowed;
mod claims;
mod dereference;
mod entry;
mod findings;
mod leader_only;
mod lease_epoch;
mod link;
mod owner_edits;
mod plans;
mod run;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Resource as _;
use kube::core::error_boundary::InvalidObject;
use leeward_api::PlacementPolicy;
use leeward_api::policy::Mode;
use leeward_api::vocabulary::{AcceptedReason, EventReason, ObservedReason};
use leeward_engine::condition::{Conditions, ReasonMessage};
use leeward_engine::permit::Inhibited;
use leeward_engine::precedence::{accepted, inhibited, switched_off};
use leeward_engine::runner::{RunnerInput, stale_after};
use leeward_engine::status::{Observation, PolicyStatusInput, build, same};
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cluster::ClusterError;
use crate::error::chain;
use crate::events::EventNote;
use crate::key::Key;
use crate::objects::Guarded;
use crate::registry::Registry;
use crate::shared::{Shared, system_of};
use crate::watch::Reconcile;
use claims::{Claim, Claims, Precedence, claim, rank};
use dereference::dereference;
use entry::RunningPolicy;
use findings::{Findings, findings};
use link::{AccountLink, account_status};
use run::{PolicyRun, Start};
use validate::{Refs, accept};

pub use dereference::{SystemResolution, gather};
pub use plans::PlanChanges;
pub use validate::{Unresolved, judge, secret_problem};

/// Something is missing: look again this soon.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// Nothing but a change of the object can help.
const RESYNC: Duration = Duration::from_hours(1);
/// At the end, what was done last may still be written for this long.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// All policies.
#[derive(Debug)]
pub struct Policies {
    shared: Shared,
    claims: Claims,
    entries: Registry<RunningPolicy>,
}

impl Reconcile<PlacementPolicy> for Policies {
    async fn reconcile(&self, object: &Guarded<PlacementPolicy>) -> Result<Duration, ClusterError> {
        let key = Key::of(object);
        if object.meta().deletion_timestamp.is_some() {
            self.end(&key).await;
            return Ok(RESYNC);
        }
        match &object.0 {
            Ok(policy) => Box::pin(self.follow(&key, policy)).await,
            Err(invalid) => self.refuse(&key, invalid).await,
        }
    }

    async fn sweep(&self) {
        let gone = self.entries.take_unless(|key| self.shared.policies.has(key));
        join_all(gone.into_iter().map(|(key, entry)| self.remove(key, entry))).await;
    }
}

impl Policies {
    /// No policy runs yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            claims: Claims::default(),
            entries: Registry::default(),
        }
    }

    /// Ends everything: nothing acts from now on, and what was done last is written if that is quick.
    pub async fn shutdown(&self) {
        let entries = self.entries.close();
        join_all(entries.into_iter().map(|(key, entry)| self.part(key, entry))).await;
    }

    async fn follow(&self, key: &Key, policy: &PlacementPolicy) -> Result<Duration, ClusterError> {
        let uid = policy.metadata.uid.clone().unwrap_or_default();
        let mut entry = match self.entries.take(key) {
            Some(entry) if entry.uid == uid => entry,
            Some(stranger) => {
                self.remove(key.clone(), stranger).await;
                RunningPolicy::new(policy)
            }
            None => {
                self.shared.system_queue.enqueue(system_of(policy));
                RunningPolicy::new(policy)
            }
        };
        self.follow_reference(key, policy, &mut entry).await;
        self.apply_suspend(key, policy, &mut entry).await;
        let entered = self.enter(key, policy, &mut entry).await;
        let policy = match &entered {
            Ok(Some(read)) => &**read,
            Ok(None) | Err(_) => policy,
        };
        if self.is_leaving(policy, &entry) {
            let left = self.leave(key, &mut entry).await;
            self.put_back(key, entry).await;
            return left.map(|()| RETRY_SOON);
        }
        let planned = Box::pin(self.follow_plans(key, policy, &mut entry)).await;
        let findings = self.reconcile_refs(key, policy, &mut entry).await;
        let written = self.publish(key, policy, &mut entry, &findings).await;
        let runs = entry.policy_state().is_some() || !self.is_in_epoch(policy, &entry);
        let wait = if runs && findings.resolved.holds() && !findings.undecided {
            findings.interval
        } else {
            findings.interval.min(RETRY_SOON)
        };
        self.put_back(key, entry).await;
        entered?;
        planned?;
        written.map(|()| wait)
    }

    /// What the objects themselves forbid takes effect before any slow read (P8); so does a reference to another system
    /// or user.
    async fn apply_suspend(&self, key: &Key, policy: &PlacementPolicy, entry: &mut RunningPolicy) {
        let may_run = self.may_run(policy, entry);
        if entry.run.as_ref().is_some_and(|run| run.worker.broke_off()) {
            self.halt(key, entry).await;
            entry.broke_off();
        }
        let Some(run) = entry.run.as_mut() else {
            return;
        };
        if run.is_for_other_references(&policy.spec) {
            self.halt(key, entry).await;
            entry.link = None;
            return;
        }
        let system = self.shared.handles.get(&system_of(policy));
        let mut reasons = switched_off(&policy.spec, system.is_some_and(|system| system.suspended));
        if !may_run {
            reasons.insert(Inhibited::NotActive);
        }
        run.worker.inhibit(reasons);
        entry.limit_to_plans(policy);
    }

    /// The entry may have been out of the registry when the sweep ran after a deletion, so check again.
    async fn put_back(&self, key: &Key, entry: RunningPolicy) {
        if let Err(entry) = self.entries.put(key.clone(), entry) {
            Box::pin(self.part(key.clone(), entry)).await;
        } else if !self.shared.policies.has(key) {
            Box::pin(self.end(key)).await;
        }
    }

    /// Brings the entry to what the policy asks for.
    async fn reconcile_refs(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) -> Findings {
        let facts = dereference(&self.shared, policy).await;
        let accepted = accept(policy);
        let refs = judge(policy, &facts);
        self.connect(key, entry, &refs).await;
        if let SystemResolution::Known(handle) = &facts.system.1 {
            entry.system = Some(handle.clone());
        }
        let mut findings = findings(&facts, &refs);
        let resolved = match accepted {
            Ok(resolved) => resolved,
            Err(verdict) => {
                self.halt(key, entry).await;
                findings.blind = ReasonMessage::new(ObservedReason::WarmingUp, "the policy is not accepted");
                findings.accepted = verdict;
                self.mark_without_claim(key);
                return findings;
            }
        };
        match entry.link.as_ref().map(AccountLink::account) {
            None => self.halt(key, entry).await,
            Some(Err(unresolved)) => {
                self.halt(key, entry).await;
                findings.take(unresolved);
            }
            Some(Ok(account)) => {
                if entry.run.as_ref().is_some_and(|run| run.account != account.id) {
                    self.halt(key, entry).await;
                }
                entry.account = Some(account_status(&account));
                if let Some(link) = &mut entry.link {
                    link.keep_observed(&account);
                }
                if self.may_run(policy, entry) && Self::is_system_in_epoch(entry) {
                    let mut claim = claim(policy, &facts.system.0, account.id, resolved);
                    if entry.link.as_ref().is_some_and(AccountLink::is_tenant_mode) {
                        let key = policy.spec.credentials_ref.key.clone();
                        claim.unconfirmed = Some((facts.secret.0.clone(), key));
                    }
                    self.run(key, policy, entry, &claim, &mut findings);
                } else {
                    self.stop_runner(key, entry).await;
                }
            }
        }
        let link = entry.link.as_ref();
        let without_account = link.is_some_and(AccountLink::is_long_without_account);
        if findings.resolved.holds() && !without_account {
            self.claims.forget(key);
        } else {
            self.mark_without_claim(key);
        }
        findings
    }

    /// Enqueues the policies that wait for this policy's claim.
    fn mark_without_claim(&self, key: &Key) {
        if self.claims.mark_without_claim(key) {
            self.shared.policy_queue.enqueue_all(self.claims.take_waiting());
        }
    }

    /// Whether a policy of higher rank may still make a claim, which is not known right after a start.
    fn awaits_another(&self, claim: &Claim) -> bool {
        let mut awaits = !self.shared.policies.is_synced();
        self.shared.policies.each(|other| {
            awaits |= system_of(other) == claim.system
                && other.metadata.deletion_timestamp.is_none()
                && rank(other) < claim.rank
                && !self.claims.knows(&Key::of(other));
        });
        awaits
    }

    /// Opens the connection that the references ask for, and closes one that they no longer ask for.
    async fn connect(&self, key: &Key, entry: &mut RunningPolicy, refs: &Result<Refs, Unresolved>) {
        match refs {
            Ok(refs) => {
                let link = entry.link.as_ref();
                if link.is_some_and(|link| link.identity == refs.identity) {
                    return;
                }
                self.halt(key, entry).await;
                entry.link = Some(AccountLink::open(refs, key, &self.shared.policy_queue));
            }
            Err(Unresolved::Unknown(_)) => {}
            Err(Unresolved::Refs(_) | Unresolved::System(_)) => {
                self.halt(key, entry).await;
                entry.link = None;
            }
        }
    }

    /// Decides about precedence, and starts or updates the runner.
    fn run(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
        claim: &Claim,
        findings: &mut Findings,
    ) {
        let (Some(link), Some(system)) = (&entry.link, &entry.system) else {
            return;
        };
        let (account, resolved) = (claim.account.clone(), claim.policy.clone());
        let first = !self.claims.knows(key);
        self.shared.policy_queue.enqueue_all(self.claims.add(key, claim));
        if first {
            self.shared.policy_queue.enqueue_all(self.claims.take_waiting());
        }
        let precedence = {
            let view = link.observe.watch(&account).borrow().clone();
            match self.claims.decide(key, &view) {
                Precedence::Free if self.awaits_another(claim) => {
                    self.claims.wait(key);
                    Precedence::Undecided
                }
                decided => decided,
            }
        };
        findings.undecided = precedence == Precedence::Undecided;
        findings.accepted = accepted(&precedence);
        self.report_conflict(policy, &mut entry.outranked_by, &precedence, &findings.accepted);
        let input = RunnerInput {
            policy: resolved,
            generation: policy.metadata.generation.unwrap_or_default(),
            inhibited: inhibited(&policy.spec, system.suspended, &precedence),
            owners: Arc::new(self.shared.owners.borrow().seen_from(&key.namespace)),
            stale_after: stale_after(system.interval),
            // A policy that enforces asks nobody.
            approved: (policy.spec.mode == Mode::Propose).then(|| entry.plans.may_begin(&account)),
        };
        if let Some(run) = &mut entry.run {
            run.update(&policy.spec, input);
            return;
        }
        if entry.restart.remaining(Instant::now()).is_some() {
            let text = "the policy's loop broke off, a defect of Leeward (see its log), and begins anew soon";
            findings.blind = ReasonMessage::new(ObservedReason::WarmingUp, text);
            return;
        }
        let leadership = self.shared.leadership_of(&claim.system);
        let grant = entry.lease_epoch.and_then(|epoch| leadership.grant(epoch));
        let Some((acts, pending)) = grant else { return };
        info!(policy = %key, %account, "policy starts");
        let start = Start {
            key,
            object: policy.object_ref(&()),
            spec: &policy.spec,
            account,
            past: &entry.status,
            system,
            link,
            cluster: self.shared.cluster.clone(),
            metrics: self.shared.metrics.clone(),
            reconcile_queue: &self.shared.policy_queue,
            events: self.shared.events.clone(),
            acts,
            leadership: leadership.clone(),
        };
        entry.pending = Some(pending);
        entry.run = Some(PolicyRun::start(start, input));
    }

    fn report_conflict(
        &self,
        policy: &PlacementPolicy,
        reported: &mut Option<Key>,
        precedence: &Precedence,
        accepted: &ReasonMessage<AcceptedReason>,
    ) {
        let winner = precedence.outranked_by();
        if let Some(by) = winner
            && reported.as_ref() != winner
        {
            let event = EventNote {
                reason: EventReason::PolicyConflicted,
                note: accepted.message.clone(),
                subject: format!("PlacementPolicy {by}"),
            };
            self.shared.events.publish(&policy.object_ref(&()), event);
        }
        *reported = winner.cloned();
    }

    /// Ends the runner; it acts no more from now on.
    async fn halt(&self, key: &Key, entry: &mut RunningPolicy) {
        self.shared.policy_queue.enqueue_all(self.claims.withdraw(key));
        if let Some(run) = entry.run.take() {
            info!(policy = %key, "policy stops");
            entry.remember(run.end().await.as_deref());
        }
    }

    /// Writes the status if it has changed and this replica is the leader.
    async fn publish(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
        findings: &Findings,
    ) -> Result<(), ClusterError> {
        if !self.is_in_epoch(policy, entry) {
            self.shared.gauges.forget_policy(key);
            Self::drop_status(key, entry);
            return Ok(());
        }
        if self.is_leaving(policy, entry) {
            return self.leave(key, entry).await;
        }
        let policy_state = entry.policy_state();
        let proposes = policy.spec.mode == Mode::Propose;
        let status_input = PolicyStatusInput {
            generation: policy.metadata.generation,
            spec: &policy.spec,
            accepted: findings.accepted.clone(),
            resolved: findings.resolved.clone(),
            account: entry.account.clone(),
            observation: match &policy_state {
                Some(policy_state) => Observation::State(policy_state),
                None => Observation::Unavailable(findings.blind.clone()),
            },
            lost: entry.link.as_ref().and_then(AccountLink::lost),
            approval: proposes.then(|| entry.plans.status(&key.name)).flatten(),
        };
        let status = build(&entry.status, &status_input, Timestamp::now());
        self.shared.gauges.set_conditions(key, &status.conditions);
        if same(&entry.written, &status) {
            entry.recorded(policy_state.as_deref());
            return Ok(());
        }
        entry.status = status;
        let system = system_of(policy);
        let stored = self
            .shared
            .store_status::<PlacementPolicy>(&system, key, &entry.status);
        if stored.await? {
            entry.written.clone_from(&entry.status);
            entry.recorded(policy_state.as_deref());
        }
        Ok(())
    }

    /// Ends what runs for an unreadable object, and reports it in its status, which otherwise stays.
    async fn refuse(&self, key: &Key, invalid: &InvalidObject) -> Result<Duration, ClusterError> {
        warn!(policy = %key, error = %invalid.error, "the policy cannot be read");
        self.end(key).await;
        let message = format!("the object cannot be read, correct it: {}", invalid.error);
        let verdict = ReasonMessage::new(AcceptedReason::Invalid, message);
        let generation = invalid.metadata.generation;
        let mut conditions = Conditions::new(&[], generation, Timestamp::now());
        conditions.add("Accepted", &verdict);
        conditions.add("Ready", &verdict);
        let status = json!({"observedGeneration": generation, "conditions": conditions.finish()});
        let cluster = &self.shared.cluster;
        let write = cluster.merge_status::<PlacementPolicy>(key, &status);
        // The system that it refers to cannot be read: its own key decides the leader.
        match self.shared.leadership_of(key).while_held(write).await {
            Some(Ok(()) | Err(ClusterError::Missing { .. })) | None => Ok(RESYNC),
            Some(Err(error)) => Err(error),
        }
    }

    async fn end(&self, key: &Key) {
        if let Some(entry) = self.entries.take(key) {
            self.remove(key.clone(), entry).await;
        }
    }

    /// Ends what runs for an object that is gone.
    async fn remove(&self, key: Key, mut entry: RunningPolicy) {
        self.halt(&key, &mut entry).await;
        self.claims.forget(&key);
        self.shared.metrics.forget(&run::labels(&key));
        self.shared.gauges.forget_policy(&key);
        if let Some(system) = entry.system_key() {
            self.shared.system_queue.enqueue(system);
        }
    }

    /// Ends what runs because this process ends.
    async fn part(&self, key: Key, mut entry: RunningPolicy) {
        self.halt(&key, &mut entry).await;
        match tokio::time::timeout(FLUSH_TIMEOUT, self.flush_status(&key, &mut entry)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(policy = %key, error = %chain(&error), "last status not written"),
            Err(_) => warn!(policy = %key, "last status not written in time"),
        }
    }
}
