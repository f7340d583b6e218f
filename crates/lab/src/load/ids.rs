//! How a message is recognised, and a compact set of message numbers.

use std::collections::BTreeMap;

/// A message of the load, or one that somebody else put into the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageIdentity {
    Ours { publisher: usize, number: u64 },
    Foreign { stream_sequence: u64 },
}

/// The value of `Nats-Msg-Id`: which load, which of its publishers, which message.
pub(super) fn message_id(load: &str, publisher: usize, number: u64) -> String {
    format!("{load}-{publisher}-{number}")
}

/// The inverse of [`message_id`], for messages of this load only.
pub(super) fn parse_message_id(load: &str, id: &str) -> Option<(usize, u64)> {
    let (publisher, number) = id.strip_prefix(load)?.strip_prefix('-')?.split_once('-')?;
    Some((publisher.parse().ok()?, number.parse().ok()?))
}

/// A set of numbers that are mostly next to each other: one bit each, in blocks of 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NumberSet {
    blocks: BTreeMap<u64, u64>,
    length: u64,
}

impl NumberSet {
    /// Whether the number is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let block = self.blocks.entry(number / 64).or_default();
        let bit = 1 << (number % 64);
        let new = *block & bit == 0;
        *block |= bit;
        self.length += u64::from(new);
        new
    }

    pub fn contains(&self, number: u64) -> bool {
        self.blocks
            .get(&(number / 64))
            .is_some_and(|block| block & (1 << (number % 64)) != 0)
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().flat_map(|(index, block)| {
            (0..64)
                .filter(move |bit| block & (1 << bit) != 0)
                .map(move |bit| index * 64 + bit)
        })
    }

    /// How many numbers of this set are not in the other.
    pub fn count_missing_in(&self, other: &Self) -> u64 {
        let missing = |(index, block): (&u64, &u64)| {
            u64::from((block & !other.blocks.get(index).copied().unwrap_or_default()).count_ones())
        };
        self.blocks.iter().map(missing).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_each_number_once_and_tells_what_another_lacks() {
        let mut set = NumberSet::default();
        let mut other = NumberSet::default();
        for number in [0, 63, 64, 1_000_000, 63] {
            set.insert(number);
        }
        other.insert(64);
        other.insert(65);
        assert_eq!(set.len(), 4);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 1_000_000]);
        assert!(set.contains(63) && !set.contains(62) && !set.contains(128));
        assert_eq!(set.count_missing_in(&other), 3);
        assert_eq!(other.count_missing_in(&set), 1);
    }

    #[test]
    fn only_ids_of_the_same_load_are_recognised() {
        assert_eq!(parse_message_id("a1", &message_id("a1", 7, 42)), Some((7, 42)));
        assert_eq!(parse_message_id("a1", &message_id("a2", 7, 42)), None);
        assert_eq!(parse_message_id("a1", "order-17"), None);
        assert_eq!(parse_message_id("a1", "a1-7-x"), None);
    }
}
