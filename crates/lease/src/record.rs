//! The fields of a Lease that this crate uses, apart from the Kubernetes type.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

/// The duration of a released Lease, which nobody has to wait for; the API accepts no less than a second.
const RELEASED_SECONDS: i32 = 1;
/// The annotation of a member's Lease with the number of shards that the member is configured with.
const SHARDS_ANNOTATION: &str = "leeward.dev/shards";

/// A Lease as it was read, or as it is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseRecord {
    /// `holderIdentity`; `None` once the Lease was released.
    pub holder: Option<String>,
    /// `leaseDurationSeconds`.
    pub duration: Option<Duration>,
    /// `resourceVersion`; `None` for a Lease that is still to be created.
    pub version: Option<String>,
    /// Everything else, which stays as it is.
    object: Object,
}

impl LeaseRecord {
    /// The record of an object that was read.
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

    /// The Lease acquired or renewed by `identity`, in place of the one that is stored.
    pub fn held(identity: &str, duration: Duration, stored: Option<&Self>, now: Timestamp) -> Self {
        let mut object = stored.map_or_else(Object::default, |stored| stored.object.clone());
        let before = object.spec.take().unwrap_or_default();
        let is_renewal = stored.is_some_and(|stored| stored.holder.as_deref() == Some(identity));
        let transitions = match (stored, is_renewal) {
            (None, _) => 0,
            (Some(_), true) => before.lease_transitions.unwrap_or_default(),
            (Some(_), false) => before.lease_transitions.unwrap_or_default().saturating_add(1),
        };
        let acquired = before.acquire_time.clone().filter(|_| is_renewal);
        object.spec = Some(LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..before
        });
        Self::of(object)
    }

    /// The same Lease, of a member that is configured with this many shards.
    #[must_use]
    pub fn with_shards(mut self, shards: usize) -> Self {
        let annotations = self.object.metadata.annotations.get_or_insert_default();
        annotations.insert(SHARDS_ANNOTATION.to_owned(), shards.to_string());
        self
    }

    /// The number of shards that its holder is configured with, if the Lease has one.
    pub fn shards(&self) -> Option<usize> {
        let annotations = self.object.metadata.annotations.as_ref()?;
        annotations.get(SHARDS_ANNOTATION)?.parse().ok()
    }

    /// The Lease as its holder releases it.
    pub fn released(held: &Self, now: Timestamp) -> Self {
        let mut object = held.object.clone();
        let before = object.spec.take().unwrap_or_default();
        object.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(RELEASED_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..before
        });
        Self::of(object)
    }

    /// The object to write.
    pub fn object(&self, namespace: &str, name: &str) -> Object {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
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
        record.object("ns", "leeward").spec.unwrap()
    }

    #[test]
    fn transitions_count_changes_of_the_holder_and_renewals_keep_the_time_of_acquisition() {
        let first = LeaseRecord::held("a", LONG, None, at(10));
        assert_eq!(spec(&first).lease_transitions, Some(0));
        let renewed = LeaseRecord::held("a", LONG, Some(&first), at(12));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(at(10))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(at(12))));
        let released = LeaseRecord::released(&renewed, at(14));
        assert_eq!(released.holder, None);
        let second = LeaseRecord::held("b", LONG, Some(&released), at(15));
        assert_eq!(spec(&second).lease_transitions, Some(1));
        assert_eq!(spec(&second).acquire_time, Some(MicroTime(at(15))));
        assert_eq!(second.duration, Some(LONG));
    }

    #[test]
    fn the_number_of_shards_stays_on_a_lease_whoever_holds_it() {
        let first = LeaseRecord::held("a", LONG, None, at(1));
        assert_eq!(first.shards(), None);
        let first = first.with_shards(4);
        assert_eq!(LeaseRecord::released(&first, at(2)).shards(), Some(4));
        let second = LeaseRecord::held("b", LONG, Some(&first), at(3));
        assert_eq!(second.shards(), Some(4));
        assert_eq!(second.with_shards(8).shards(), Some(8));
    }

    #[test]
    fn labels_and_the_resource_version_of_the_stored_object_are_written_back() {
        let mut object = Object::default();
        object.metadata.resource_version = Some("7".into());
        object.metadata.labels = Some([("team".to_owned(), "edge".to_owned())].into());
        let stored = LeaseRecord::of(object);
        let written = LeaseRecord::held("a", LONG, Some(&stored), at(1)).object("ns", "leeward");
        assert_eq!(written.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(written.metadata.labels.unwrap()["team"], "edge");
        assert_eq!(written.metadata.name.as_deref(), Some("leeward"));
    }
}
