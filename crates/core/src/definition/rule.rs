//! The rules by which definitions are judged, and what stays undecided: stable names, their meaning and what to do.

use serde::Serialize;
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

/// What is wrong with a definition.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Display,
    AsRefStr,
    IntoStaticStr,
    EnumIter,
    EnumString,
)]
pub enum DefinitionRule {
    /// No placement fixes a location.
    LocationOpen,
    /// The placement fixes another location than home.
    LocationNotHome,
    /// A placement tag is one that no server has.
    UnknownTag,
    /// The placement's cluster is one that no server is in.
    UnknownCluster,
    /// The policy would move the stream away from where the definition puts it.
    Undone,
    /// A consumer of one replica whose stream has more.
    SinglePeer,
}

impl DefinitionRule {
    /// What it means: a text for people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::LocationOpen => {
                "No placement fixes a location: the servers may put the stream anywhere, and the policy would have to bring it home."
            }
            Self::LocationNotHome => {
                "The placement fixes another location than home, where the leaders belong."
            }
            Self::UnknownTag => {
                "No server carries a tag that the placement asks for, so the servers refuse to create or move the stream."
            }
            Self::UnknownCluster => {
                "No server is in the cluster that the placement names (names are compared exactly), so the servers refuse to create or move the stream."
            }
            Self::Undone => {
                "The policy moves the stream away from where the definition puts it, and whoever applies the definition (NACK, a pipeline) moves it back: the two would fight."
            }
            Self::SinglePeer => {
                "The consumer has one replica while its stream has more: nobody can take its leadership over, so it can never be stepped down to a peer in home."
            }
        }
    }

    /// What to do about it: a text for people.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::LocationOpen => {
                "Name a location in the placement, by a cluster or by a tag as the policy's topology says."
            }
            Self::LocationNotHome => {
                "Name home in the placement, or change the policy's home; where the stream belongs elsewhere, opt it out with the metadata leeward.dev/ignore: \"true\"."
            }
            Self::UnknownTag => {
                "Correct the tag, or add it to the server_tags of the servers that are meant."
            }
            Self::UnknownCluster => "Correct the cluster's name, letter case included.",
            Self::Undone => {
                "Leave the placement to one of them: name home in the definition, or opt the stream out of the policy with the metadata leeward.dev/ignore: \"true\"."
            }
            Self::SinglePeer => "Leave the consumer's replicas out, so that it has as many as its stream.",
        }
    }
}

/// What cannot be decided about a definition.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Display,
    AsRefStr,
    IntoStaticStr,
    EnumIter,
    EnumString,
)]
pub enum Undecided {
    /// Where home is.
    HomeUnknown,
    /// Which location the placement leads to.
    LocationUnknown,
    /// Which clusters and tags servers have.
    ServersUnknown,
    /// How many replicas the stream of a consumer has.
    StreamUnknown,
}

impl Undecided {
    /// What it means and what would decide it: a text for people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::HomeUnknown => {
                "Where home is cannot be told: live clients decide it. Connect to a system that has enough of them, or set home.strategy to Preferred."
            }
            Self::LocationUnknown => {
                "Which location the placement leads to cannot be told: it names none, and not all servers are known. Name a location in the placement, or connect to a system whose servers all answer."
            }
            Self::ServersUnknown => {
                "Which clusters and tags there are cannot be told: not all servers are known. Connect to a system whose servers all answer."
            }
            Self::StreamUnknown => {
                "Whether the consumer has fewer replicas than its stream cannot be told: the stream is not known. Define it in the files as well, or connect to the system that has it."
            }
        }
    }
}
