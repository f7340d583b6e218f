//! The connections that receive a subject.

use std::collections::BTreeSet;
use std::time::Duration;

use leeward_core::names::{AccountId, ServerName};
use leeward_core::usage::SampledClient;
use leeward_engine::ports::ActError;
use serde_json::json;

use super::lost;
use crate::act::AccountClient;
use crate::connection_name::ConnectionName;
use crate::observe::connections::{self, ByServer, read_if};
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::tenant;
use crate::wire::monitor::Connz;
use crate::wire::text::Words;

/// Connections that one lookup lists per server; a subject with more has unknown receivers.
const MOST_MATCHES: usize = 1024;
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// A server that has not answered a lookup by then probably does not know the account.
const LOOKUP_QUIET: Duration = Duration::from_millis(500);

/// The connections that receive a subject; `None` where not all of them are known.
pub(super) type Receivers = Option<MatchingConnections>;

/// Connections with a subscription that matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MatchingConnections {
    pub(super) clients: BTreeSet<SampledClient>,
    /// Leaf nodes, which carry the interest of everybody at the other end, by server and connection.
    pub(super) leaf_nodes: BTreeSet<(ServerName, u64)>,
}

impl AccountClient {
    /// The connections with a subscription that matches a subject; asked as a user of the system account where there is
    /// one, since others may answer in the servers' place, and servers may not (nats-facts N77).
    pub(super) async fn receivers(
        &self,
        subject: &str,
        servers: &BTreeSet<ServerName>,
    ) -> Result<Receivers, ActError> {
        let (link, connz, account) = match &self.calls().witness {
            Some(witness) => (
                witness.link(),
                connections::CONNZ,
                Some(self.calls().account_id()?),
            ),
            None => (&**self.link(), tenant::CONNZ, None),
        };
        let account = account.as_ref().map(AccountId::as_str);
        let options = json!({"acc": account, "filter_subject": subject, "auth": true, "limit": MOST_MATCHES});
        let enough = move |replies: &ByServer<Connz>| {
            if !servers.is_empty() && replies.len() >= servers.len() {
                Enough::Yes
            } else {
                Enough::IfQuietFor(LOOKUP_QUIET)
            }
        };
        let counts = |_: &str, connz: &Connz| connz.connections.is_some();
        let gather = Gather {
            subject: connz,
            payload: options.to_string(),
            limit: LOOKUP_LIMIT,
            read: &|bytes| read_if::<Connz>(bytes, &counts),
            prefer: &first,
            enough: &enough,
        };
        let gathered = match link.gather(gather).await {
            Ok(gathered) if gathered.unreadable.is_empty() => gathered,
            Ok(_) | Err(RequestError::Timeout { subject: _ }) => return Ok(None),
            Err(error) => return Err(lost(error)),
        };
        let mut found = MatchingConnections::default();
        for (info, connz) in gathered.replies.into_values() {
            let server = ServerName::from(info.name.as_str());
            let listed = connz.connections.unwrap_or_default();
            // Its total is that of the account on servers before 2.14 (nats-facts N78).
            if listed.len() >= MOST_MATCHES {
                return Ok(None);
            }
            let is_own = |name: &Words| ConnectionName::is_leewards(name);
            for one in listed {
                match one.kind.as_deref() {
                    None | Some("Client") if one.name.as_ref().is_some_and(is_own) => {}
                    None | Some("Client") => drop(found.clients.insert(SampledClient {
                        server: server.clone(),
                        connection: one.cid,
                        user: one.authorized_user.map(|user| (*user).into()),
                        name: one.name.map(|name| (*name).into()),
                    })),
                    // At its other end it tells the interest of the servers here.
                    Some("Leafnode") if servers.contains(&server) => {
                        let _ = found.leaf_nodes.insert((server.clone(), one.cid));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(Some(found))
    }
}
