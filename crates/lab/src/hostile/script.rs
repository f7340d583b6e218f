//! How a server deviates from the truth, as data: its answers, their delivery, and its connections.

use std::time::Duration;

use serde_json::Value;

use super::question::Call;

/// A lie; the default is the truth.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Applied one after the other to every answer that they match.
    pub edits: Vec<Edit>,
    /// Servers that do not exist but answer too.
    pub crowd: Option<ClientLoad>,
    pub delivery: Delivery,
    pub wire: Wire,
}

#[derive(Clone, Debug)]
pub struct Edit {
    pub of: ReplySelector,
    /// The server whose answers are changed; all if it is `None`.
    pub only: Option<usize>,
    /// Keys and indices; `*` is every element, and no step at all the whole answer.
    pub path: Vec<String>,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplySelector {
    Call(Call),
    /// Every call that all servers answer.
    Monitoring,
}

impl ReplySelector {
    pub(crate) fn covers(self, call: Call) -> bool {
        match self {
            Self::Call(this) => this == call,
            Self::Monitoring => call.is_monitoring(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Change {
    Set(Value),
    /// Fields merged into those of an object.
    Merge(Value),
    Remove,
    /// For the n-th request, the n-th value; the last one from then on.
    Series(Vec<Value>),
    /// Text with `{n}` for the number of the request.
    Numbered(&'static str),
    /// Text of this many letters.
    Letters(usize),
    /// Text that may be invalid JSON, in place of the value.
    Raw(String),
    /// The key once more, with text that may be invalid JSON.
    Again(String),
    /// A list of this many copies of its first element, with this text numbered.
    Copies {
        count: usize,
        numbered: &'static str,
    },
    /// An element of a list once more.
    Twice,
    /// The whole answer.
    Body(Body),
}

/// A whole answer instead of the honest one.
#[derive(Clone, Debug)]
pub enum Body {
    Bytes(Vec<u8>),
    /// The content of the envelope is a list in a list and so on, this deep.
    Nested(usize),
    /// The honest answer with this many megabytes of blanks before its end.
    Blank(usize),
    /// Snappy that unpacks to this many megabytes of blanks.
    Packed(usize),
    /// The honest answer, compressed as servers do.
    Snappy,
    /// Bytes with a `Content-Encoding`.
    Encoded {
        encoding: &'static str,
        bytes: Vec<u8>,
    },
    /// The honest answer under a `Content-Encoding` that it does not have.
    Misnamed(&'static str),
    /// The first part of the honest answer, in thousandths.
    Cut(usize),
    /// The honest answer with one byte replaced, at this many thousandths.
    Byte {
        at: usize,
        byte: u8,
    },
}

#[derive(Clone, Debug)]
pub struct ClientLoad {
    pub servers: usize,
    pub calls: Vec<Call>,
    /// The cluster of each, with `{n}` for its number and `{look}` for the number of the request.
    pub cluster: Option<&'static str>,
    /// Whether the servers count them.
    pub counted: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Only answers to this call; all if it is `None`.
    pub of: Option<Call>,
    pub order: Order,
    /// How often each answer is repeated.
    pub again: usize,
    /// The server whose answer is not sent.
    pub lost: Option<usize>,
    /// Before each answer.
    pub delay: Duration,
    /// In pieces of this many bytes, with a pause after each.
    pub pieces: Option<(usize, Duration)>,
    pub manner: Misbehaviour,
}

/// In which order several servers answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    AsServers,
    Reversed,
    Shuffled(u64),
}

/// What is wrong with each answer on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misbehaviour {
    #[default]
    Whole,
    /// The connection ends in its middle.
    Half,
    Never,
    /// A status instead of content.
    Status(&'static str),
    /// The answer comes to another subject of the right subscription.
    WrongSubject,
    /// The answer is announced with this many bytes more, or fewer, than it has.
    Announced(i64),
}

#[derive(Clone, Debug, Default)]
pub enum Wire {
    #[default]
    Open,
    /// Accepts and sends nothing.
    Silent,
    /// INFO, and nothing afterwards, not even a PONG.
    SilentAfterInfo,
    /// Something else instead of INFO.
    Greets(Flow),
    /// Something unrequested after the handshake.
    Then(Flow),
    /// INFO names the port of [`super::Liar::redirected_connections`] as a server of the cluster, with this prefix, and the connection
    /// ends after each handshake.
    Redirects(&'static str),
}

#[derive(Clone, Debug, Default)]
pub struct Flow {
    pub begins: Vec<u8>,
    pub then: Repeated,
    /// The connection ends after them.
    pub closes: bool,
}

#[derive(Clone, Debug, Default)]
pub enum Repeated {
    #[default]
    Nothing,
    /// This text this many times, with `{n}` for its number.
    Times(&'static str, usize),
    /// The letter A, without end.
    Endless,
    /// Elections of ever new streams, as fast as they are read.
    Elections,
}

impl Script {
    /// A lie that consists of edits alone.
    pub fn edits(edits: impl IntoIterator<Item = Edit>) -> Self {
        Self {
            edits: edits.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl Edit {
    /// A change of the answers to a call, at a path such as `/data/connections/*/in_msgs`.
    pub fn new(call: Call, path: &str, change: Change) -> Self {
        Self {
            of: ReplySelector::Call(call),
            only: None,
            path: steps(path),
            change,
        }
    }

    /// A change of every call that all servers answer.
    pub fn everywhere(path: &str, change: Change) -> Self {
        Self {
            of: ReplySelector::Monitoring,
            ..Self::new(Call::Statsz, path, change)
        }
    }
}

fn steps(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|step| !step.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Flow {
    /// These bytes and nothing else.
    pub fn of(begins: impl Into<Vec<u8>>) -> Self {
        Self {
            begins: begins.into(),
            ..Self::default()
        }
    }

    /// These bytes, and then this.
    pub fn then(begins: &str, then: Repeated) -> Self {
        Self {
            begins: begins.into(),
            then,
            closes: false,
        }
    }

    #[must_use]
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }
}
