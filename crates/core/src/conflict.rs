//! Two policies that select one stream of an account: which one acts.

use crate::names::StreamName;
use crate::policy::Policy;
use crate::snapshot::AccountView;

/// Decides for policies in rank order which are outranked, by which one and over which stream.
///
/// An outranked policy outranks no other: what it selected is free for the next.
pub fn outranked(view: &AccountView, ranked: &[&Policy]) -> Vec<Option<(usize, StreamName)>> {
    let mut results: Vec<Option<(usize, StreamName)>> = Vec::with_capacity(ranked.len());
    for (rank, policy) in ranked.iter().enumerate() {
        let winner = (0..rank)
            .filter(|above| results.get(*above).is_some_and(Option::is_none))
            .find_map(|above| overlap(view, ranked.get(above)?, policy).map(|stream| (above, stream)));
        results.push(winner);
    }
    results
}

fn overlap(view: &AccountView, one: &Policy, other: &Policy) -> Option<StreamName> {
    let both = view
        .streams
        .iter()
        .find(|stream| one.streams.selects(stream) && other.streams.selects(stream));
    both.map(|stream| stream.name.clone())
}

#[cfg(test)]
mod tests;
