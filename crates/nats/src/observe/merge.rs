//! One account's assets, merged from what each server reports of them (nats-facts N43).
//!
//! Only the leader of an asset is right about the other peers, and each consumer has its own leader. An asset without a
//! leader is still listed, without a leader, with all peers that any server names; none of them counts as caught up.

use std::collections::BTreeMap;

use leeward_core::names::ServerName;
use leeward_core::operation::PeerInfo;

use crate::reading::{ConsumerReading, GroupReading, StreamReading};

/// Merges the streams that each server lists, sorted by name.
pub(crate) fn merge(by_server: Vec<(ServerName, Vec<StreamReading>)>) -> Vec<StreamReading> {
    let mut copies: BTreeMap<String, Vec<(ServerName, StreamReading)>> = BTreeMap::new();
    for (server, streams) in by_server {
        for stream in streams {
            copies
                .entry(stream.name.clone())
                .or_default()
                .push((server.clone(), stream));
        }
    }
    copies.into_values().filter_map(merge_stream).collect()
}

fn merge_stream(mut copies: Vec<(ServerName, StreamReading)>) -> Option<StreamReading> {
    copies.sort_by(|a, b| a.0.cmp(&b.0));
    let mut consumers: BTreeMap<String, Vec<(ServerName, ConsumerReading)>> = BTreeMap::new();
    for (server, stream) in &mut copies {
        for consumer in std::mem::take(&mut stream.consumers) {
            consumers
                .entry(consumer.name.clone())
                .or_default()
                .push((server.clone(), consumer));
        }
    }
    let mut stream = choose(copies, |stream| &mut stream.group)?;
    stream.consumers = consumers
        .into_values()
        .filter_map(|copies| choose(copies, |consumer| &mut consumer.group))
        .collect();
    Some(stream)
}

/// The copy of the leading server; without one the first copy, its group made leaderless.
fn choose<T>(
    mut copies: Vec<(ServerName, T)>,
    group: impl for<'a> Fn(&'a mut T) -> &'a mut GroupReading,
) -> Option<T> {
    let groups: Vec<(ServerName, GroupReading)> = copies
        .iter_mut()
        .map(|(server, copy)| (server.clone(), group(copy).clone()))
        .collect();
    if let Some(position) = leading(&groups) {
        return Some(copies.swap_remove(position).1);
    }
    let (_, mut copy) = copies.into_iter().next()?;
    *group(&mut copy) = leaderless(&groups);
    Some(copy)
}

/// Which server claims to lead. Of two, the one elected later; if that is unknown, none.
fn leading(groups: &[(ServerName, GroupReading)]) -> Option<usize> {
    let claims: Vec<usize> = groups
        .iter()
        .enumerate()
        .filter(|(_, (server, group))| group.is_led_by(server))
        .map(|(position, _)| position)
        .collect();
    match claims.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => {
            let since = |position: &usize| groups.get(*position).and_then(|(_, group)| group.leader_since);
            let dated = several.iter().all(|position| since(position).is_some());
            dated
                .then(|| several.iter().copied().max_by_key(|position| since(position)))
                .flatten()
        }
    }
}

fn leaderless(groups: &[(ServerName, GroupReading)]) -> GroupReading {
    let mut offline: BTreeMap<ServerName, bool> = BTreeMap::new();
    for (server, group) in groups {
        offline.entry(server.clone()).or_default();
        for peer in &group.peers {
            *offline.entry(peer.server.clone()).or_default() |= peer.offline;
        }
    }
    let peers = offline
        .into_iter()
        .map(|(server, offline)| PeerInfo {
            server,
            current: false,
            offline,
            lag: 0,
        })
        .collect();
    let moving = groups.iter().any(|(_, group)| group.moving);
    GroupReading {
        leader: None,
        leader_since: None,
        peers,
        moving,
        alone: false,
    }
}

#[cfg(test)]
mod tests {
    use leeward_core::operation::Progress;
    use leeward_core::topology::Storage;

    use super::*;

    fn group(leader: &str, peers: &[&str], since: Option<i64>) -> GroupReading {
        let peer = |name: &&str| PeerInfo {
            server: ServerName::from(*name),
            current: *name == leader,
            offline: *name == "down",
            lag: 0,
        };
        GroupReading {
            leader: Some(ServerName::from(leader)),
            leader_since: since.map(|second| jiff::Timestamp::from_second(second).unwrap()),
            peers: peers.iter().map(peer).collect(),
            moving: false,
            alone: false,
        }
    }

    fn stream(group: GroupReading, consumers: Vec<ConsumerReading>) -> StreamReading {
        StreamReading {
            name: "S".into(),
            group,
            replicas: 3,
            placement: None,
            metadata: BTreeMap::new(),
            bytes: 0,
            storage: Storage::File,
            max_bytes: None,
            upstreams: vec![],
            last_sequence: 0,
            subjects: Vec::new(),
            allow_direct: false,
            answers_gets_of: None,
            consumers,
        }
    }

    fn consumer(group: GroupReading) -> ConsumerReading {
        ConsumerReading {
            name: "C".into(),
            group,
            replicas: 0,
            durable: true,
            deliver_subject: None,
            opted_out: false,
            pinned: false,
            progress: Progress::default(),
        }
    }

    fn merged(copies: Vec<(&str, StreamReading)>) -> StreamReading {
        let by_server = copies
            .into_iter()
            .map(|(name, stream)| (ServerName::from(name), vec![stream]))
            .collect();
        merge(by_server).remove(0)
    }

    #[test]
    fn each_asset_comes_from_the_server_that_leads_it() {
        let peers = ["a", "b", "c"];
        let mut at_b = stream(group("a", &peers, None), vec![consumer(group("b", &peers, None))]);
        at_b.bytes = 1;
        let mut at_a = stream(group("a", &peers, None), vec![consumer(group("b", &["b"], None))]);
        at_a.bytes = 2;
        let seen = merged(vec![("b", at_b), ("a", at_a)]);
        assert_eq!(seen.bytes, 2);
        assert_eq!(seen.consumers[0].group, group("b", &peers, None));
    }

    #[test]
    fn an_asset_that_nobody_leads_is_listed_with_all_its_peers() {
        let seen = merged(vec![
            ("a", stream(group("b", &["a", "b"], None), vec![])),
            ("c", stream(group("b", &["b", "down"], None), vec![])),
        ]);
        assert_eq!(seen.group.leader, None);
        let peers: Vec<_> = seen
            .group
            .peers
            .iter()
            .map(|peer| (peer.server.as_str(), peer.offline, peer.current))
            .collect();
        assert_eq!(
            peers,
            [
                ("a", false, false),
                ("b", false, false),
                ("c", false, false),
                ("down", true, false)
            ]
        );
    }

    #[test]
    fn of_two_leaders_the_later_one_counts_or_none() {
        let peers = ["a", "b"];
        let dated = |name, second| (name, stream(group(name, &peers, Some(second)), vec![]));
        assert_eq!(
            merged(vec![dated("a", 5), dated("b", 9)]).group.leader,
            Some(ServerName::from("b"))
        );
        let undated = ("a", stream(group("a", &peers, None), vec![]));
        assert_eq!(merged(vec![undated, dated("b", 9)]).group.leader, None);
    }
}
