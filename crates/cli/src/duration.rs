//! Durations as arguments: Go's notation, as in policies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use leeward_api::duration::GoDuration;

/// A duration such as `30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(duration.as_std()))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.0.as_secs_f64())
    }
}
