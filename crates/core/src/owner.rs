//! Whose the configurations of streams are: a controller writes a stream as its object says, so an edit of the stream
//! alone is undone.

use std::collections::BTreeMap;

use crate::names::StreamName;
use crate::snapshot::{Placement, Stream};
use crate::target::Destination;

/// By this metadata of a stream nats-operator knows its own.
const NATS_OPERATOR_OWNER: &str = "jetstream.nats-operator.io/owner";

/// Who owns which stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOwners {
    /// These streams have an object; all others are free, unless their metadata says otherwise.
    Known(BTreeMap<StreamName, OwnerObject>),
    /// Unknown, for this reason: every stream may be owned (P6).
    Unknown(String),
}

/// The object that says how a stream is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerObject {
    /// Kind, namespace and name: `Stream nats/orders`.
    pub name: String,
    /// Why the policy may not patch it, as the end of a sentence about it; `None` where it may.
    pub not_patched: Option<String>,
}

/// Who owns a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOwner<'a> {
    /// An object with a field for the placement.
    Object(&'a OwnerObject),
    /// Somebody else, for people.
    Other(String),
}

impl Default for StreamOwners {
    fn default() -> Self {
        Self::Known(BTreeMap::new())
    }
}

impl StreamOwners {
    /// Who owns a stream's configuration; `None` where nobody does.
    pub fn owner(&self, stream: &Stream) -> Option<StreamOwner<'_>> {
        let object = match self {
            Self::Known(objects) => objects.get(&stream.name),
            Self::Unknown(why) => return Some(StreamOwner::Other(format!("somebody unknown ({why})"))),
        };
        object.map(StreamOwner::Object).or_else(|| {
            let owner = stream.metadata.get(NATS_OPERATOR_OWNER)?;
            Some(StreamOwner::Other(format!("nats-operator, as {owner}")))
        })
    }

    /// The same for whoever cannot patch objects.
    #[must_use]
    pub fn unpatched(mut self, why: &str) -> Self {
        if let Self::Known(objects) = &mut self {
            for object in objects.values_mut() {
                object.not_patched.get_or_insert_with(|| why.to_owned());
            }
        }
        self
    }
}

impl StreamOwner<'_> {
    /// The object, where the policy may patch it.
    pub fn patchable(&self) -> Option<&OwnerObject> {
        match self {
            Self::Object(object) => Some(object)
                .filter(|object| object.not_patched.is_none())
                .map(|object| &**object),
            Self::Other(_) => None,
        }
    }
}

/// What `spec.placement` of the object would be that brings a stream home.
pub fn wanted_placement(home: &Destination<'_>, stream: &Stream) -> Placement {
    home.placement(stream.placement.as_ref())
}

/// Whether a move home would remove the placement and write it again, which no object can say.
pub fn is_repaired(home: &Destination<'_>, stream: &Stream) -> bool {
    stream.placement.as_ref() == Some(&wanted_placement(home, stream))
}
