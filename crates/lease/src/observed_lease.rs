//! Who holds a Lease now, by what this replica observed of it and for how long that has not changed. Pure.
//!
//! The times that are written in a Lease are for people: clocks of two machines are never compared. What counts is for how
//! long this replica has observed the same version, on its own monotonic clock.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::record::LeaseRecord;

/// What this replica observed of a Lease.
#[derive(Clone, Debug)]
pub struct ObservedLease {
    record: Option<LeaseRecord>,
    missing: bool,
    since: Instant,
    /// This replica saw it change, so its holder ran at `since`.
    changed: bool,
}

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// This replica.
    Mine,
    /// Nobody: the first replica that writes acquires it.
    Free(FreeReason),
    /// Another replica, as far as this one can know.
    Held {
        /// Its identity.
        by: String,
    },
}

/// Why a Lease is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeReason {
    /// It does not exist.
    Missing,
    /// Its holder released it.
    Released,
    /// Its holder did not renew it within its duration.
    Expired,
}

impl fmt::Display for FreeReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "there was none",
            Self::Released => "it was given up",
            Self::Expired => "it was not renewed",
        })
    }
}

impl ObservedLease {
    /// What was read first, at `now`. When the holder renewed is not known, so it has the whole duration from now on.
    pub fn new(read: Option<LeaseRecord>, now: Instant) -> Self {
        Self {
            missing: read.is_none(),
            record: read,
            since: now,
            changed: false,
        }
    }

    /// A Lease that did not exist at the last read.
    pub fn appeared(read: LeaseRecord, now: Instant) -> Self {
        Self {
            changed: true,
            ..Self::new(Some(read), now)
        }
    }

    /// What was read next, at `now`. A Lease that was deleted leaves its last holder the duration: it may not know yet.
    pub fn update(&mut self, read: Option<LeaseRecord>, now: Instant) {
        let Some(read) = read else {
            self.missing = true;
            return;
        };
        let is_same = !self.missing
            && self
                .record
                .as_ref()
                .is_some_and(|record| record.version == read.version);
        if !is_same {
            *self = Self::appeared(read, now);
        }
    }

    /// Whether it was seen to change within this time: its holder was running then.
    pub fn changed_within(&self, time: Duration, now: Instant) -> bool {
        self.changed && now.saturating_duration_since(self.since) < time
    }

    /// What was read last, whether or not it still exists.
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.record.as_ref()
    }

    /// What exists, to be replaced.
    pub fn stored(&self) -> Option<&LeaseRecord> {
        self.record.as_ref().filter(|_| !self.missing)
    }

    /// Who holds it. `default` is the duration of a Lease that has none.
    pub fn state(&self, identity: &str, default: Duration, now: Instant) -> LeaseState {
        let free = |reason| {
            if self.missing {
                LeaseState::Free(FreeReason::Missing)
            } else {
                LeaseState::Free(reason)
            }
        };
        let Some(record) = &self.record else {
            return LeaseState::Free(FreeReason::Missing);
        };
        let Some(holder) = &record.holder else {
            return free(FreeReason::Released);
        };
        if holder == identity {
            return if self.missing {
                LeaseState::Free(FreeReason::Missing)
            } else {
                LeaseState::Mine
            };
        }
        let unchanged = now.saturating_duration_since(self.since);
        if unchanged >= record.duration.unwrap_or(default) {
            free(FreeReason::Expired)
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
    fn a_lease_that_is_missing_released_or_mine_needs_no_waiting() {
        let now = Instant::now();
        let state = |read| ObservedLease::new(read, now).state("me", USUAL, now);
        assert_eq!(state(None), LeaseState::Free(FreeReason::Missing));
        assert_eq!(
            state(Some(record("", "1", Some(1)))),
            LeaseState::Free(FreeReason::Released)
        );
        assert_eq!(state(Some(record("me", "1", Some(15)))), LeaseState::Mine);
    }

    #[test]
    fn another_replicas_lease_is_free_once_it_did_not_change_for_its_duration() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut seen = ObservedLease::new(Some(record("other", "1", Some(6))), start);
        assert_eq!(seen.state("me", USUAL, after(5)), held("other"));
        seen.update(Some(record("other", "2", Some(6))), after(5));
        assert_eq!(seen.state("me", USUAL, after(10)), held("other"), "renewed");
        seen.update(Some(record("other", "2", Some(6))), after(10));
        assert_eq!(
            seen.state("me", USUAL, after(11)),
            LeaseState::Free(FreeReason::Expired),
            "reading is no change"
        );
    }

    #[test]
    fn a_lease_without_a_duration_has_the_default() {
        let start = Instant::now();
        let seen = ObservedLease::new(Some(record("other", "1", None)), start);
        assert_eq!(
            seen.state("me", USUAL, start + Duration::from_secs(14)),
            held("other")
        );
        assert_eq!(
            seen.state("me", USUAL, start + USUAL),
            LeaseState::Free(FreeReason::Expired)
        );
    }

    #[test]
    fn a_lease_that_was_deleted_leaves_its_last_holder_the_rest_of_its_duration() {
        let start = Instant::now();
        let mut seen = ObservedLease::new(Some(record("other", "1", Some(6))), start);
        seen.update(None, start + Duration::from_secs(1));
        assert_eq!(
            seen.state("me", USUAL, start + Duration::from_secs(5)),
            held("other")
        );
        assert_eq!(
            seen.state("me", USUAL, start + Duration::from_secs(6)),
            LeaseState::Free(FreeReason::Missing)
        );
        assert_eq!(
            seen.state("other", USUAL, start),
            LeaseState::Free(FreeReason::Missing),
            "its holder creates it again at once"
        );
        assert!(seen.stored().is_none(), "there is nothing to replace");
    }

    #[test]
    fn the_holder_of_a_lease_that_was_seen_once_may_be_dead() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let soon = Duration::from_secs(3);
        let mut seen = ObservedLease::new(Some(record("other", "1", None)), start);
        assert!(!seen.changed_within(soon, start));
        seen.update(Some(record("other", "2", None)), after(2));
        assert!(seen.changed_within(soon, after(4)));
        assert!(!seen.changed_within(soon, after(5)));
        assert!(ObservedLease::appeared(record("other", "1", None), start).changed_within(soon, start));
    }

    #[test]
    fn a_lease_that_exists_again_has_its_duration_from_then_on() {
        let start = Instant::now();
        let mut seen = ObservedLease::new(None, start);
        seen.update(
            Some(record("other", "9", Some(6))),
            start + Duration::from_secs(30),
        );
        assert_eq!(
            seen.state("me", USUAL, start + Duration::from_secs(35)),
            held("other")
        );
    }
}
