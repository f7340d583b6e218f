//! Which accounts a system has: those that may have streams and those that have clients (nats-facts N42, N43).
//!
//! It takes a few requests, whatever the number of streams. Servers list accounts, not the owners of streams: an
//! account with JetStream enabled is listed although it may have no streams. The system account itself is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::refusal::may_not;
use serde_json::json;

use super::connections::{ByServer, read};
use crate::connect::Link;
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::user_info::{self, AccountInfo};
use crate::wire::monitor::{AccountStatz, JetStreamAccounts};

const STATZ: &str = "$SYS.REQ.ACCOUNT.PING.STATZ";
const JSZ: &str = "$SYS.REQ.SERVER.PING.JSZ";
const LIMIT: Duration = Duration::from_secs(4);
/// The quiet time while the number of servers is not known.
const QUIET: Duration = Duration::from_secs(1);
/// Accounts per page, the servers' own default (nats-facts N43).
const PAGE: usize = 1024;
const MOST_PAGES: usize = 64;

/// Why the accounts of a system are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountsError {
    /// The user may not send a request.
    #[error("the observer's user {}", may_not(subject))]
    Denied { subject: String },
    #[error("{answered} of {expected} servers answered {subject}")]
    Incomplete {
        subject: String,
        /// Servers that should have answered.
        expected: usize,
        answered: usize,
    },
    /// Nobody answered, or no answer is understood.
    #[error("{0}")]
    Unanswered(String),
}

impl AccountsError {
    /// Whether a retry would change nothing.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Denied { subject: _ } => true,
            Self::Incomplete { .. } | Self::Unanswered(_) => false,
        }
    }
}

impl From<RequestError> for AccountsError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Denied { subject } => Self::Denied { subject },
            error => Self::Unanswered(error.to_string()),
        }
    }
}

/// Asks the servers; `servers` is how many there are, if known.
pub(super) async fn list(link: &Link, servers: Option<usize>) -> Result<Vec<AccountInfo>, AccountsError> {
    let own = async {
        let own = user_info::ask(link).await;
        own.map_err(|error| AccountsError::Unanswered(error.to_string()))
    };
    let (own, connected, stored) =
        tokio::try_join!(own, connected(link, servers), with_jetstream(link, servers))?;
    let mut names: BTreeMap<AccountId, Option<String>> = BTreeMap::new();
    for (id, name) in connected.into_iter().chain(stored) {
        let known = names.entry(id.clone()).or_default();
        *known = known
            .take()
            .or(name.filter(|name| !name.is_empty() && *name != id.as_str()));
    }
    names.remove(&own.id);
    let info = |(id, name): (AccountId, Option<String>)| AccountInfo {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
    };
    Ok(names.into_iter().map(info).collect())
}

type NamedAccounts = Vec<(AccountId, Option<String>)>;

/// Accounts with clients or leaf nodes.
async fn connected(link: &Link, servers: Option<usize>) -> Result<NamedAccounts, AccountsError> {
    // Without it, a server without clients would not answer.
    let options = json!({ "include_unused": true }).to_string();
    let replies: ByServer<AccountStatz> = ask(link, STATZ, options, servers).await?;
    let stats = replies.into_values().flat_map(|(_, statz)| statz.account_statz);
    let used = stats.filter(|stat| stat.conns > 0 || stat.leafnodes > 0);
    let named = used.map(|stat| (AccountId::from(stat.acc.as_str()), stat.name.map(String::from)));
    Ok(named.collect())
}

/// Accounts with JetStream enabled, page by page.
async fn with_jetstream(link: &Link, servers: Option<usize>) -> Result<NamedAccounts, AccountsError> {
    let mut accounts = NamedAccounts::new();
    for page in 0..MOST_PAGES {
        let options =
            json!({ "accounts": true, "limit": PAGE, "offset": page.saturating_mul(PAGE) }).to_string();
        let replies: ByServer<JetStreamAccounts> = ask(link, JSZ, options, servers).await?;
        let mut more = false;
        for (_, (_, listed)) in replies {
            more |= listed.account_details.len() >= PAGE;
            let named = listed.account_details.into_iter();
            accounts.extend(named.map(|one| (AccountId::from(one.id.as_str()), one.name.map(String::from))));
        }
        if !more {
            return Ok(accounts);
        }
    }
    let most = MOST_PAGES.saturating_mul(PAGE);
    Err(AccountsError::Unanswered(format!(
        "a server has more than {most} accounts"
    )))
}

async fn ask<T: serde::de::DeserializeOwned + Send>(
    link: &Link,
    subject: &str,
    payload: String,
    servers: Option<usize>,
) -> Result<ByServer<T>, AccountsError> {
    let enough = |replies: &ByServer<T>| match servers {
        Some(servers) if replies.len() >= servers => Enough::Yes,
        Some(_) => Enough::No,
        None => Enough::IfQuietFor(QUIET),
    };
    let gather = Gather {
        subject,
        payload,
        limit: LIMIT,
        read: &|bytes| read(bytes).map(Some),
        prefer: &first,
        enough: &enough,
    };
    let gathered = link.gather(gather).await?;
    if let Some(message) = gathered.unreadable.into_iter().next() {
        return Err(AccountsError::Unanswered(message));
    }
    let answered = gathered.replies.len();
    match servers {
        Some(expected) if answered < expected => Err(AccountsError::Incomplete {
            subject: subject.to_owned(),
            expected,
            answered,
        }),
        Some(_) | None => Ok(gathered.replies),
    }
}
