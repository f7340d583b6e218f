//! One account's leaf node connections as both ends report them: LEAFZ.
//!
//! A leaf node that shares the system account is asked like any server, so each of its links is reported twice, and the
//! clients behind a leaf node without JetStream count where its link is accepted.

use std::time::Duration;

use leeward_core::names::{AccountId, ServerName};
use serde_json::json;

use super::connections::{ByServer, all_of, read_if};
use super::server_inventory::ServerInventory;
use crate::connect::Link;
use crate::request::{Gather, first};
use crate::wire::monitor::{Leafz, ServerInfo};

const LEAFZ: &str = "$SYS.REQ.SERVER.PING.LEAFZ";
const LIMIT: Duration = Duration::from_secs(3);

/// A link as reported by the leaf node, which made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeafLink {
    pub(crate) leaf: ServerName,
    /// The server that accepted it.
    pub(crate) accepted_by: ServerName,
}

/// Asks all servers; what is not answered is unknown.
pub(super) async fn ask(
    link: &Link,
    server_inventory: &ServerInventory,
    account: &AccountId,
) -> Vec<LeafLink> {
    let counts = |id: &str, _: &Leafz| server_inventory.servers.contains_key(id);
    let enough = |replies: &ByServer<Leafz>| all_of(&server_inventory.servers, replies);
    let gather = Gather {
        subject: LEAFZ,
        payload: json!({ "account": account.as_str() }).to_string(),
        limit: LIMIT,
        read: &|bytes| read_if(bytes, &counts),
        prefer: &first,
        enough: &enough,
    };
    match link.gather(gather).await {
        Ok(gathered) => {
            let replies = gathered.replies.into_values();
            let mut links: Vec<LeafLink> = replies
                .flat_map(|(info, leafz)| links_of(&info, leafz, account))
                .collect();
            links.sort();
            links
        }
        Err(error) => {
            tracing::debug!(%error, "which servers the leaf nodes connect to is not known");
            Vec::new()
        }
    }
}

fn links_of(info: &ServerInfo, leafz: Leafz, account: &AccountId) -> Vec<LeafLink> {
    let made = leafz.leafs.into_iter();
    let made = made.filter(|leaf| leaf.is_spoke && leaf.account.as_str() == account.as_str());
    made.map(|leaf| LeafLink {
        leaf: ServerName::from(info.name.as_str()),
        accepted_by: ServerName::from(leaf.name.as_str()),
    })
    .collect()
}
