//! Streams that mirror or source each other, over however many steps: one of a family moves at a time, upstream first,
//! since those that read from a moving stream stall (nats-facts N26).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::names::StreamName;
use crate::safety::is_moving;
use crate::snapshot::AccountView;

/// The families among the streams of a view; streams by their position in it.
#[derive(Clone, Debug, Default)]
pub struct SourceGraph {
    /// Each stream's family; empty when no stream reads from another.
    family: Vec<usize>,
    /// The streams that each one reads from.
    upstreams: BTreeMap<usize, Vec<usize>>,
    /// The streams that read from each one.
    dependents: BTreeMap<usize, Vec<usize>>,
    /// The streams that are moving now, by family.
    moving: BTreeMap<usize, Vec<usize>>,
}

impl SourceGraph {
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

    /// Those of some streams that have another one of them upstream, over however many steps. Streams that read from
    /// each other in a cycle have no order.
    pub fn after_others(&self, streams: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut after = BTreeSet::new();
        for circle in self.circles_upstream_first() {
            let comes_after = circle.iter().any(|stream| after.contains(stream));
            if comes_after {
                after.extend(&circle);
            }
            if comes_after || circle.iter().any(|stream| streams.contains(stream)) {
                let readers = circle.iter().flat_map(|stream| self.dependents(*stream));
                after.extend(readers.filter(|reader| !circle.contains(reader)));
            }
        }
        after.intersection(streams).copied().collect()
    }

    /// All streams, grouped by cycles of reading from each other; a stream in no cycle is alone.
    fn circles_upstream_first(&self) -> impl Iterator<Item = Vec<usize>> {
        let reads = self.dependents.iter();
        let reads = reads.flat_map(|(stream, readers)| readers.iter().map(|reader| (*stream, *reader)));
        let graph = DiGraph::<(), (), usize>::from_edges(reads);
        let circles = kosaraju_scc(&graph).into_iter().rev();
        circles.map(|circle| circle.into_iter().map(NodeIndex::index).collect())
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
