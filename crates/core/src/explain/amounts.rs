//! Bytes and times for people.

use std::time::Duration;

use crate::score::MOVES_WITHOUT_STALL;
use crate::topology::Version;

/// Rounded down: `300 MiB`, `1.5 GiB`, `17 bytes`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return counted(count, "byte");
    }
    let mut unit = 0;
    let mut tenths = u128::from(count) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if tenths < 100 && tenths % 10 != 0 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

/// `1 server`, `2 servers`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rounded up, in the largest useful unit: `12 s`, `3 min`, `5 h`.
pub fn about(time: Duration) -> String {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// Which servers cause a stall.
pub fn stalling_servers() -> String {
    let Version {
        major,
        minor,
        patch: _,
    } = MOVES_WITHOUT_STALL;
    format!("servers before {major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_leaves_a_number_before_the_point() {
        for (count, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            ((1 << 30) - 1, "1023 MiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_are_rounded_up() {
        let text = |milliseconds| about(Duration::from_millis(milliseconds));
        assert_eq!(text(0), "0 s");
        assert_eq!(text(1), "1 s");
        assert_eq!(text(119_000), "119 s");
        assert_eq!(text(121_000), "3 min");
        assert_eq!(text(7_200_001), "3 h");
        assert_eq!(about(Duration::MAX), "5124095576030432 h");
    }
}
