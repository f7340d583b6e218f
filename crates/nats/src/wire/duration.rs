//! Durations as Go prints them: `263µs`, `1.5ms`, `1m2.5s`.

use std::time::Duration;

/// Units in nanoseconds; longer names first where one begins with another.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads a non-negative duration; `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        nanoseconds += number * factor;
        rest = rest.get(unit.len()..)?;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(nanoseconds / 1e9).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        let nanoseconds = |text| parse(text).map(|duration| duration.as_nanos());
        assert_eq!(nanoseconds("263µs"), Some(263_000));
        assert_eq!(nanoseconds("25.177542ms"), Some(25_177_542));
        assert_eq!(nanoseconds("1m2.5s"), Some(62_500_000_000));
        assert_eq!(nanoseconds("1h0m0s"), Some(3_600_000_000_000));
        assert_eq!(nanoseconds("0s"), Some(0));
        for bad in ["", "12", "ms", "-1ms", "1x"] {
            assert_eq!(nanoseconds(bad), None, "{bad}");
        }
    }
}
