//! Whose a lease is now, by what was seen of it and for how long it has been so. Pure.
//!
//! Times that are written in a lease are for people: clocks of two machines are never compared. What counts is how long
//! the record has not changed before the eyes of this process, on its own clock, which nobody sets.

use std::time::Duration;

use tokio::time::Instant;

use super::record::LeaseRecord;

/// What was seen of a lease.
#[derive(Clone, Debug)]
pub struct ObservedLease {
    record: Option<LeaseRecord>,
    missing: bool,
    since: Instant,
    /// It changed before the eyes of this process.
    moves: bool,
}

/// Whose a lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// This process's own.
    Mine,
    /// Anybody's who writes first.
    Free(FreeReason),
    /// Another's, for all that can be known.
    Held {
        /// Whose.
        by: String,
    },
}

/// Why a lease is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeReason {
    /// There is none.
    Missing,
    /// Its holder gave it up.
    Released,
    /// Its holder did not renew it for as long as it said.
    Expired,
}

impl ObservedLease {
    /// The first look; `now` is when it was answered. What was before is not known, so a holder has its whole time.
    pub fn new(read: Option<LeaseRecord>, now: Instant) -> Self {
        Self {
            missing: read.is_none(),
            record: read,
            since: now,
            moves: false,
        }
    }

    /// The first look at what was not there a moment ago.
    pub fn appeared(read: LeaseRecord, now: Instant) -> Self {
        Self {
            moves: true,
            ..Self::new(Some(read), now)
        }
    }

    /// The next look. One that finds nothing leaves the last holder its time: it may not know yet.
    pub fn update(&mut self, read: Option<LeaseRecord>, now: Instant) {
        let Some(read) = read else {
            self.missing = true;
            return;
        };
        let same = !self.missing
            && self
                .record
                .as_ref()
                .is_some_and(|record| record.version == read.version);
        if !same {
            *self = Self::appeared(read, now);
        }
    }

    /// Whether it was seen to change within this time: its holder is there for certain, or was until then.
    pub fn moved_within(&self, time: Duration, now: Instant) -> bool {
        self.moves && now.saturating_duration_since(self.since) < time
    }

    /// What was seen last, whether or not it is there still.
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.record.as_ref()
    }

    /// What is there, to be written over.
    pub fn stored(&self) -> Option<&LeaseRecord> {
        self.record.as_ref().filter(|_| !self.missing)
    }

    /// Whose it is. `usual` is for how long a holder has it that does not say.
    pub fn judge(&self, me: &str, usual: Duration, now: Instant) -> LeaseState {
        let gone = |why| {
            if self.missing {
                LeaseState::Free(FreeReason::Missing)
            } else {
                LeaseState::Free(why)
            }
        };
        let Some(record) = &self.record else {
            return LeaseState::Free(FreeReason::Missing);
        };
        let Some(holder) = &record.holder else {
            return gone(FreeReason::Released);
        };
        if holder == me {
            return if self.missing {
                LeaseState::Free(FreeReason::Missing)
            } else {
                LeaseState::Mine
            };
        }
        let unchanged = now.saturating_duration_since(self.since);
        if unchanged >= record.duration.unwrap_or(usual) {
            gone(FreeReason::Expired)
        } else {
            LeaseState::Held { by: holder.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const USUAL: Duration = Duration::from_secs(15);

    fn record(holder: &str, version: &str, seconds: Option<i32>) -> LeaseRecord {
        let mut object = Object {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: seconds,
                // A holder whose clock is wrong by decades.
                renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
                ..LeaseSpec::default()
            }),
            ..Object::default()
        };
        object.metadata.resource_version = Some(version.to_owned());
        LeaseRecord::of(object)
    }

    fn held(by: &str) -> LeaseState {
        LeaseState::Held { by: by.to_owned() }
    }

    #[test]
    fn what_is_missing_given_up_or_mine_needs_no_waiting() {
        let now = Instant::now();
        let judged = |read| ObservedLease::new(read, now).judge("me", USUAL, now);
        assert_eq!(judged(None), LeaseState::Free(FreeReason::Missing));
        assert_eq!(
            judged(Some(record("", "1", Some(1)))),
            LeaseState::Free(FreeReason::Released)
        );
        assert_eq!(judged(Some(record("me", "1", Some(15)))), LeaseState::Mine);
    }

    #[test]
    fn another_ones_lease_is_free_once_it_did_not_change_for_as_long_as_the_other_said() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut seen = ObservedLease::new(Some(record("other", "1", Some(6))), start);
        assert_eq!(seen.judge("me", USUAL, after(5)), held("other"));
        seen.update(Some(record("other", "2", Some(6))), after(5));
        assert_eq!(seen.judge("me", USUAL, after(10)), held("other"), "renewed");
        seen.update(Some(record("other", "2", Some(6))), after(10));
        assert_eq!(
            seen.judge("me", USUAL, after(11)),
            LeaseState::Free(FreeReason::Expired),
            "looking is no change"
        );
    }

    #[test]
    fn a_holder_that_does_not_say_for_how_long_has_the_usual_time() {
        let start = Instant::now();
        let seen = ObservedLease::new(Some(record("other", "1", None)), start);
        assert_eq!(
            seen.judge("me", USUAL, start + Duration::from_secs(14)),
            held("other")
        );
        assert_eq!(
            seen.judge("me", USUAL, start + USUAL),
            LeaseState::Free(FreeReason::Expired)
        );
    }

    #[test]
    fn a_lease_that_was_deleted_leaves_its_last_holder_the_time_it_had() {
        let start = Instant::now();
        let mut seen = ObservedLease::new(Some(record("other", "1", Some(6))), start);
        seen.update(None, start + Duration::from_secs(1));
        assert_eq!(
            seen.judge("me", USUAL, start + Duration::from_secs(5)),
            held("other")
        );
        assert_eq!(
            seen.judge("me", USUAL, start + Duration::from_secs(6)),
            LeaseState::Free(FreeReason::Missing)
        );
        assert_eq!(
            seen.judge("other", USUAL, start),
            LeaseState::Free(FreeReason::Missing),
            "its holder makes it anew at once"
        );
        assert!(seen.stored().is_none(), "there is nothing to write over");
    }

    #[test]
    fn what_was_seen_once_may_be_the_trace_of_somebody_dead() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let soon = Duration::from_secs(3);
        let mut seen = ObservedLease::new(Some(record("other", "1", None)), start);
        assert!(!seen.moved_within(soon, start));
        seen.update(Some(record("other", "2", None)), after(2));
        assert!(seen.moved_within(soon, after(4)));
        assert!(!seen.moved_within(soon, after(5)));
        assert!(ObservedLease::appeared(record("other", "1", None), start).moved_within(soon, start));
    }

    #[test]
    fn a_lease_that_is_there_again_is_judged_from_then_on() {
        let start = Instant::now();
        let mut seen = ObservedLease::new(None, start);
        seen.update(
            Some(record("other", "9", Some(6))),
            start + Duration::from_secs(30),
        );
        assert_eq!(
            seen.judge("me", USUAL, start + Duration::from_secs(35)),
            held("other")
        );
    }
}
