//! Ends connections on which a server sends more at once than is ever read.
//!
//! async-nats buffers a line or a message until its end, however long that takes. Its buffer is not visible, but the
//! bytes received are: on a connection, those since its last message, bounded also for all connections together; before
//! there is one, the memory that this process takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use tokio::time::{MissedTickBehavior, interval};

/// The check interval; at the speed of memory some 20 MiB arrive meanwhile.
const EVERY: Duration = Duration::from_millis(40);
/// More than any readable answer has, packed or not.
const MOST_AT_ONCE: u64 = 40 << 20;
/// For all connections of this process together; a connection below `LARGE_PART` is not to blame.
const MOST_OF_ALL: u64 = 48 << 20;
const LARGE_PART: u64 = 4 << 20;
/// The bytes on all connections since their last messages.
static COMING: AtomicU64 = AtomicU64::new(0);
/// No handshake makes a process grow by this much.
const MOST_GROWTH: u64 = 48 << 20;
/// Linux counts memory in pages of at least this.
const PAGE: u64 = 4 << 10;

/// Waits until more than the limit has arrived since the last message.
pub(crate) async fn too_much_at_once(client: &Client) {
    let statistics = client.statistics();
    let counts = || {
        let messages = statistics.in_messages.load(Ordering::Relaxed);
        (messages, statistics.in_bytes.load(Ordering::Relaxed))
    };
    let mut watch = ReadProgress::new(&COMING, counts());
    let mut looks = looks();
    loop {
        looks.tick().await;
        if watch.is_too_much(counts()) {
            return;
        }
    }
}

/// Waits until this process has grown more than a handshake makes it; forever where that is not known.
pub(crate) async fn growth() {
    let Some(before) = resident() else {
        return std::future::pending().await;
    };
    let mut looks = looks();
    loop {
        looks.tick().await;
        if resident().is_some_and(|now| now.saturating_sub(before) > MOST_GROWTH) {
            return;
        }
    }
}

/// The message for the former.
pub(crate) fn too_large() -> String {
    let (most, of_all) = (MOST_AT_ONCE >> 20, MOST_OF_ALL >> 20);
    format!(
        "a message of the server has more than the {most} MiB that are read ({of_all} MiB on all connections together), or does \
         not end"
    )
}

/// The message for the latter: others may have made the process grow.
pub(crate) fn grown() -> String {
    let most = MOST_GROWTH >> 20;
    format!(
        "connecting was broken off because memory grew by more than {most} MiB meanwhile, as it does where what answers sends \
         without end"
    )
}

fn looks() -> tokio::time::Interval {
    let mut looks = interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Bytes of memory that this process takes.
fn resident() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = counts.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(PAGE))
}

/// The bytes since the last message.
struct ReadProgress<'a> {
    all: &'a AtomicU64,
    messages: u64,
    bytes: u64,
    /// What this connection added to `all`.
    coming: u64,
}

impl<'a> ReadProgress<'a> {
    fn new(all: &'a AtomicU64, (messages, bytes): (u64, u64)) -> Self {
        Self {
            all,
            messages,
            bytes,
            coming: 0,
        }
    }

    fn is_too_much(&mut self, (messages, bytes): (u64, u64)) -> bool {
        if messages != self.messages {
            (self.messages, self.bytes) = (messages, bytes);
        }
        self.counts(bytes.saturating_sub(self.bytes));
        self.coming > MOST_AT_ONCE
            || self.coming > LARGE_PART && self.all.load(Ordering::Relaxed) > MOST_OF_ALL
    }

    fn counts(&mut self, coming: u64) {
        self.all.fetch_add(coming, Ordering::Relaxed);
        self.all.fetch_sub(self.coming, Ordering::Relaxed);
        self.coming = coming;
    }
}

impl Drop for ReadProgress<'_> {
    fn drop(&mut self) {
        self.counts(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_messages_are_not_too_much_and_one_without_end_is() {
        let all = AtomicU64::new(0);
        let mut watch = ReadProgress::new(&all, (0, 0));
        for number in 1..100 {
            assert!(!watch.is_too_much((number, number * MOST_AT_ONCE)));
        }
        assert!(
            !watch.is_too_much((99, 100 * MOST_AT_ONCE)),
            "its beginning may be long ago"
        );
        assert!(watch.is_too_much((99, 100 * MOST_AT_ONCE + 1)));
        assert!(!watch.is_too_much((100, 101 * MOST_AT_ONCE)), "it ended");
    }

    #[test]
    fn large_messages_on_many_connections_are_too_much_together_and_small_ones_are_not_to_blame() {
        let all = AtomicU64::new(0);
        let mut large: Vec<ReadProgress<'_>> = (0..4).map(|_| ReadProgress::new(&all, (0, 0))).collect();
        let mut small = ReadProgress::new(&all, (0, 0));
        let part = MOST_OF_ALL / 4;
        assert!(!large.iter_mut().any(|one| one.is_too_much((0, part))));
        assert!(!small.is_too_much((0, LARGE_PART)));
        assert!(large[0].is_too_much((0, part)), "a fifth has come");
        large.clear();
        assert!(!small.is_too_much((0, LARGE_PART + 1)), "those have ended");
        drop(small);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_this_process_takes_is_known() {
        assert!(resident().is_some_and(|bytes| bytes > PAGE));
    }
}
