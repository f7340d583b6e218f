//! Since when each asset's leader leads, where servers do not report it (before 2.11.9).
//!
//! A leader counts from the moment at which this observer first saw it lead, or saw it again after an election: earlier
//! times are not known, and unknown is unsafe (P6). An asset is remembered while every look shows it with a leader.

use std::collections::BTreeMap;

use jiff::Timestamp;
use leeward_core::names::ServerName;

use super::watched_accounts::LeaderElected;
use crate::reading::GroupReading;

/// The leaders of one account's assets.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    /// The number of the present look.
    look: u64,
    streams: BTreeMap<String, OfStream>,
}

/// The leaders of a stream and its consumers.
#[derive(Debug, Default)]
struct OfStream {
    own: Option<Led>,
    consumers: BTreeMap<String, Led>,
}

#[derive(Debug)]
struct Led {
    leader: ServerName,
    since: Timestamp,
    /// The last look that showed it.
    look: u64,
}

impl Leaders {
    /// Begins a look: leaders elected since the last one count as new.
    pub(crate) fn begin(&mut self, elections: &[LeaderElected]) {
        self.look = self.look.saturating_add(1);
        for election in elections {
            match election {
                LeaderElected::Of { stream, consumer } => {
                    let Some(of) = self.streams.get_mut(stream) else {
                        continue;
                    };
                    match consumer {
                        None => of.own = None,
                        Some(consumer) => drop(of.consumers.remove(consumer)),
                    }
                }
                LeaderElected::Any => self.streams.clear(),
            }
        }
    }

    /// Since when the leader of a stream leads it.
    pub(crate) fn of_stream(
        &mut self,
        stream: &str,
        group: &GroupReading,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let look = self.look;
        since(group, |leader| {
            self.in_stream(stream, |of| {
                let led = of.own.get_or_insert_with(|| Led::new(leader, look, now));
                led.see(leader, look, now)
            })
        })
    }

    /// Since when the leader of a consumer leads it.
    pub(crate) fn of_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
        group: &GroupReading,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let look = self.look;
        since(group, |leader| {
            self.in_stream(stream, |of| {
                if let Some(led) = of.consumers.get_mut(consumer) {
                    return led.see(leader, look, now);
                }
                let led = Led::new(leader, look, now);
                of.consumers.insert(consumer.to_owned(), led);
                now
            })
        })
    }

    /// Copies names only for new entries.
    fn in_stream<T>(&mut self, stream: &str, work: impl FnOnce(&mut OfStream) -> T) -> T {
        if let Some(of) = self.streams.get_mut(stream) {
            return work(of);
        }
        work(self.streams.entry(stream.to_owned()).or_default())
    }

    /// Ends a look: forgets what it did not show with a leader.
    pub(crate) fn end(&mut self) {
        let look = self.look;
        self.streams.retain(|_, of| {
            of.own.take_if(|led| led.look != look);
            of.consumers.retain(|_, led| led.look == look);
            of.own.is_some() || !of.consumers.is_empty()
        });
    }
}

/// The start that the servers report, or else the remembered one. A group of one has no elections.
fn since(group: &GroupReading, remembered: impl FnOnce(&ServerName) -> Timestamp) -> Option<Timestamp> {
    let leader = group.leader.as_ref().filter(|_| group.peers.len() > 1)?;
    Some(group.leader_since.unwrap_or_else(|| remembered(leader)))
}

impl Led {
    fn new(leader: &ServerName, look: u64, now: Timestamp) -> Self {
        Self {
            leader: leader.clone(),
            since: now,
            look,
        }
    }

    fn see(&mut self, leader: &ServerName, look: u64, now: Timestamp) -> Timestamp {
        if self.leader == *leader {
            self.look = look;
        } else {
            *self = Self::new(leader, look, now);
        }
        self.since
    }
}

#[cfg(test)]
mod tests {
    use leeward_core::operation::PeerInfo;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn group(leader: Option<&str>, peers: usize) -> GroupReading {
        let peer = |number| PeerInfo {
            server: ServerName::from(format!("s{number}")),
            current: true,
            offline: false,
            lag: 0,
        };
        GroupReading {
            leader: leader.map(ServerName::from),
            leader_since: None,
            peers: (0..peers).map(peer).collect(),
            moving: false,
            alone: false,
        }
    }

    /// One look at a stream S and its consumer C.
    fn look(leaders: &mut Leaders, leader: Option<&str>, second: i64) -> [Option<i64>; 2] {
        let group = group(leader, 3);
        let found = [
            leaders.of_stream("S", &group, at(second)),
            leaders.of_consumer("S", "C", &group, at(second)),
        ];
        leaders.end();
        found.map(|since| since.map(Timestamp::as_second))
    }

    #[test]
    fn a_leader_counts_from_its_first_sight_and_from_each_change() {
        let mut leaders = Leaders::default();
        let mut next = |leader, second| {
            leaders.begin(&[]);
            look(&mut leaders, leader, second)
        };
        assert_eq!(next(Some("s0"), 10), [Some(10); 2], "the first sight");
        assert_eq!(next(Some("s0"), 20), [Some(10); 2]);
        assert_eq!(next(Some("s1"), 30), [Some(30); 2], "another one");
        assert_eq!(next(None, 40), [None; 2]);
        assert_eq!(next(Some("s1"), 50), [Some(50); 2], "after a time without one");
    }

    #[test]
    fn an_election_between_two_looks_makes_even_the_same_leader_new() {
        let of = |consumer: Option<&str>| LeaderElected::Of {
            stream: "S".into(),
            consumer: consumer.map(str::to_owned),
        };
        let mut leaders = Leaders::default();
        let mut next = |elections: &[LeaderElected], second| {
            leaders.begin(elections);
            look(&mut leaders, Some("s0"), second)
        };
        next(&[], 10);
        assert_eq!(next(&[of(Some("C"))], 20), [Some(10), Some(20)]);
        assert_eq!(next(&[of(None)], 30), [Some(30), Some(20)]);
        assert_eq!(
            next(&[LeaderElected::Any], 40),
            [Some(40); 2],
            "too many to be told"
        );
    }

    #[test]
    fn what_servers_say_counts_and_a_group_of_one_has_no_election() {
        let mut leaders = Leaders::default();
        leaders.begin(&[]);
        let told = GroupReading {
            leader_since: Some(at(3)),
            ..group(Some("s0"), 3)
        };
        assert_eq!(leaders.of_stream("S", &told, at(9)), Some(at(3)));
        assert_eq!(leaders.of_stream("S", &group(Some("s0"), 1), at(9)), None);
        let told = GroupReading {
            leader_since: Some(at(3)),
            ..group(Some("s0"), 1)
        };
        assert_eq!(leaders.of_stream("S", &told, at(9)), None);
        assert!(leaders.streams.is_empty(), "nothing to be remembered");
    }
}
