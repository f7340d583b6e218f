//! What servers before 2.12 know of the JetStream meta group when they start for the first time.
//!
//! They begin with the peers known by then. With several clusters joined by gateways, or on a busy machine, the first
//! leader may be elected by some of them, and up to 2.11 a peer that it learns of later then sometimes stays out for
//! good. So the lab writes the state that each of them would have written had all been known: that of a group that was
//! stopped as a whole. They elect their first leader as after any such stop, which takes up to nine seconds.
//!
//! And one start in ten of some 2.10 server was mute: `setSystemAccount` starts the loop that sends Raft's messages
//! before it stores the account that the loop sends them in. A loop that is first sends nothing while that server runs:
//! it follows, and no leader ever receives its messages (`sendq.go`; from 2.11 on the loop is given its account).

use std::path::Path;

use anyhow::Context;

use crate::tools::NatsVersion;

const IDENTITY: usize = 8;
/// The digits of a name's hash.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether servers of this version need it.
pub(super) fn is_needed(version: NatsVersion) -> bool {
    match version {
        NatsVersion::V2_10 | NatsVersion::V2_11 => true,
        NatsVersion::V2_14 | NatsVersion::Newest => false,
    }
}

/// A server's required environment. With one processor, a started goroutine does not run before its starter waits
/// (nats-facts N74).
pub(super) fn envs(version: NatsVersion) -> Vec<(String, String)> {
    match version {
        NatsVersion::V2_10 => vec![("GOMAXPROCS".to_owned(), "1".to_owned())],
        NatsVersion::V2_11 | NatsVersion::V2_14 | NatsVersion::Newest => Vec::new(),
    }
}

/// Writes the peers of the meta group below the server's store folder.
pub(super) fn write(store: &Path, system_account: &str, servers: &[&str]) -> anyhow::Result<()> {
    let folder = store.join("jetstream").join(system_account).join("_js_/_meta_");
    std::fs::create_dir_all(&folder).context("cannot make the folder of the meta group")?;
    let state = peer_state(servers).context("too many servers")?;
    std::fs::write(folder.join("peers.idx"), state).context("cannot write the peers of the meta group")
}

/// As `encodePeerState` in raft.go: the number of expected peers, of known ones, those, and nothing about leaf nodes.
fn peer_state(servers: &[&str]) -> Option<Vec<u8>> {
    let count = u32::try_from(servers.len()).ok()?.to_le_bytes();
    let mut state = [count, count].concat();
    for server in servers {
        state.extend(identity(server));
    }
    state.extend(0_u16.to_le_bytes());
    Some(state)
}

/// The servers' id of a peer: a hash of its name (`getHash` in events.go).
fn identity(server: &str) -> [u8; IDENTITY] {
    let hash = ring::digest::digest(&ring::digest::SHA256, server.as_bytes());
    let mut identity = [0; IDENTITY];
    for (digit, byte) in identity.iter_mut().zip(hash.as_ref()) {
        *digit = DIGITS[usize::from(*byte) % DIGITS.len()];
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_are_written_as_servers_write_them() {
        let state = peer_state(&["us-east-0", "eu-west-0"]).unwrap();
        assert_eq!(state.len(), 4 + 4 + 2 * IDENTITY + 2);
        assert_eq!(state[..8], [2, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(state[8..16], identity("us-east-0"));
        assert!(state[8..24].iter().all(u8::is_ascii_alphanumeric));
    }
}
