//! What runs for each object, by key.
//!
//! A reconcile takes its entry out, works on it without a lock, and puts it back. One that is deleted meanwhile is
//! found by the sweep after the watch reports it, or returned by [`Registry::put`] once it is closed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::Key;

/// Entries of one kind.
#[derive(Debug)]
pub struct Registry<T> {
    state: Mutex<RegistryState<T>>,
}

#[derive(Debug)]
struct RegistryState<T> {
    entries: BTreeMap<Key, T>,
    closed: bool,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(RegistryState {
                entries: BTreeMap::new(),
                closed: false,
            }),
        }
    }
}

impl<T> Registry<T> {
    /// Takes an entry out.
    pub fn take(&self, key: &Key) -> Option<T> {
        self.lock().entries.remove(key)
    }

    /// Puts an entry back; returns it instead when nothing may start any more.
    pub fn put(&self, key: Key, entry: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(entry);
        }
        state.entries.insert(key, entry);
        Ok(())
    }

    /// Visits all entries that are not being worked on.
    pub fn each(&self, mut visit: impl FnMut(&mut T)) {
        self.lock().entries.values_mut().for_each(&mut visit);
    }

    /// Takes out all entries whose key is not wanted.
    pub fn take_unless(&self, mut wanted: impl FnMut(&Key) -> bool) -> Vec<(Key, T)> {
        self.lock()
            .entries
            .extract_if(.., |key, _| !wanted(key))
            .collect()
    }

    /// Takes out everything, and lets nothing in from now on.
    pub fn close(&self) -> Vec<(Key, T)> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.entries).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_in_two_namespaces_are_two_entries() {
        let registry = Registry::default();
        registry.put(Key::new("a", "orders"), 1).unwrap();
        registry.put(Key::new("b", "orders"), 2).unwrap();
        assert_eq!(registry.take(&Key::new("a", "orders")), Some(1));
        assert_eq!(registry.take(&Key::new("b", "orders")), Some(2));
    }

    #[test]
    fn what_is_not_wanted_is_taken_out_and_a_closed_registry_takes_nothing() {
        let registry = Registry::default();
        registry.put(Key::new("a", "one"), 1).unwrap();
        registry.put(Key::new("a", "two"), 2).unwrap();
        let gone = registry.take_unless(|key| key.name == "two");
        assert_eq!(gone, vec![(Key::new("a", "one"), 1)]);
        assert_eq!(registry.close(), vec![(Key::new("a", "two"), 2)]);
        assert_eq!(registry.put(Key::new("a", "three"), 3), Err(3));
    }
}
