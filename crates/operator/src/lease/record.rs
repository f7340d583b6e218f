//! What a Lease says, apart from the Kubernetes type that says it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use crate::key::Key;

/// Who wants a free lease need not wait at all; the API takes no less than a second.
const VACANT_SECONDS: i32 = 1;
/// Says on a member's lease with how many shards it counts.
const SHARDS: &str = "leeward.dev/shards";

/// A Lease as it was read, or as it shall be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseRecord {
    /// Who holds it; nobody once it was given up.
    pub holder: Option<String>,
    /// For how long a renewal is good, as the holder says.
    pub duration: Option<Duration>,
    /// The edition of the object; none of one that is still to be made.
    pub version: Option<String>,
    /// Everything else, to be left as it is.
    object: Object,
}

impl LeaseRecord {
    /// What an object says.
    pub fn of(object: Object) -> Self {
        let spec = object.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: seconds.map(Duration::from_secs),
            version: object.metadata.resource_version.clone(),
            object,
        }
    }

    /// The lease taken or renewed by `me`, over the one that is stored.
    pub fn held(me: &str, duration: Duration, below: Option<&Self>, now: Timestamp) -> Self {
        let mut object = below.map_or_else(Object::default, |below| below.object.clone());
        let before = object.spec.take().unwrap_or_default();
        let mine = below.is_some_and(|below| below.holder.as_deref() == Some(me));
        let transitions = match (below, mine) {
            (None, _) => 0,
            (Some(_), true) => before.lease_transitions.unwrap_or_default(),
            (Some(_), false) => before.lease_transitions.unwrap_or_default().saturating_add(1),
        };
        let taken = before.acquire_time.clone().filter(|_| mine);
        object.spec = Some(LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: Some(taken.unwrap_or(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..before
        });
        Self::of(object)
    }

    /// The same lease, of a holder that counts with this many shards.
    #[must_use]
    pub fn counting(mut self, shards: usize) -> Self {
        let annotations = self.object.metadata.annotations.get_or_insert_default();
        annotations.insert(SHARDS.to_owned(), shards.to_string());
        self
    }

    /// With how many shards its holder counts, if it says so.
    pub fn shards(&self) -> Option<usize> {
        let annotations = self.object.metadata.annotations.as_ref()?;
        annotations.get(SHARDS)?.parse().ok()
    }

    /// The lease given up by its holder.
    pub fn vacant(mine: &Self, now: Timestamp) -> Self {
        let mut object = mine.object.clone();
        let before = object.spec.take().unwrap_or_default();
        object.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(VACANT_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..before
        });
        Self::of(object)
    }

    /// The object to write.
    pub fn object(&self, key: &Key) -> Object {
        let metadata = ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            // The API sets these itself, and refuses some of them in a request.
            managed_fields: None,
            ..self.object.metadata.clone()
        };
        Object {
            metadata,
            spec: self.object.spec.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(15);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec(record: &LeaseRecord) -> LeaseSpec {
        record.object(&Key::new("ns", "leeward")).spec.unwrap()
    }

    #[test]
    fn transitions_count_changes_of_the_holder_and_renewals_keep_the_time_of_taking() {
        let first = LeaseRecord::held("a", LONG, None, at(10));
        assert_eq!(spec(&first).lease_transitions, Some(0));
        let renewed = LeaseRecord::held("a", LONG, Some(&first), at(12));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(at(10))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(at(12))));
        let vacant = LeaseRecord::vacant(&renewed, at(14));
        assert_eq!(vacant.holder, None);
        let second = LeaseRecord::held("b", LONG, Some(&vacant), at(15));
        assert_eq!(spec(&second).lease_transitions, Some(1));
        assert_eq!(spec(&second).acquire_time, Some(MicroTime(at(15))));
        assert_eq!(second.duration, Some(LONG));
    }

    #[test]
    fn the_number_of_shards_stays_on_a_lease_whoever_holds_it() {
        let first = LeaseRecord::held("a", LONG, None, at(1));
        assert_eq!(first.shards(), None);
        let first = first.counting(4);
        assert_eq!(LeaseRecord::vacant(&first, at(2)).shards(), Some(4));
        let second = LeaseRecord::held("b", LONG, Some(&first), at(3));
        assert_eq!(second.shards(), Some(4));
        assert_eq!(second.counting(8).shards(), Some(8));
    }

    #[test]
    fn labels_and_the_edition_of_the_stored_object_are_written_back() {
        let mut object = Object::default();
        object.metadata.resource_version = Some("7".into());
        object.metadata.labels = Some([("team".to_owned(), "edge".to_owned())].into());
        let below = LeaseRecord::of(object);
        let written = LeaseRecord::held("a", LONG, Some(&below), at(1)).object(&Key::new("ns", "leeward"));
        assert_eq!(written.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(written.metadata.labels.unwrap()["team"], "edge");
        assert_eq!(written.metadata.name.as_deref(), Some("leeward"));
    }
}
