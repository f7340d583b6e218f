//! Names of things that cross module borders, one type each, cheap to clone and ordered as text.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

name! {
    /// An account as the servers identify it: its public key in operator mode, its name otherwise.
    AccountId
}
name! {
    /// A stream of one account.
    StreamName
}
name! {
    /// A consumer of one stream.
    ConsumerName
}
name! {
    /// A server's `server_name`, unique within a system.
    ServerName
}
name! {
    /// A NATS cluster.
    ClusterName
}
name! {
    /// Where a server is, by the policy's topology key: a cluster name, or a whole server tag such as
    /// `region:us-east`.
    Location
}
name! {
    /// A server tag, lower-cased as the servers report it (nats-facts N2).
    Tag
}

/// A stream, or a consumer of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssetName {
    /// The stream.
    pub stream: StreamName,
    /// The consumer, when the asset is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consumer: Option<ConsumerName>,
}

impl AssetName {
    /// The stream itself.
    pub fn stream(stream: StreamName) -> Self {
        Self {
            stream,
            consumer: None,
        }
    }

    /// A stream, or a consumer of it if one is named, as a status names them.
    pub fn of(stream: &str, consumer: Option<&str>) -> Self {
        Self {
            stream: StreamName::from(stream),
            consumer: consumer.map(ConsumerName::from),
        }
    }

    /// A consumer of a stream.
    pub fn consumer(stream: StreamName, consumer: ConsumerName) -> Self {
        Self {
            stream,
            consumer: Some(consumer),
        }
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.consumer {
            Some(consumer) => write!(formatter, "consumer {}/{consumer}", self.stream),
            None => write!(formatter, "stream {}", self.stream),
        }
    }
}
