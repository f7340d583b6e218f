//! How a lease's duration divides up.

use std::time::Duration;

const LONGEST_RENEWAL: Duration = Duration::from_secs(2);
const LONGEST_CALL: Duration = Duration::from_millis(1500);
const SHORTEST_LOOK: Duration = Duration::from_millis(250);

/// The times of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Others leave the lease alone for this long after they saw it renewed.
    pub duration: Duration,
    /// The holder stops this long after it began the last renewal that succeeded: two thirds of the duration. The third
    /// is for a request that is on its way.
    pub deadline: Duration,
    /// From one renewal to the next.
    pub renew: Duration,
    /// From one look to the next of one who waits.
    pub look: Duration,
    /// A call may take this long.
    pub call: Duration,
    /// Who did not renew for this long is not counted on, whatever it still holds: one renewal failed, or two were late.
    pub present: Duration,
}

impl Timing {
    /// The times that follow from a duration. A renewal may fail twice before the deadline.
    pub fn of(duration: Duration) -> Self {
        let deadline = duration * 2 / 3;
        let renew = (deadline / 5).min(LONGEST_RENEWAL);
        let call = (deadline / 3).min(LONGEST_CALL);
        Self {
            duration,
            deadline,
            renew,
            look: (renew / 4).max(SHORTEST_LOOK),
            call,
            present: renew * 2 + call,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_lease_is_renewed_every_two_seconds_and_acts_end_five_seconds_before_others_may_take_it() {
        let timing = Timing::of(Duration::from_secs(15));
        assert_eq!(timing.deadline, Duration::from_secs(10));
        assert_eq!(timing.renew, Duration::from_secs(2));
        assert_eq!(timing.look, Duration::from_millis(500));
        assert_eq!(timing.call, Duration::from_millis(1500));
    }

    #[test]
    fn a_renewal_that_fails_twice_leaves_time_for_a_third_whatever_the_duration() {
        for seconds in [3, 4, 6, 15, 60, 3600] {
            let timing = Timing::of(Duration::from_secs(seconds));
            assert!(
                timing.call * 2 + timing.renew < timing.deadline,
                "{seconds} s: {timing:?}"
            );
            assert!(timing.deadline < timing.duration, "{seconds} s: {timing:?}");
        }
    }
}
