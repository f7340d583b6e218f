//! When each server was first seen, or is known to have been up, for those that do not report their start.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A server that did not answer for longer counts as new when it comes back.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// The servers of earlier looks, by id: a restarted server has another one.
#[derive(Debug, Default)]
pub(crate) struct ServerStartTimes {
    seen: BTreeMap<String, (Timestamp, Instant)>,
}

impl ServerStartTimes {
    /// When the server of an id was first seen, which may be now.
    pub(crate) fn of(&mut self, id: &str, now: Timestamp) -> Timestamp {
        if let Some((first, last)) = self.seen.get_mut(id) {
            *last = Instant::now();
            return *first;
        }
        self.seen.insert(id.to_owned(), (now, Instant::now()));
        now
    }

    /// Since when the server of an id has been up at least, where something older than its first observation shows it.
    pub(crate) fn since(&mut self, id: &str, shown: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let first = self.of(id, now);
        let since = shown.map_or(first, |shown| shown.min(first));
        if let Some((known, _)) = self.seen.get_mut(id) {
            // What shows it may be gone at the next look.
            *known = since;
        }
        since
    }

    /// Forgets the servers that are gone.
    pub(crate) fn forget_old(&mut self) {
        let now = Instant::now();
        self.seen
            .retain(|_, (_, last)| now.duration_since(*last) < REMEMBERED_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_has_arrived_when_its_id_was_first_seen() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut start_times = ServerStartTimes::default();
        assert_eq!(start_times.of("a#1", at(5)), at(5));
        assert_eq!(start_times.of("a#1", at(9)), at(5));
        assert_eq!(start_times.of("a#2", at(9)), at(9), "it started anew");
        tokio::time::advance(REMEMBERED_FOR).await;
        start_times.forget_old();
        assert_eq!(start_times.of("a#2", at(700)), at(700));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_has_been_up_since_the_oldest_thing_that_was_ever_seen_of_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut start_times = ServerStartTimes::default();
        assert_eq!(start_times.since("a#1", None, at(100)), at(100));
        assert_eq!(start_times.since("a#1", Some(at(30)), at(110)), at(30));
        assert_eq!(
            start_times.since("a#1", Some(at(80)), at(120)),
            at(30),
            "it is gone"
        );
        assert_eq!(
            start_times.since("a#1", Some(at(500)), at(130)),
            at(30),
            "clocks differ"
        );
        assert_eq!(
            start_times.since("a#2", Some(at(140)), at(141)),
            at(140),
            "it started anew"
        );
    }
}
