//! Caches of objects as their watches last saw them, one per scope. The controllers fill them.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube_runtime::reflector::{self, ObjectRef, Store};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::key::Key;
use crate::scope::Scope;

/// An object, or why it cannot be read.
pub type Guarded<K> = DeserializeGuard<K>;

/// A kind that can be watched here.
pub trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// The caches of a kind, one per scope.
#[derive(Clone, Debug)]
pub struct Objects<K: Watched> {
    caches: Vec<Cache<K>>,
}

#[derive(Clone, Debug)]
struct Cache<K: Watched> {
    scope: Scope,
    store: Store<Guarded<K>>,
    /// Our own: of two tasks that wait on kube's `wait_until_ready` only one is woken (kube 5.0.0).
    synced: watch::Receiver<bool>,
}

/// Fills the cache of one scope.
pub struct Writer<K: Watched> {
    /// The cache.
    pub writer: reflector::store::Writer<Guarded<K>>,
    /// Whether it was filled once.
    pub synced: watch::Sender<bool>,
}

impl<K: Watched> Writer<K> {
    /// The cache, to read.
    pub fn reader(&self) -> Store<Guarded<K>> {
        self.writer.as_reader()
    }
}

impl<K: Watched> Objects<K> {
    /// Empty caches, with the writers that fill them.
    pub fn new(scopes: &[Scope]) -> (Self, Vec<(Scope, Writer<K>)>) {
        let (caches, writers) = scopes
            .iter()
            .map(|scope| {
                let (store, writer) = reflector::store();
                let (filled, synced) = watch::channel(false);
                let cache = Cache {
                    scope: scope.clone(),
                    store,
                    synced,
                };
                let writer = Writer {
                    writer,
                    synced: filled,
                };
                (cache, (scope.clone(), writer))
            })
            .unzip();
        (Self { caches }, writers)
    }

    /// An object as the cache has it.
    pub fn find(&self, key: &Key) -> Lookup<K> {
        let Some(cache) = self
            .caches
            .iter()
            .find(|cache| cache.scope.covers(&key.namespace))
        else {
            return Lookup::NotWatched;
        };
        match cache.store.get(&object_ref(key)) {
            Some(object) => Lookup::Found(object),
            None if *cache.synced.borrow() => Lookup::Missing,
            None => Lookup::NotYet,
        }
    }

    /// Whether an object is in the cache.
    pub fn has(&self, key: &Key) -> bool {
        matches!(self.find(key), Lookup::Found(_))
    }

    /// Everything that can be read.
    pub fn each(&self, mut visit: impl FnMut(&K)) {
        for cache in &self.caches {
            for object in cache.store.state() {
                if let Ok(object) = &object.0 {
                    visit(object);
                }
            }
        }
    }

    /// What exists, readable or not.
    pub fn keys(&self) -> Vec<Key> {
        let caches = self.caches.iter();
        caches
            .flat_map(|cache| cache.store.state())
            .map(|object| Key::of(&*object))
            .collect()
    }

    /// Whether every cache was filled once.
    pub fn is_synced(&self) -> bool {
        self.caches.iter().all(|cache| *cache.synced.borrow())
    }

    /// Waits until every cache was filled once.
    pub async fn synced(&self) {
        for cache in &self.caches {
            // A writer is dropped only when its controller ends, and with it everything.
            if cache.synced.clone().wait_for(|synced| *synced).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What a cache knows of an object.
#[derive(Clone, Debug)]
pub enum Lookup<K> {
    /// It exists, though it may not be readable.
    Found(Arc<Guarded<K>>),
    /// It does not exist.
    Missing,
    /// The cache was not filled yet.
    NotYet,
    /// No cache covers its namespace.
    NotWatched,
}

/// The key as kube writes it.
pub fn object_ref<K: Watched>(key: &Key) -> ObjectRef<Guarded<K>> {
    ObjectRef::new(&key.name).within(&key.namespace)
}
