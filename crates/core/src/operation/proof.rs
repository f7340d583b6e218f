//! Whether a consumer continues after its leader changed: messages are delivered or acknowledged, or a client waits for
//! more while none is pending.
//!
//! What the old leader did right up to the transfer shows in the state that the new one restores, so growth counts only
//! from the first read of the new leader on. What clients do not ask for is never held against a consumer.

use std::time::Duration;

use leeward_api::vocabulary::ActionResult;

use super::{Outcome, Progress, ReadResult};
use crate::names::{ConsumerName, ServerName};

/// A consumer with messages to deliver that delivers none for this long is stalled: clients whose pulls were lost in
/// the transfer retry when those expire, usually after 30 s (nats-facts N16).
pub const STALL_AFTER: Duration = Duration::from_mins(1);

/// After this long without progress, nothing is expected of clients that ask for nothing.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// What two reads of a consumer show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerProgress {
    /// No client used it, or its owner paused it.
    NothingToProve,
    /// It continues.
    Yes,
    /// Nothing shows it yet.
    NotYet,
}

impl Progress {
    /// Whether a client asks for messages.
    fn is_asked(&self) -> bool {
        self.waiting > 0 || self.push_bound
    }

    /// Whether it may deliver no more before its clients acknowledge some.
    fn is_full(&self) -> bool {
        self.max_ack_pending.is_some_and(|most| self.ack_pending >= most)
    }
}

/// Compares a consumer `before` the request, at the first read `since` its new leader leads, and `now`.
pub fn progress_since(before: &Progress, since: &Progress, now: &Progress) -> ConsumerProgress {
    let used = before.is_asked() || before.ack_pending > 0;
    let idle = now.pending == 0 && now.ack_pending == 0 && !before.is_asked();
    let moved = now.delivered > since.delivered
        || now.ack_floor > since.ack_floor
        || now.ack_pending != since.ack_pending;
    if !used || now.paused {
        ConsumerProgress::NothingToProve
    } else if moved || (now.pending == 0 && now.is_asked()) {
        ConsumerProgress::Yes
    } else if idle {
        ConsumerProgress::NothingToProve
    } else {
        ConsumerProgress::NotYet
    }
}

/// A consumer that has to continue.
#[derive(Clone, Debug)]
pub struct ResumeCheck {
    before: Progress,
    since: Option<(ServerName, Progress)>,
}

/// What a read of a consumer proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeResult {
    /// Read again.
    NotYet,
    /// It continues, or there is nothing to prove.
    Resumed,
    /// No progress, and no client asks for more: a text for people.
    Quiet(String),
    /// It stalled: a text for people.
    Stalled(String),
    /// A leader outside home took over.
    Left(ServerName),
    /// It could not be read.
    Unseen,
}

impl ResumeCheck {
    /// The check of a consumer that was in this state before the request; `None` if no client used it.
    pub fn of(before: &Progress) -> Option<Self> {
        let used = progress_since(before, before, before) != ConsumerProgress::NothingToProve;
        used.then(|| Self {
            before: before.clone(),
            since: None,
        })
    }

    /// Judges a read, `waited` after its leader was seen at `home`; `None` is a read that failed on this side.
    pub fn look(
        &mut self,
        read_result: Option<&ReadResult>,
        home: &[ServerName],
        waited: Duration,
    ) -> ResumeResult {
        let late = waited >= STALL_AFTER;
        let reading = match read_result {
            Some(ReadResult::Gone) => return ResumeResult::Resumed,
            Some(ReadResult::Seen(reading)) => reading,
            Some(ReadResult::Unanswered) if late => {
                return ResumeResult::Stalled(format!("nobody answered for it for {} s", waited.as_secs()));
            }
            None if late => return ResumeResult::Unseen,
            Some(ReadResult::Unanswered) | None => return ResumeResult::NotYet,
        };
        match (&reading.leader, &reading.progress) {
            (Some(leader), _) if !home.contains(leader) => ResumeResult::Left(leader.clone()),
            (Some(leader), Some(now)) => self.look_at(leader, now, waited),
            (Some(_), None) if late => ResumeResult::Unseen,
            (None, _) if late => {
                ResumeResult::Stalled(format!("it had no leader for {} s", waited.as_secs()))
            }
            (Some(_) | None, _) => ResumeResult::NotYet,
        }
    }

    fn look_at(&mut self, leader: &ServerName, now: &Progress, waited: Duration) -> ResumeResult {
        let (first, since) = self.since.get_or_insert_with(|| (leader.clone(), now.clone()));
        if first != leader {
            // The state of yet another leader proves nothing by differing.
            first.clone_from(leader);
            since.clone_from(now);
        }
        match progress_since(&self.before, since, now) {
            ConsumerProgress::NothingToProve | ConsumerProgress::Yes => ResumeResult::Resumed,
            ConsumerProgress::NotYet if waited < QUIET_AFTER => ResumeResult::NotYet,
            ConsumerProgress::NotYet if now.pending == 0 => {
                ResumeResult::Quiet("no message is pending".to_owned())
            }
            ConsumerProgress::NotYet if now.is_full() || !(self.before.is_asked() || now.is_asked()) => {
                let held = now.ack_pending;
                ResumeResult::Quiet(format!("its clients hold {held} messages and ask for no more"))
            }
            ConsumerProgress::NotYet if waited < STALL_AFTER => ResumeResult::NotYet,
            ConsumerProgress::NotYet => ResumeResult::Stalled(format!(
                "{} messages pending, none delivered or acknowledged for {} s since {leader} leads it",
                now.pending,
                waited.as_secs()
            )),
        }
    }
}

/// The end of a step-down of a consumer whose leader was read back in home.
pub fn proven_step_down(led: Outcome, proven: &ResumeResult) -> Outcome {
    let and = |result, text: &str| Outcome {
        result,
        message: format!("{}, {text}", led.message),
        ..led.clone()
    };
    match proven {
        ResumeResult::NotYet | ResumeResult::Resumed => led,
        ResumeResult::Quiet(text) => and(led.result, text),
        ResumeResult::Stalled(text) => and(ActionResult::Stalled, &format!("but {text}")),
        ResumeResult::Left(leader) => {
            let missed = and(
                ActionResult::Missed,
                &format!("but {leader} took over after that"),
            );
            missed.led_by(Some(leader))
        }
        ResumeResult::Unseen => and(ActionResult::TimedOut, "but whether it goes on could not be seen"),
    }
}

/// The end of a move that is done, with what became of the consumers that were in use.
pub fn proven_move(done: Outcome, consumers: &[(ConsumerName, ResumeResult)]) -> Outcome {
    let mut stalled = Vec::new();
    let mut unseen = Vec::new();
    for (name, proven) in consumers {
        match proven {
            ResumeResult::NotYet | ResumeResult::Resumed | ResumeResult::Quiet(_) => {}
            ResumeResult::Stalled(text) => stalled.push(format!("{name} ({text})")),
            ResumeResult::Left(leader) => stalled.push(format!("{name} (it is led by {leader})")),
            ResumeResult::Unseen => unseen.push(name.to_string()),
        }
    }
    let but = |result, text: &str, names: &[String]| Outcome {
        result,
        message: format!("{}, but {text} {}", done.message, names.join(", ")),
        ..done.clone()
    };
    if !stalled.is_empty() {
        return but(ActionResult::Stalled, "these consumers do not go on:", &stalled);
    }
    if !unseen.is_empty() {
        return but(
            ActionResult::TimedOut,
            "whether these consumers go on could not be seen:",
            &unseen,
        );
    }
    done
}
