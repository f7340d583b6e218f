//! One shard that this member holds: its Lease is renewed until the member releases it or another replica holds it.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::leadership::{LeaderHandle, Leadership, LeaseEpoch};
use crate::lease_handle::LeaseHandle;
use crate::store::LeaseError;

/// A shard to be acquired and renewed.
pub struct Shard {
    lease: LeaseHandle,
    membership: Leadership,
    /// The epoch of the membership in which the shard was last renewed.
    renewed_in: Option<LeaseEpoch>,
}

impl Shard {
    /// The shard of this Lease, which is held only while this process is a member.
    pub fn new(lease: LeaseHandle, membership: Leadership) -> Self {
        Self {
            lease,
            membership,
            renewed_in: None,
        }
    }

    /// Renews the Lease until another replica holds it, or until `leave` is cancelled and it is released.
    pub async fn run(mut self, leave: CancellationToken) -> LeaderHandle {
        let mut next = Instant::now();
        loop {
            // In order, so that nothing depends on chance; leaving comes first.
            tokio::select! {
                biased;
                () = leave.cancelled() => {
                    self.lease.release().await;
                    break;
                }
                () = sleep_until(next) => match self.step().await {
                    Some(due) => next = due,
                    None => break,
                },
                () = self.membership.changed() => next = Instant::now(),
            }
        }
        self.lease.into_leader_handle()
    }

    /// One attempt; returns when the next one is due, or `None` if another replica holds the shard.
    async fn step(&mut self) -> Option<Instant> {
        let began = Instant::now();
        let (outcome, continues) = match self.attempt().await {
            Ok(continues) => (Ok(()), continues),
            Err(error) => (Err(error), true),
        };
        let due = self.lease.finish_attempt(began, outcome);
        continues.then_some(due)
    }

    /// Whether the shard is still this member's to renew.
    async fn attempt(&mut self) -> Result<bool, LeaseError> {
        // Without its member's Lease this process may be unknown to the others.
        let Some(membership_epoch) = self.membership.lease_epoch() else {
            self.lease.lose();
            return Ok(true);
        };
        if !self.lease.is_known() {
            self.lease.read().await?;
        }
        let Some(sent) = self.lease.acquire_or_renew().await? else {
            return Ok(false);
        };
        if self.membership.lease_epoch() == Some(membership_epoch)
            && let Some(end) = self.membership.expires_at()
        {
            let until = sent + self.lease.candidate().timing.renew_deadline;
            let is_new_epoch = self.renewed_in.replace(membership_epoch) != Some(membership_epoch);
            self.lease.extend(until.min(end), is_new_epoch);
        }
        Ok(true)
    }
}
