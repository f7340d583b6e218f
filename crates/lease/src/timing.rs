//! The times that follow from the duration of a Lease.

use std::time::Duration;

const LONGEST_RENEW_PERIOD: Duration = Duration::from_secs(2);
/// Slower than an API server that somebody waits for. A call that ends earlier, although its answer would come, costs the Lease.
const LONGEST_CALL: Duration = Duration::from_secs(5);
const SHORTEST_RETRY_PERIOD: Duration = Duration::from_millis(250);

/// The times of a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Other replicas leave the Lease alone for this long after they observed a renewal.
    pub lease_duration: Duration,
    /// The holder stops this long after it sent the last renewal that succeeded: two thirds of the duration. The last
    /// third is for what the holder did just before and what is still on its way, and for clocks that run at different
    /// rates.
    pub renew_deadline: Duration,
    /// The holder renews this often.
    pub renew_period: Duration,
    /// A replica that does not hold the Lease reads it this often.
    pub retry_period: Duration,
    /// A request may take this long.
    pub call_timeout: Duration,
    /// A member that was not seen to renew for this long gets no shards: one renewal failed, or two were late.
    pub liveness_timeout: Duration,
}

impl Timing {
    /// The times that follow from a duration. A renewal may fail twice before the renew deadline.
    pub fn of(lease_duration: Duration) -> Self {
        let renew_deadline = lease_duration * 2 / 3;
        let renew_period = (renew_deadline / 5).min(LONGEST_RENEW_PERIOD);
        let call_timeout = (renew_deadline / 3).min(LONGEST_CALL);
        Self {
            lease_duration,
            renew_deadline,
            renew_period,
            retry_period: (renew_period / 4).max(SHORTEST_RETRY_PERIOD),
            call_timeout,
            liveness_timeout: renew_period * 2 + call_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_lease_is_renewed_every_two_seconds_and_acts_end_five_seconds_before_others_may_acquire_it() {
        let timing = Timing::of(Duration::from_secs(15));
        assert_eq!(timing.renew_deadline, Duration::from_secs(10));
        assert_eq!(timing.renew_period, Duration::from_secs(2));
        assert_eq!(timing.retry_period, Duration::from_millis(500));
        assert_eq!(timing.call_timeout, Duration::from_secs(10) / 3);
    }

    #[test]
    fn a_renewal_that_fails_twice_leaves_time_for_a_third_whatever_the_duration() {
        for seconds in [3, 4, 6, 15, 60, 3600] {
            let timing = Timing::of(Duration::from_secs(seconds));
            assert!(
                timing.call_timeout * 2 + timing.renew_period < timing.renew_deadline,
                "{seconds} s: {timing:?}"
            );
            assert!(
                timing.renew_deadline < timing.lease_duration,
                "{seconds} s: {timing:?}"
            );
        }
    }
}
