//! How much of a moving stream has arrived, from what its leader reports about the members there.
//!
//! For a member that is not current a leader reports its lag in messages; it starts with nearly all of them, after a
//! few small numbers that mean nothing yet (measured on 2.15.1). A member without a reported lag counts for nothing.

use std::collections::BTreeMap;

use leeward_core::names::ServerName;
use leeward_core::operation::{AssetInfo, PeerInfo};

use super::Copied;

/// What was seen of the members where a stream is going.
#[derive(Debug, Default)]
pub(super) struct CopyProgress {
    /// The most that each was seen to lack.
    lacked: BTreeMap<ServerName, u64>,
}

impl CopyProgress {
    /// Takes in a look; `None` where it measures nothing.
    pub(super) fn look(&mut self, there: &[ServerName], reading: &AssetInfo) -> Option<Copied> {
        // During an election nobody reports lag.
        reading.leader.as_ref()?;
        let members = reading.peers.iter().filter(|peer| there.contains(&peer.server));
        let mut parts: Vec<u64> = members
            .filter_map(|peer| self.part(peer, reading.bytes))
            .collect();
        if parts.is_empty() || reading.bytes == 0 {
            return None;
        }
        let replicas = usize::from(reading.replicas.max(1));
        parts.sort_unstable_by(|a, b| b.cmp(a));
        Some(Copied {
            done_bytes: parts.into_iter().take(replicas).fold(0, u64::saturating_add),
            total_bytes: reading.bytes.saturating_mul(u64::from(reading.replicas.max(1))),
        })
    }

    /// What a member has of the stream, as a part of its bytes.
    fn part(&mut self, peer: &PeerInfo, bytes: u64) -> Option<u64> {
        if peer.current {
            return Some(bytes);
        }
        let most = self.lacked.entry(peer.server.clone()).or_default();
        *most = peer.lag.max(*most);
        let has = most.checked_sub(peer.lag)?;
        let part = u128::from(bytes).checked_mul(u128::from(has))?;
        let part = part.checked_div(u128::from(*most))?;
        u64::try_from(part).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1_000;

    fn peer(server: &str, current: bool, lag: u64) -> PeerInfo {
        PeerInfo {
            server: ServerName::from(server),
            current,
            offline: false,
            lag,
        }
    }

    fn reading(peers: &[PeerInfo]) -> AssetInfo {
        AssetInfo {
            leader: Some(ServerName::from("old-0")),
            peers: [peer("old-0", true, 0), peer("old-1", true, 0)]
                .iter()
                .chain(peers)
                .cloned()
                .collect(),
            replicas: 3,
            moving: true,
            placement: None,
            bytes: BYTES,
            progress: None,
            upstreams: Vec::new(),
        }
    }

    fn there() -> Vec<ServerName> {
        ["new-0", "new-1", "new-2", "new-3"]
            .map(ServerName::from)
            .to_vec()
    }

    fn done(copying: &mut CopyProgress, peers: &[PeerInfo]) -> Option<u64> {
        let copied = copying.look(&there(), &reading(peers))?;
        assert_eq!(copied.total_bytes, 3 * BYTES);
        Some(copied.done_bytes)
    }

    #[test]
    fn what_a_member_lacks_is_taken_from_what_it_lacked_at_first() {
        let mut copying = CopyProgress::default();
        assert_eq!(done(&mut copying, &[]), None, "nobody is there yet");
        let silent = [peer("new-0", false, 0), peer("new-1", false, 0)];
        assert_eq!(done(&mut copying, &silent), None, "nothing is said of them");
        assert_eq!(done(&mut copying, &[peer("new-0", false, 3)]), Some(0));
        assert_eq!(
            done(&mut copying, &[peer("new-0", false, 400)]),
            Some(0),
            "only now it is known what it lacks"
        );
        assert_eq!(done(&mut copying, &[peer("new-0", false, 100)]), Some(750));
        let second = [peer("new-0", true, 0), peer("new-1", false, 400)];
        assert_eq!(done(&mut copying, &second), Some(1_000));
        let third = [
            peer("new-0", true, 0),
            peer("new-1", false, 200),
            peer("new-2", false, 0),
        ];
        assert_eq!(
            done(&mut copying, &third),
            Some(1_500),
            "nothing is known of the third"
        );
        let all = ["new-0", "new-1", "new-2"].map(|server| peer(server, true, 0));
        assert_eq!(done(&mut copying, &all), Some(3_000));
    }

    #[test]
    fn it_is_never_more_than_all_and_nothing_is_said_of_nothing() {
        let mut copying = CopyProgress::default();
        let more = ["new-0", "new-1", "new-2", "new-3"].map(|server| peer(server, true, 0));
        assert_eq!(done(&mut copying, &more), Some(3_000));
        let mut empty = reading(&more);
        empty.bytes = 0;
        assert_eq!(copying.look(&there(), &empty), None);
        let mut electing = reading(&more);
        electing.leader = None;
        assert_eq!(copying.look(&there(), &electing), None);
    }
}
