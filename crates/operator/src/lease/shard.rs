//! One shard in the hands of a member: its lease is renewed until the member gives it up or another one has it.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::leadership::{LeaderHandle, Leadership, LeaseEpoch};
use super::lease_handle::LeaseHandle;
use super::store::LeaseError;

/// A shard to be held.
pub struct Shard {
    hold: LeaseHandle,
    member: Leadership,
    /// The member's term in which the shard was last renewed.
    within: Option<LeaseEpoch>,
}

impl Shard {
    /// The shard of this lease, for as long as the process is a member.
    pub fn new(hold: LeaseHandle, member: Leadership) -> Self {
        Self {
            hold,
            member,
            within: None,
        }
    }

    /// Holds it until `leave`, and then gives it up, or until another one has it.
    pub async fn keep(mut self, leave: CancellationToken) -> LeaderHandle {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = leave.cancelled() => {
                    self.hold.release().await;
                    break;
                }
                () = sleep_until(next) => match self.step().await {
                    Some(due) => next = due,
                    None => break,
                },
                () = self.member.changed() => next = Instant::now(),
            }
        }
        self.hold.into_handle()
    }

    /// One attempt; returns when the next one is due, unless another one has the shard.
    async fn step(&mut self) -> Option<Instant> {
        let began = Instant::now();
        let (outcome, is_others) = match self.attempt().await {
            Ok(goes_on) => (Ok(()), !goes_on),
            Err(error) => (Err(error), false),
        };
        let due = self.hold.settle(began, outcome);
        (!is_others).then_some(due)
    }

    async fn attempt(&mut self) -> Result<bool, LeaseError> {
        // Without the member's lease nobody may know that this process is here.
        let Some(within) = self.member.lease_epoch() else {
            self.hold.lose();
            return Ok(true);
        };
        if !self.hold.is_known() {
            self.hold.look().await?;
        }
        let Some(sent) = self.hold.claim().await? else {
            return Ok(false);
        };
        if self.member.lease_epoch() == Some(within)
            && let Some(end) = self.member.expires_at()
        {
            let until = sent + self.hold.candidate().timing.deadline;
            let anew = self.within.replace(within) != Some(within);
            self.hold.extend(until.min(end), anew);
        }
        Ok(true)
    }
}
