use std::time::Duration;

use super::{GoDuration, ParseDurationError, at_least};

#[test]
fn go_durations_are_read_and_written_in_one_canonical_form() {
    let cases = [
        ("0s", 0, "0s"),
        ("0h0m", 0, "0s"),
        ("10m", 600_000_000_000, "10m"),
        ("1h30m", 5_400_000_000_000, "1h30m"),
        ("90s", 90_000_000_000, "1m30s"),
        ("60m", 3_600_000_000_000, "1h"),
        ("500ms", 500_000_000, "500ms"),
        ("1.5s", 1_500_000_000, "1s500ms"),
        ("1.5h", 5_400_000_000_000, "1h30m"),
        ("0.25us", 250, "250ns"),
        ("7us3ns", 7_003, "7us3ns"),
        ("2m1h", 3_720_000_000_000, "1h2m"),
        ("007s", 7_000_000_000, "7s"),
        ("0.000000001s", 1, "1ns"),
        (
            "2562047h47m16s854ms775us807ns",
            i64::MAX.unsigned_abs(),
            "2562047h47m16s854ms775us807ns",
        ),
    ];
    for (text, nanoseconds, canonical) in cases {
        let duration: GoDuration = text.parse().unwrap();
        assert_eq!(duration.as_std(), Duration::from_nanos(nanoseconds), "{text}");
        assert_eq!(duration.to_string(), canonical, "{text}");
        assert_eq!(canonical.parse(), Ok(duration), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_where_it_goes_wrong() {
    let malformed = [
        ("10", "10"),
        ("0", "0"),
        ("m", "m"),
        (" 10m", " 10m"),
        ("10m ", " "),
        ("-5m", "-5m"),
        ("+5m", "+5m"),
        ("1d", "1d"),
        ("5M", "5M"),
        ("1h-30m", "-30m"),
        (".5s", ".5s"),
        ("5.s", "5.s"),
        ("1.5.5s", "1.5.5s"),
        ("1.0000000001s", "1.0000000001s"),
        ("1e3s", "1e3s"),
        ("often", "often"),
        ("٣s", "٣s"),
    ];
    for (text, rest) in malformed {
        assert_eq!(
            text.parse::<GoDuration>(),
            Err(ParseDurationError::Malformed(rest.to_owned())),
            "{text}"
        );
    }
    assert_eq!("".parse::<GoDuration>(), Err(ParseDurationError::Empty));
    for text in [
        "2562047h47m16s854ms775us808ns",
        "99999999h",
        "99999999999999999999999s",
        "2562047h2562047h",
    ] {
        assert_eq!(
            text.parse::<GoDuration>(),
            Err(ParseDurationError::TooLong),
            "{text}"
        );
    }
}

#[test]
fn json_holds_the_canonical_text() {
    let duration: GoDuration = serde_json::from_str("\"90m\"").unwrap();
    assert_eq!(duration, GoDuration::from_mins(90));
    assert_eq!(serde_json::to_string(&duration).unwrap(), "\"1h30m\"");
    let refused = serde_json::from_str::<GoDuration>("\"10\"")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("such as \"1h30m\""), "{refused}");
    assert!(serde_json::from_str::<GoDuration>("600").is_err());
}

#[test]
fn a_floor_is_a_rule_that_cel_compares() {
    let rule = at_least(GoDuration::from_secs(5));
    assert!(rule.ends_with("|| duration(self) >= duration('5s')"), "{rule}");
}
