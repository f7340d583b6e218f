//! The stream of a consumer among the definitions: of its account, and where several could be meant, of its namespace,
//! its file or its folder.

use std::collections::BTreeMap;
use std::path::Path;

use leeward_core::definition::Definition;
use leeward_core::names::StreamName;

use super::definitions::{Defined, DefinedKind};

/// The streams that are defined, by name.
#[derive(Debug)]
pub struct Streams<'a, 'd>(BTreeMap<&'a StreamName, Vec<(&'a Defined<'d>, &'a Definition)>>);

impl<'a, 'd> Streams<'a, 'd> {
    /// Of all definitions.
    pub fn of(defined: &'a [Defined<'d>]) -> Self {
        let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in defined {
            if let DefinedKind::Stream(definition) = &one.what {
                streams
                    .entry(&definition.stream)
                    .or_default()
                    .push((one, definition));
            }
        }
        Self(streams)
    }

    /// The stream of a consumer; `None` if there is none, or if several candidates differ.
    pub fn beside(&self, consumer: &Defined<'_>, name: &StreamName) -> Option<&'a Definition> {
        let named = self.0.get(name)?.iter().copied();
        let mut possible: Vec<_> = named
            .filter(|(stream, _)| stream.owner.may_share_account(&consumer.owner))
            .collect();
        let nearer: [fn(&Defined<'_>, &Defined<'_>) -> bool; 4] = [
            |one, other| one.owner == other.owner,
            |one, other| one.owner.namespace == other.owner.namespace,
            |one, other| one.part.file() == other.part.file(),
            |one, other| folder(one) == folder(other),
        ];
        for is_near in nearer {
            if possible.len() > 1 && possible.iter().any(|(stream, _)| is_near(stream, consumer)) {
                possible.retain(|(stream, _)| is_near(stream, consumer));
            }
        }
        let (_, first) = possible.first()?;
        let is_same =
            |other: &Definition| other.replicas == first.replicas && other.metadata == first.metadata;
        possible.iter().all(|(_, other)| is_same(other)).then_some(*first)
    }
}

fn folder<'d>(defined: &Defined<'d>) -> Option<&'d Path> {
    Path::new(defined.part.file()).parent()
}
