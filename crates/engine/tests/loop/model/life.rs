//! What clients make of the fake system's consumers, and streams of the streams that they read.

use std::collections::BTreeMap;
use std::time::Duration;

use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{Progress, Upstream};
use leeward_core::snapshot::AccountView;
use leeward_core::topology::ServerIx;

/// A stream that has a new leader hears of what it reads after this long.
const HEARS_AFTER: Duration = Duration::from_millis(600);
/// How long ago one that hears did so last.
const LATELY: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub struct Life {
    pub clients: BTreeMap<AssetName, Clients>,
    pub readers: BTreeMap<StreamName, Reader>,
}

/// Clients of a consumer.
#[derive(Clone, Debug)]
pub struct Clients {
    pub progress: Progress,
    pub then: Then,
    led: Option<(ServerIx, Duration)>,
    led_by_target: bool,
}

/// What becomes of a consumer that gets a new leader.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    GoesOn,
    GoesOnAfter(Duration),
    Stops,
}

impl Clients {
    /// Clients that wait for messages and get one whenever somebody looks.
    pub fn busy(then: Then) -> Self {
        let progress = Progress {
            delivered: 100,
            ack_floor: 90,
            pending: 7,
            ack_pending: 2,
            max_ack_pending: Some(1000),
            waiting: 3,
            ..Progress::default()
        };
        Self {
            progress,
            then,
            led: None,
            led_by_target: false,
        }
    }

    fn look(&mut self, leader: Option<ServerIx>, now: Duration) -> Progress {
        let before = self.led.map(|(server, _)| server);
        if let Some(leader) = leader
            && before != Some(leader)
        {
            self.led_by_target |= before.is_some();
            self.led = Some((leader, now));
        }
        let since = self.led.map_or(now, |(_, since)| since);
        let goes_on = match self.then {
            Then::GoesOn => true,
            Then::GoesOnAfter(pause) => now >= since + pause,
            Then::Stops => false,
        };
        if goes_on || !self.led_by_target {
            self.progress.delivered += 1;
            self.progress.ack_floor += 1;
            self.progress.clone()
        } else {
            Progress {
                waiting: 0,
                ..self.progress.clone()
            }
        }
    }
}

/// A stream that mirrors or sources another one.
#[derive(Clone, Debug)]
pub struct Reader {
    reads: StreamName,
    /// So long after the move of that one it goes on by itself.
    pub by_itself: Duration,
    /// So many hand-overs of its own are no help.
    pub deaf_for: u32,
    of: Option<ServerIx>,
    lost: Option<Duration>,
    led: Option<ServerIx>,
    elected: Option<Duration>,
    elections: u32,
}

impl Reader {
    pub fn of(stream: &str) -> Self {
        Self {
            reads: StreamName::from(stream),
            by_itself: Duration::from_secs(15),
            deaf_for: 0,
            of: None,
            lost: None,
            led: None,
            elected: None,
            elections: 0,
        }
    }

    fn notice(&mut self, of: Option<ServerIx>, led: Option<ServerIx>, now: Duration) {
        if self.of.is_some() && self.of != of {
            self.lost = Some(now);
        }
        if self.led.is_some() && self.led != led {
            self.elected = Some(now);
            self.elections += 1;
        }
        (self.of, self.led) = (of, led);
    }

    fn last_active(&self, now: Duration) -> Option<Duration> {
        let Some(lost) = self.lost else {
            return Some(LATELY);
        };
        if now >= lost + self.by_itself {
            return Some(LATELY);
        }
        match self.elected {
            None => Some(now.checked_sub(lost).unwrap() + LATELY),
            Some(elected) => {
                (self.elections > self.deaf_for && now >= elected + HEARS_AFTER).then_some(LATELY)
            }
        }
    }
}

impl Life {
    /// Sees who leads now.
    pub fn notice(&mut self, truth: &AccountView, now: Duration) {
        let leader = |name: &StreamName| truth.stream(name).and_then(|stream| stream.group.leader);
        for (name, reader) in &mut self.readers {
            reader.notice(leader(&reader.reads.clone()), leader(name), now);
        }
    }

    pub fn progress(
        &mut self,
        asset: &AssetName,
        leader: Option<ServerIx>,
        now: Duration,
    ) -> Option<Progress> {
        let clients = self.clients.get_mut(asset)?;
        Some(clients.look(leader, now))
    }

    /// When a stream lost the one that it reads.
    pub fn lost(&self, reader: &StreamName) -> Duration {
        self.readers[reader].lost.unwrap()
    }

    pub fn upstreams(&self, asset: &AssetName, now: Duration) -> Vec<Upstream> {
        let reader = self
            .readers
            .get(&asset.stream)
            .filter(|_| asset.consumer.is_none());
        let upstream = reader.map(|reader| Upstream {
            stream: reader.reads.clone(),
            last_active: reader.last_active(now),
            lag: 0,
        });
        upstream.into_iter().collect()
    }
}
