//! Why no location is home, as data and as text.

use serde::{Deserialize, Serialize};

use crate::names::Location;

/// Why no location is home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoMajority {
    /// Fewer selected connections than `home.minConnections`.
    TooFewConnections {
        /// How many there are.
        connections: u32,
        /// How many are needed.
        needed: u32,
    },
    /// Locations lead with the same weight.
    Tie {
        /// The locations.
        locations: Vec<Location>,
    },
    /// The largest share is below `home.majorityPercent`.
    ShareTooSmall {
        /// The location with the largest share.
        location: Location,
        /// Its share.
        percent: u8,
        /// The share that is needed.
        needed: u8,
    },
    /// More weight is on servers on which JetStream does not run than in any location that can be home.
    WithoutJetStream {
        /// How many connections that are.
        connections: u32,
        /// Where they are.
        locations: Vec<Location>,
        /// The JetStream domain that was observed.
        domain: Option<String>,
    },
    /// Some clients' weight is not known, and unknown is not zero.
    WeightUnknown {
        /// How many connections that are.
        connections: u32,
    },
    /// Clients are connected, but none has sent or received anything since the last observation.
    NoTraffic,
    /// None of `home.preferences` has a server that answers.
    NoPreferenceUp,
}

impl std::fmt::Display for NoMajority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFewConnections { connections, needed } => {
                write!(
                    formatter,
                    "{connections} connections, {needed} are needed (home.minConnections)"
                )?;
                if *connections == 0 {
                    formatter
                        .write_str("; clients of other accounts that import the streams do not count")?;
                }
                Ok(())
            }
            Self::Tie { locations } => {
                let names: Vec<&str> = locations.iter().map(Location::as_str).collect();
                write!(formatter, "a tie between {}", names.join(" and "))
            }
            Self::ShareTooSmall {
                location,
                percent,
                needed,
            } => write!(
                formatter,
                "{location} has the largest share with {percent} %, {needed} % are needed (home.majorityPercent)"
            ),
            Self::WithoutJetStream {
                connections,
                locations,
                domain,
            } => {
                let names: Vec<&str> = locations.iter().map(Location::as_str).collect();
                let domain = domain.as_ref();
                let domain = domain.map_or_else(String::new, |domain| format!(" of domain {domain}"));
                write!(
                    formatter,
                    "{connections} connections are where no JetStream server{domain} is ({}), which cannot be home",
                    names.join(", ")
                )
            }
            Self::WeightUnknown { connections } => write!(
                formatter,
                "the traffic of {connections} connections is not known (yet): home.weightBy needs all of it"
            ),
            Self::NoTraffic => {
                formatter.write_str("no traffic of clients was seen since the last observation")
            }
            Self::NoPreferenceUp => formatter.write_str("none of home.preferences has a server that answers"),
        }
    }
}
