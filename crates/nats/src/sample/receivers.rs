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
use crate::wire::monitor::{Connection, Connz};
use crate::wire::text::Words;

/// Connections that one lookup lists per server; a subject with more has unknown receivers.
const MOST_MATCHES: usize = 1024;
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// A server that has not answered a lookup by then probably does not know the account.
const LOOKUP_QUIET: Duration = Duration::from_millis(500);

/// The connections that receive a subject; `None` where not all of them are known.
pub(super) type Receivers = Option<BTreeSet<SampledClient>>;

impl AccountClient {
    /// The connections with a subscription that matches a subject; asked as a user of the system account where there is
    /// one, since others may answer in the servers' place, and servers may not (nats-facts N77).
    pub(super) async fn receivers(&self, subject: &str, servers: usize) -> Result<Receivers, ActError> {
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
            if servers > 0 && replies.len() >= servers {
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
        let mut found = BTreeSet::new();
        for (info, connz) in gathered.replies.into_values() {
            let server = ServerName::from(info.name.as_str());
            let listed = connz.connections.unwrap_or_default();
            if u64::try_from(listed.len()).is_ok_and(|listed| listed < connz.total) {
                return Ok(None);
            }
            // Leaf nodes carry the interest of everybody at the other end.
            let is_client = |one: &Connection| matches!(one.kind.as_deref(), None | Some("Client"));
            let is_own = |name: &Words| ConnectionName::is_leewards(name);
            let clients = listed.into_iter().filter(is_client);
            let others = clients.filter(|one| !one.name.as_ref().is_some_and(is_own));
            found.extend(others.map(|one| SampledClient {
                server: server.clone(),
                connection: one.cid,
                user: one.authorized_user.map(|user| (*user).into()),
                name: one.name.map(|name| (*name).into()),
            }));
        }
        Ok(Some(found))
    }
}
