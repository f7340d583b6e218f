//! Delays between attempts to connect: exponential, capped, and jittered so that replicas do not return in step.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// The delay before the attempt after `failures` failed ones: none at first, then 100 ms doubling to 10 s, of which up
/// to a half is taken off at random.
pub(crate) fn delay(failures: usize) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32 << u32::try_from(doublings).unwrap_or(u32::MAX).min(16);
    let full = FIRST.saturating_mul(factor).min(MOST);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_cap_and_stay_within_their_jitter() {
        assert_eq!(delay(0), Duration::ZERO);
        for (failures, most) in [(1, 100), (2, 200), (5, 1600), (60, 10_000)] {
            let (least, most) = (Duration::from_millis(most / 2), Duration::from_millis(most));
            for _ in 0..50 {
                assert!((least..=most).contains(&delay(failures)));
            }
        }
    }
}
