//! Streams that mirror or source each other, over however many steps: one of a family moves at once, upstream first, since
//! those that read from a moving stream stall (NATS.md N26).

use std::collections::{BTreeMap, BTreeSet};

use crate::names::StreamName;
use crate::safety::is_moving;
use crate::snapshot::AccountView;

/// The families among the streams of a view; streams by their position in it.
#[derive(Clone, Debug, Default)]
pub struct Families {
    /// Each stream's family; empty when no stream reads from another.
    family: Vec<usize>,
    /// The streams that each one reads from.
    upstreams: BTreeMap<usize, Vec<usize>>,
    /// The streams that read from each one.
    dependents: BTreeMap<usize, Vec<usize>>,
    /// The streams that are moving now, by family.
    moving: BTreeMap<usize, Vec<usize>>,
}

impl Families {
    /// Finds the families of a view.
    pub fn new(view: &AccountView) -> Self {
        if view.streams.iter().all(|stream| stream.upstreams.is_empty()) {
            return Self::default();
        }
        let mut found = Self {
            family: (0..view.streams.len()).collect(),
            ..Self::default()
        };
        for (at, stream) in view.streams.iter().enumerate() {
            let named = stream.upstreams.iter().filter_map(|name| position(view, name));
            let others: BTreeSet<usize> = named.filter(|upstream| *upstream != at).collect();
            for upstream in others {
                found.upstreams.entry(at).or_default().push(upstream);
                found.dependents.entry(upstream).or_default().push(at);
                found.join(at, upstream);
            }
        }
        for at in 0..found.family.len() {
            let root = found.root(at);
            found.set_family(at, root);
        }
        for (at, stream) in view.streams.iter().enumerate() {
            if is_moving(stream)
                && let Some(family) = found.of(at)
            {
                found.moving.entry(family).or_default().push(at);
            }
        }
        found
    }

    /// The family of a stream; `None` for one that neither reads from another nor is read.
    pub fn of(&self, stream: usize) -> Option<usize> {
        let related = self.upstreams.contains_key(&stream) || self.dependents.contains_key(&stream);
        self.family.get(stream).copied().filter(|_| related)
    }

    /// The streams that read from one.
    pub fn dependents(&self, stream: usize) -> &[usize] {
        self.dependents
            .get(&stream)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The others of a stream's family that are moving now.
    pub fn moving_relatives(&self, stream: usize) -> impl Iterator<Item = usize> {
        let family = self.of(stream).and_then(|family| self.moving.get(&family));
        family
            .into_iter()
            .flatten()
            .copied()
            .filter(move |other| *other != stream)
    }

    /// Those of some streams that come after another one of them: it is upstream, over however many steps. Streams that
    /// read from each other in a circle come after none.
    pub fn after_others(&self, streams: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut unread: BTreeMap<usize, usize> = self
            .upstreams
            .iter()
            .map(|(stream, upstreams)| (*stream, upstreams.len()))
            .collect();
        let first = |stream: &&usize| !self.upstreams.contains_key(*stream);
        let mut ready: Vec<usize> = self.dependents.keys().filter(first).copied().collect();
        let mut after = BTreeSet::new();
        while let Some(stream) = ready.pop() {
            let passes_on = streams.contains(&stream) || after.contains(&stream);
            for dependent in self.dependents(stream) {
                if passes_on {
                    after.insert(*dependent);
                }
                if let Some(left) = unread.get_mut(dependent) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(*dependent);
                    }
                }
            }
        }
        after.intersection(streams).copied().collect()
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        // The lower position names the family, whatever the order of joining (P1).
        self.set_family(one.max(other), one.min(other));
    }

    fn root(&mut self, stream: usize) -> usize {
        let mut at = stream;
        while let Some(next) = self.family.get(at).copied().filter(|next| *next != at) {
            let after = self.family.get(next).copied().unwrap_or(next);
            self.set_family(at, after);
            at = after;
        }
        at
    }

    fn set_family(&mut self, stream: usize, family: usize) {
        if let Some(slot) = self.family.get_mut(stream) {
            *slot = family;
        }
    }
}

/// The position of a stream in a view.
pub(super) fn position(view: &AccountView, name: &StreamName) -> Option<usize> {
    view.streams.binary_search_by(|stream| stream.name.cmp(name)).ok()
}

#[cfg(test)]
mod tests;
