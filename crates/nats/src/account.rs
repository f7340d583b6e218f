//! Which account the user of a connection belongs to.
//!
//! Promises: an account counts only for the connection on which the server reported it; a user that later belongs to
//! another account ends the connection for good, so that what was decided for one account is never done to the other
//! (P8). Any client of an account may answer its USER.INFO in the servers' place. So where a user of the system account
//! observes, only the servers are asked, there, by the names that the server's own INFO line gave to itself and to the
//! connection; without a system user, differing answers are discarded, and so is one that the user's own JWT
//! contradicts (P11).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use leeward_core::names::AccountId;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::sync::watch;

use crate::connect::{ConnectionEpoch, Link, RECHECK_INTERVAL};
use crate::credentials::Credentials;
use crate::observe::witness::{Unseen, Witness};
use crate::request::{Enough, Gather, Gathered, REQUEST_LIMIT, first};
use crate::request_error::RequestError;
use crate::user_info::{self, AccountInfo, USER_INFO, UserInfoError};

/// Retry delay after a first, maybe transient failure.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long to wait for a second answer: the server's own may be the later one.
const SECOND_ANSWER: Duration = Duration::from_millis(500);

/// Why the account of a user is not known, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountProblem {
    /// The user may not ask for it, or not receive the answer.
    Denied { subject: String },
    /// The system account's user does not see the connection yet; this may only be a matter of time.
    Unseen { message: String },
    /// Requests of the user would reach another JetStream than the observed one.
    OtherDomain {
        /// Which JetStream, and what to do.
        message: String,
    },
    /// No reliable source confirms the account.
    Unconfirmed {
        /// What was answered instead, and what to do.
        message: String,
    },
}

/// Why the account is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(transparent)]
    UserInfo(#[from] UserInfoError),
    #[error("the system account's user does not see the connection: {0}")]
    Unseen(Unseen),
    #[error("{0}")]
    OtherDomain(Unseen),
    /// Somebody answers with another account.
    #[error(
        "{message}: somebody else answers in the servers' place, so nothing is done or shown: deny $SYS.REQ.> to all other \
         users of the account"
    )]
    Contradicted { message: String },
}

impl Unknown {
    /// There is no connection to ask on; the next one will answer.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::UserInfo(UserInfoError::Unanswered(
                RequestError::Disconnected | RequestError::Interrupted { subject: _ }
            )) | Self::Unseen(_)
        )
    }

    /// Whether what was known before must no longer be relied on.
    fn is_definite(&self) -> bool {
        matches!(
            self,
            Self::UserInfo(UserInfoError::Unanswered(RequestError::Denied { subject: _ }))
                | Self::OtherDomain(_)
                | Self::Contradicted { message: _ }
        )
    }

    /// When to retry after a transient failure; a missing permission is retried later.
    fn again(&self) -> Duration {
        match self {
            Self::Unseen(Unseen::Unanswered(RequestError::Denied { subject: _ })) => RECHECK_INTERVAL,
            _ => RETRY_DELAY,
        }
    }

    fn problem(&self) -> AccountProblem {
        match self {
            Self::UserInfo(UserInfoError::Unanswered(RequestError::Denied { subject })) => {
                AccountProblem::Denied {
                    subject: subject.clone(),
                }
            }
            Self::Unseen(_) => AccountProblem::Unseen {
                message: self.to_string(),
            },
            Self::OtherDomain(seen) => AccountProblem::OtherDomain {
                message: seen.to_string(),
            },
            Self::UserInfo(_) | Self::Contradicted { message: _ } => AccountProblem::Unconfirmed {
                message: self.to_string(),
            },
        }
    }
}

/// Who reports the account, besides its own connection.
#[derive(Clone, Debug)]
pub(crate) enum AccountSource {
    /// The servers, through the system account.
    System {
        witness: Witness,
        /// The JetStream domain that the account's requests name, if they do.
        domain: Option<String>,
    },
    /// Only that connection.
    Account {
        /// The account of the user's own JWT, where it has one.
        issuer: Option<String>,
    },
}

