//! Numbers with their units, and names.

use std::time::Duration;

use itertools::Itertools as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use leeward_core::explain::amounts;

pub use leeward_core::explain::amounts::{about, bytes};

/// `1 stream`, `3 streams`.
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    amounts::counted(count.try_into().unwrap_or(u64::MAX), what)
}

/// Names with commas between; of many the first ones, and how many more there are.
pub fn names(names: impl IntoIterator<Item = impl AsRef<str>>, most: usize) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(most).map(AsRef::as_ref).join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `ORDERS`, or `ORDERS/billing` for a consumer.
pub fn asset(stream: &str, consumer: Option<&str>) -> String {
    match consumer {
        Some(consumer) => format!("{stream}/{consumer}"),
        None => stream.to_owned(),
    }
}

/// `1.5 MiB/s`.
pub fn rate_of_bytes(per_second: u64) -> String {
    format!("{}/s", amounts::bytes(per_second))
}

/// `12 s`, `3 min`, `5 h`; rounded up.
pub fn seconds(seconds: f64) -> String {
    about(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// `0.42 ms`, `7.8 ms`, `78 ms`.
pub fn milliseconds(milliseconds: f64) -> String {
    format!("{} ms", three_digits(milliseconds))
}

/// Of messages: `0.4/s`, `120/s`, `12k/s`.
pub fn per_second(rate: f32) -> String {
    let rate = f64::from(rate);
    if rate >= 10_000.0 {
        format!("{:.0}k/s", rate / 1000.0)
    } else {
        format!("{}/s", three_digits(rate))
    }
}

/// Waiting saved: milliseconds of it each second, added up over messages.
pub fn gain(milliseconds_per_second: f32) -> String {
    let gain = f64::from(milliseconds_per_second);
    if gain.abs() >= 1000.0 {
        format!("{} s/s", three_digits(gain / 1000.0))
    } else {
        format!("{} ms/s", three_digits(gain))
    }
}

/// `78 %`.
pub fn percent(percent: i32) -> String {
    format!("{percent} %")
}

/// `45s`, `12m`, `5h`, `3d`, as kubectl has it.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `2026-11-23 02:45:10Z`.
pub fn clock(time: Timestamp) -> String {
    format!("{}Z", time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S"))
}

/// `now`, or `in 12 min (02:45:10Z)`; with the date if it is another day.
pub fn in_time(at: Timestamp, now: Timestamp) -> String {
    let Ok(wait) = Duration::try_from(at.duration_since(now)) else {
        return "now".to_owned();
    };
    if wait.is_zero() {
        return "now".to_owned();
    }
    let (then, today) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    let when = if then.date() == today.date() {
        format!("{}Z", then.strftime("%H:%M:%S"))
    } else {
        clock(at)
    };
    format!("in {} ({when})", about(wait))
}

/// At most three digits before what no one reads: `0`, `0.42`, `7.8`, `78`, `780`.
fn three_digits(number: f64) -> String {
    let size = number.abs();
    let text = if size < 1.0 {
        format!("{number:.2}")
    } else if size < 10.0 {
        format!("{number:.1}")
    } else {
        return format!("{number:.0}");
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_no_more_digits_than_tell() {
        assert_eq!(rate_of_bytes(1_572_864), "1.5 MiB/s");
        assert_eq!(seconds(12.2), "13 s");
        assert_eq!(seconds(f64::INFINITY), about(Duration::MAX));
        assert_eq!(milliseconds(0.42), "0.42 ms");
        assert_eq!(milliseconds(78.4), "78 ms");
        assert_eq!(per_second(0.0), "0/s");
        assert_eq!(per_second(0.4), "0.4/s");
        assert_eq!(per_second(1240.0), "1240/s");
        assert_eq!(per_second(120_000.0), "120k/s");
        assert_eq!(gain(340.0), "340 ms/s");
        assert_eq!(gain(1500.0), "1.5 s/s");
        assert_eq!(gain(-423.14), "-423 ms/s");
        assert_eq!(gain(-1500.0), "-1.5 s/s");
        assert_eq!(percent(78), "78 %");
    }

    #[test]
    fn times_are_told_from_now_on() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(in_time(now, now), "now");
        assert_eq!(in_time(now - Duration::from_secs(5), now), "now");
        assert_eq!(in_time(later(700), now), "in 12 min (12:11:40Z)");
        assert_eq!(in_time(later(86_400), now), "in 24 h (2026-01-02 12:00:00Z)");
        assert_eq!(age(now, later(100)), "100s");
        assert_eq!(age(now, later(3600)), "60m");
        assert_eq!(age(now, later(200_000)), "2d");
        assert_eq!(age(later(1), now), "0s");
    }
}
