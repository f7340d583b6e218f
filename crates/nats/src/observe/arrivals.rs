//! When each server was first seen, for those that do not say when they started.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A server that was silent for longer counts as new when it comes back.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// The servers of earlier looks, by id: a server that starts anew has another one.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    seen: BTreeMap<String, (Timestamp, Instant)>,
}

impl Arrivals {
    /// When the server of an id was first seen, which may be now.
    pub(crate) fn of(&mut self, id: &str, now: Timestamp) -> Timestamp {
        if let Some((first, last)) = self.seen.get_mut(id) {
            *last = Instant::now();
            return *first;
        }
        self.seen.insert(id.to_owned(), (now, Instant::now()));
        now
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
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.of("a#1", at(5)), at(5));
        assert_eq!(arrivals.of("a#1", at(9)), at(5));
        assert_eq!(arrivals.of("a#2", at(9)), at(9), "it started anew");
        tokio::time::advance(REMEMBERED_FOR).await;
        arrivals.forget_old();
        assert_eq!(arrivals.of("a#2", at(700)), at(700));
    }
}