/// The account that issued a user's JWT.
pub(crate) fn issuer(credentials: &Credentials) -> Option<String> {
    #[derive(Deserialize)]
    struct JwtClaims {
        iss: String,
        #[serde(default)]
        nats: Nats,
    }
    #[derive(Default, Deserialize)]
    struct Nats {
        /// Given where a signing key of the account issued it.
        issuer_account: Option<String>,
    }
    let text = match credentials {
        Credentials::CredsFile(text) => text.expose_secret(),
        Credentials::WithCertificate { user, .. } => return issuer(user),
        Credentials::Nkey(_)
        | Credentials::Token(_)
        | Credentials::UserPassword { .. }
        | Credentials::TlsClientCertificate { .. } => return None,
    };
    let jwt = text.lines().map(str::trim).find(|line| line.starts_with("eyJ"))?;
    let claims = BASE64URL_NOPAD.decode(jwt.split('.').nth(1)?.as_bytes()).ok()?;
    let claims: JwtClaims = serde_json::from_slice(&claims).ok()?;
    let account = claims.nats.issuer_account.filter(|account| !account.is_empty());
    Some(account.unwrap_or(claims.iss))
}

/// The account, from the most reliable source.
async fn agreed(link: &Link, source: &AccountSource) -> Result<AccountInfo, Unknown> {
    match source {
        AccountSource::System { witness, domain } => {
            let client = link
                .connected()
                .ok_or(UserInfoError::Unanswered(RequestError::Disconnected))?;
            let (info, name) = (client.server_info(), link.name());
            let seen = witness.account_of(&info, name, domain.as_deref()).await;
            seen.map_err(|error| match error {
                Unseen::OtherDomain { .. } => Unknown::OtherDomain(error),
                error => Unknown::Unseen(error),
            })
        }
        AccountSource::Account { issuer } => {
            let answer = only_answer(link).await?;
            issued(answer, issuer.as_deref())
        }
    }
}

fn issued(answer: AccountInfo, issuer: Option<&str>) -> Result<AccountInfo, Unknown> {
    match issuer {
        Some(issuer) if issuer != answer.id.as_str() => Err(Unknown::Contradicted {
            message: format!(
                "{USER_INFO} was answered with account {}, and the user's JWT is of account {issuer}",
                answer.id
            ),
        }),
        Some(_) | None => Ok(answer),
    }
}

/// The answer, if there is no other.
async fn only_answer(link: &Link) -> Result<AccountInfo, Unknown> {
    let gather = Gather {
        subject: USER_INFO,
        payload: String::new(),
        limit: REQUEST_LIMIT,
        // An answer that came twice counts once (nats-facts N41).
        read: &|answer| Ok(Some((answer.to_vec(), user_info::read(answer)))),
        prefer: &first,
        enough: &|_| Enough::IfQuietFor(SECOND_ANSWER),
    };
    let gathered = link.gather(gather).await.map_err(UserInfoError::Unanswered)?;
    only(gathered)
}

fn only(gathered: Gathered<Vec<u8>, Result<AccountInfo, String>>) -> Result<AccountInfo, Unknown> {
    let Gathered { replies, unreadable } = gathered;
    let unreadable = unreadable.into_iter().map(Err);
    let mut answers: Vec<_> = replies.into_values().chain(unreadable).collect();
    let ids: BTreeSet<Option<&AccountId>> = answers
        .iter()
        .map(|answer| answer.as_ref().ok().map(|info| &info.id))
        .collect();
    if ids.len() > 1 {
        let message = format!("{USER_INFO} was answered {} times, and not alike", answers.len());
        return Err(Unknown::Contradicted { message });
    }
    match answers.pop() {
        Some(answer) => Ok(answer.map_err(UserInfoError::NotUnderstood)?),
        None => Err(UserInfoError::NotUnderstood("there is none".to_owned()).into()),
    }
}

