//! What policies need to know of the systems, as the systems' last reconciles left it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leeward_api::system::AllowedNamespaces;
use leeward_api::vocabulary::ConnectedReason;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::limits::SystemLimits;
use leeward_lease::LeaseEpoch;
use leeward_nats::{ConnectConfig, SystemObserver};

use crate::key::Key;

/// One system, ready to be used or not.
#[derive(Clone, Debug)]
pub struct SystemHandle {
    /// The uid of the object.
    pub uid: String,
    /// Whose policies may use it.
    pub allowed: AllowedNamespaces,
    /// How often it is observed.
    pub interval: Duration,
    /// The halt switch.
    pub suspended: bool,
    /// The lease epoch in which it was read again: what was seen before may be behind what the last holder knew.
    pub lease_epoch: Option<LeaseEpoch>,
    /// Operations at once over all of its policies.
    pub limits: Arc<SystemLimits>,
    /// How to reach it, or why that is not known.
    pub route: Result<Route, ReasonMessage<ConnectedReason>>,
}

/// How to reach a system.
#[derive(Clone, Debug)]
pub struct Route {
    /// Changes whenever the rest does.
    pub epoch: u64,
    /// Servers and how they are trusted; the user and its client certificate are each policy's own.
    pub connect: ConnectConfig,
    /// Sees all accounts; `None` in tenant mode.
    pub observer: Option<Arc<SystemObserver>>,
}

impl SystemHandle {
    /// Whether policies would notice the difference.
    fn is_equivalent(&self, other: &Self) -> bool {
        let Self {
            uid,
            allowed,
            interval,
            suspended,
            lease_epoch,
            limits: _,
            route,
        } = self;
        let same_route = match (route, &other.route) {
            (Ok(one), Ok(two)) => one.epoch == two.epoch,
            (Err(one), Err(two)) => one == two,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        same_route
            && *uid == other.uid
            && *allowed == other.allowed
            && *interval == other.interval
            && *suspended == other.suspended
            && *lease_epoch == other.lease_epoch
    }
}

/// All systems.
#[derive(Debug, Default)]
pub struct SystemHandles {
    handles: Mutex<BTreeMap<Key, Arc<SystemHandle>>>,
}

impl SystemHandles {
    /// A system, once it was reconciled.
    pub fn get(&self, key: &Key) -> Option<Arc<SystemHandle>> {
        self.lock().get(key).cloned()
    }

    /// Replaces what is known; returns whether policies should be reconciled.
    pub fn put(&self, key: &Key, handle: &SystemHandle) -> bool {
        let mut handles = self.lock();
        let before = handles.insert(key.clone(), Arc::new(handle.clone()));
        before.is_none_or(|before| !before.is_equivalent(handle))
    }

    /// Turns on the halt switch of a known system; returns whether it was off before.
    pub fn suspend(&self, key: &Key) -> bool {
        let mut handles = self.lock();
        let Some(handle) = handles.get_mut(key).filter(|handle| !handle.suspended) else {
            return false;
        };
        Arc::make_mut(handle).suspended = true;
        true
    }

    /// Forgets a system.
    pub fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<SystemHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
