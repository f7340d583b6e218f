//! Durations as Go writes them: `10m`, `1h30m`, `0s`, `500ms`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration that is written as a Go duration string: numbers with the units `h`, `m`, `s`, `ms`, `us` and `ns`.
///
/// Never negative, at most what Go's 64-bit nanoseconds hold (about 292 years). `Display` writes whole numbers of
/// the units from large to small and leaves out those that are zero: `90s` becomes `1m30s`, `1.5s` becomes `1s500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseDurationError {
    /// There is nothing to read.
    Empty,
    /// The text is not a row of numbers with units; the first part that is not.
    Malformed(String),
    /// The duration is longer than 64 bits of nanoseconds.
    TooLong,
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("a duration is empty: write one such as \"10m\""),
            Self::Malformed(rest) => write!(
                formatter,
                "a duration is malformed at {rest:?}: write numbers with the units h, m, s, ms, us, ns, such as \"1h30m\""
            ),
            Self::TooLong => formatter.write_str("a duration is longer than 2562047h"),
        }
    }
}

impl std::error::Error for ParseDurationError {}

/// Units with their length in nanoseconds. A unit comes before its prefixes.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// The largest duration in nanoseconds, as in Go.
const MAX_NANOSECONDS: u64 = i64::MAX.unsigned_abs();

/// Digits behind the decimal point that are read; more would be below a nanosecond for every unit up to a second.
const MAX_DECIMALS: usize = 9;

impl GoDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A duration of whole minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes * 60))
    }

    /// A duration of whole hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours * 3600))
    }

    /// The duration as the standard library's type.
    pub const fn as_std(self) -> Duration {
        self.0
    }

    /// Whether the duration is zero.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseDurationError::Empty);
        }
        let mut rest = text;
        let mut total = 0_u64;
        while !rest.is_empty() {
            let (nanoseconds, after) = read_part(rest)?;
            total = total
                .checked_add(nanoseconds)
                .ok_or(ParseDurationError::TooLong)?;
            rest = after;
        }
        if total > MAX_NANOSECONDS {
            return Err(ParseDurationError::TooLong);
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

/// Reads one number with its unit; returns its nanoseconds and what is left.
fn read_part(text: &str) -> Result<(u64, &str), ParseDurationError> {
    let malformed = || ParseDurationError::Malformed(text.to_owned());
    let (whole, mut rest) = split_digits(text);
    let mut decimals = "";
    if let Some(behind_point) = rest.strip_prefix('.') {
        (decimals, rest) = split_digits(behind_point);
        if decimals.is_empty() || decimals.len() > MAX_DECIMALS {
            return Err(malformed());
        }
    }
    let (unit, rest) = UNITS
        .iter()
        .find_map(|(name, unit)| rest.strip_prefix(name).map(|rest| (*unit, rest)))
        .ok_or_else(malformed)?;
    if whole.is_empty() {
        return Err(malformed());
    }
    let whole: u64 = whole.parse().map_err(|_| ParseDurationError::TooLong)?;
    let nanoseconds = whole
        .checked_mul(unit)
        .and_then(|whole| whole.checked_add(fraction_of(decimals, unit)))
        .ok_or(ParseDurationError::TooLong)?;
    Ok((nanoseconds, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The part of a unit that decimals such as `25` (a quarter) stand for, cut to whole nanoseconds.
fn fraction_of(decimals: &str, unit: u64) -> u64 {
    let mut share = u128::from(unit);
    let mut nanoseconds = 0_u128;
    let mut scale = 1_u128;
    for digit in decimals.bytes() {
        scale *= 10;
        nanoseconds = nanoseconds * 10 + u128::from(digit - b'0');
    }
    share = share * nanoseconds / scale;
    u64::try_from(share).unwrap_or(unit)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return formatter.write_str("0s");
        }
        let seconds = self.0.as_secs();
        let nanoseconds = self.0.subsec_nanos();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(nanoseconds / 1_000_000), "ms"),
            (u64::from(nanoseconds / 1_000 % 1_000), "us"),
            (u64::from(nanoseconds % 1_000), "ns"),
        ];
        for (number, unit) in parts {
            if number > 0 {
                write!(formatter, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// A string with a rule instead of a pattern, because a rule can say what to write.
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('{PATTERN}') && duration(self) <= duration('8760h')"),
                "message": "must be a duration such as \"10m\", \"1h30m\" or \"0s\", and at most 8760h",
            }],
        })
    }
}

/// What the schema takes for a duration. The digits before the point hold 8760h in each unit, and 32 characters of them
/// never exceed what CEL's `duration()` can hold: the rule's own message reports too long a duration.
const PATTERN: &str = "^([0-9]{1,4}([.][0-9]{1,9})?h|[0-9]{1,6}([.][0-9]{1,9})?m|[0-9]{1,8}([.][0-9]{1,9})?s|[0-9]{1,11}([.][0-9]{1,9})?ms|[0-9]{1,14}([.][0-9]{1,9})?us|[0-9]{1,17}([.][0-9]{1,9})?ns)+$";

/// A CEL rule for a field of type [`GoDuration`]: at least this long. Passes where the text is no duration.
pub(crate) fn at_least(floor: GoDuration) -> String {
    format!("!self.matches('{PATTERN}') || duration(self) >= duration('{floor}')")
}

#[cfg(test)]
mod tests;