/// Where what is learnt of the account is published.
#[derive(Clone, Debug)]
pub(crate) struct AccountReports {
    /// The account that the servers reported last; `None` while they report none.
    pub(crate) account: watch::Sender<Option<AccountInfo>>,
    /// The connection on which the servers confirmed the account.
    pub(crate) confirmed: watch::Sender<Option<ConnectionEpoch>>,
    /// Why the account is not known.
    pub(crate) problem: watch::Sender<Option<AccountProblem>>,
}

/// What an answer, or none, means.
#[derive(Debug, PartialEq, Eq)]
enum AccountUpdate {
    /// The account is this one.
    Confirmed(AccountInfo),
    /// The user belongs to another account than the one it acted in.
    Moved(String),
    /// The account is not known now; what was known before is forgotten if `forget`.
    Unknown {
        forget: bool,
        again: Duration,
        problem: Option<AccountProblem>,
    },
}

/// What was learnt so far on all connections.
#[derive(Debug, Default)]
struct AccountTracker {
    first: Option<AccountInfo>,
    failures: u32,
}

impl AccountTracker {
    fn record(&mut self, answer: Result<AccountInfo, Unknown>) -> AccountUpdate {
        match (answer, &self.first) {
            (Ok(info), Some(first)) if info.id != first.id => AccountUpdate::Moved(format!(
                "the user belonged to account {} and belongs to account {} now; nothing is done there: connect anew",
                first.id, info.id
            )),
            (Ok(info), _) => {
                self.failures = 0;
                self.first.get_or_insert_with(|| info.clone());
                AccountUpdate::Confirmed(info)
            }
            (Err(error), _) if error.is_transient() => AccountUpdate::Unknown {
                forget: false,
                again: error.again(),
                problem: matches!(error, Unknown::Unseen(_)).then(|| error.problem()),
            },
            (Err(error), _) => {
                self.failures = self.failures.saturating_add(1);
                let forget = error.is_definite() || self.failures > 1;
                AccountUpdate::Unknown {
                    forget,
                    again: if forget { RECHECK_INTERVAL } else { RETRY_DELAY },
                    problem: Some(error.problem()),
                }
            }
        }
    }
}

/// Asks on each new connection which account it is.
pub(crate) async fn learn(link: Arc<Link>, source: AccountSource, reports: AccountReports) {
    let mut client = link.client();
    // After a panic the reports still hold what was published before it.
    let mut learnt = AccountTracker {
        first: reports.account.borrow().clone(),
        failures: 0,
    };
    loop {
        let wait = if client.borrow_and_update().is_some() {
            let before = link.epoch();
            let answer = agreed(&link, &source).await;
            // What an earlier connection reported does not apply to this one.
            let answer = match (answer, before) {
                (answer, Some(epoch)) if link.epoch() == Some(epoch) => answer.map(|info| (info, epoch)),
                _ => Err(UserInfoError::Unanswered(RequestError::Disconnected).into()),
            };
            let epoch = answer.as_ref().ok().map(|(_, epoch)| *epoch);
            match learnt.record(answer.map(|(info, _)| info)) {
                AccountUpdate::Confirmed(info) => {
                    reports.problem.send_if_modified(|known| known.take().is_some());
                    reports.confirmed.send_replace(epoch);
                    reports
                        .account
                        .send_if_modified(|known| known.replace(info.clone()) != Some(info));
                    None
                }
                AccountUpdate::Moved(message) => {
                    reports.confirmed.send_replace(None);
                    link.give_up(&message);
                    return;
                }
                AccountUpdate::Unknown {
                    forget,
                    again,
                    problem,
                } => {
                    reports.report(problem);
                    reports.confirmed.send_replace(None);
                    if forget {
                        reports.account.send_if_modified(|known| known.take().is_some());
                    }
                    Some(again)
                }
            }
        } else {
            None
        };
        tokio::select! {
            changed = client.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
        }
    }
}

impl AccountReports {
    fn report(&self, problem: Option<AccountProblem>) {
        let Some(problem) = problem else { return };
        self.problem.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&problem);
            if changed {
                tracing::warn!(?problem, "the account of the user is not known");
                *known = Some(problem);
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests;
