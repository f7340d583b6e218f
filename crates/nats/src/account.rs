//! Which account the user of a connection belongs to.
//!
//! Promises: an account counts for the one connection on which the server told it, and for none after; a user that comes
//! to belong to another account ends the connection for good, so that what was decided for the one is never done to the
//! other (P8).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leeward_core::names::AccountId;
use tokio::sync::watch;

use crate::connect::{Epoch, LOOK_AGAIN, Link};
use crate::request::{REQUEST_LIMIT, RequestError};
use crate::wire;
use crate::wire::monitor::{Envelope, UserInfo};

const USER_INFO: &str = "$SYS.REQ.USER.INFO";
/// After a first failure, which may be a hiccup.
const SOON_AGAIN: Duration = Duration::from_secs(2);

/// The account of a user, as the servers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// As servers identify it: a public key in operator mode, its name otherwise.
    pub id: AccountId,
    /// For people.
    pub name: String,
}

/// Why the account is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(transparent)]
    Unanswered(RequestError),
    #[error("{0}")]
    NotUnderstood(String),
}

impl Unknown {
    /// There is no connection to ask on; the next one will tell.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unanswered(RequestError::Disconnected | RequestError::Interrupted { subject: _ })
        )
    }

    fn is_denied(&self) -> bool {
        matches!(self, Self::Unanswered(RequestError::Denied { subject: _ }))
    }
}

pub(crate) async fn user_info(link: &Link) -> Result<AccountInfo, Unknown> {
    let answer = link
        .request(USER_INFO, Bytes::new(), REQUEST_LIMIT)
        .await
        .map_err(Unknown::Unanswered)?;
    let read = |answer: &[u8]| wire::read::<Envelope<UserInfo>>(answer)?.content();
    let (_, user) = read(&answer).map_err(Unknown::NotUnderstood)?;
    Ok(AccountInfo {
        name: user
            .account_name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| user.account.clone())
            .into(),
        id: AccountId::from(user.account.as_str()),
    })
}

/// Who is told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The account as it was told last; `None` while the servers do not say it.
    pub(crate) account: watch::Sender<Option<AccountInfo>>,
    /// The connection on which it was told.
    pub(crate) confirmed: watch::Sender<Option<Epoch>>,
}

/// What an answer, or none, means.
#[derive(Debug, PartialEq, Eq)]
enum Lesson {
    /// The account is this one.
    Confirmed(AccountInfo),
    /// The user belongs to another account than the one it acted in.
    Moved(String),
    /// It is not known now; what was known before is forgotten if `forget`.
    Unknown { forget: bool, again: Option<Duration> },
}

/// What was learnt so far on all connections.
#[derive(Debug, Default)]
struct Learnt {
    first: Option<AccountInfo>,
    failures: u32,
}

impl Learnt {
    fn hear(&mut self, answer: Result<AccountInfo, Unknown>) -> Lesson {
        match (answer, &self.first) {
            (Ok(info), Some(first)) if info.id != first.id => Lesson::Moved(format!(
                "the user belonged to account {} and belongs to account {} now; nothing is done there: connect anew",
                first.id, info.id
            )),
            (Ok(info), _) => {
                self.failures = 0;
                self.first.get_or_insert_with(|| info.clone());
                Lesson::Confirmed(info)
            }
            (Err(error), _) if error.is_transient() => Lesson::Unknown {
                forget: false,
                again: Some(SOON_AGAIN),
            },
            (Err(error), _) => {
                self.failures = self.failures.saturating_add(1);
                let forget = error.is_denied() || self.failures > 1;
                tracing::warn!(%error, "the account of the user is not known");
                Lesson::Unknown {
                    forget,
                    again: Some(if forget { LOOK_AGAIN } else { SOON_AGAIN }),
                }
            }
        }
    }
}

/// Asks on each new connection which account it is.
pub(crate) async fn learn(link: Arc<Link>, told: Told) {
    let mut client = link.client();
    // A learner that broke off left behind what it had said.
    let mut learnt = Learnt {
        first: told.account.borrow().clone(),
        failures: 0,
    };
    loop {
        let wait = if client.borrow_and_update().is_some() {
            let before = link.epoch();
            let answer = user_info(&link).await;
            // What an earlier connection was told says nothing of this one.
            let answer = match (answer, before) {
                (answer, Some(epoch)) if link.epoch() == Some(epoch) => answer.map(|info| (info, epoch)),
                _ => Err(Unknown::Unanswered(RequestError::Disconnected)),
            };
            let epoch = answer.as_ref().ok().map(|(_, epoch)| *epoch);
            match learnt.hear(answer.map(|(info, _)| info)) {
                Lesson::Confirmed(info) => {
                    told.confirmed.send_replace(epoch);
                    told.account
                        .send_if_modified(|known| known.replace(info.clone()) != Some(info));
                    None
                }
                Lesson::Moved(message) => {
                    told.confirmed.send_replace(None);
                    link.give_up(&message);
                    return;
                }
                Lesson::Unknown { forget, again } => {
                    told.confirmed.send_replace(None);
                    if forget {
                        told.account.send_if_modified(|known| known.take().is_some());
                    }
                    again
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

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str) -> AccountInfo {
        AccountInfo {
            id: AccountId::from(id),
            name: id.to_owned(),
        }
    }

    fn unanswered(error: fn(String) -> RequestError) -> Result<AccountInfo, Unknown> {
        Err(Unknown::Unanswered(error(USER_INFO.to_owned())))
    }

    #[test]
    fn p8_a_user_that_comes_to_belong_to_another_account_acts_no_more() {
        let mut learnt = Learnt::default();
        assert_eq!(learnt.hear(Ok(info("A"))), Lesson::Confirmed(info("A")));
        let named = AccountInfo {
            name: "a".into(),
            ..info("A")
        };
        assert_eq!(learnt.hear(Ok(named.clone())), Lesson::Confirmed(named));
        let moved = learnt.hear(Ok(info("B")));
        assert!(
            matches!(&moved, Lesson::Moved(message) if message.contains("account A") && message.contains("account B")),
            "{moved:?}"
        );
    }

    #[test]
    fn an_account_is_forgotten_when_servers_no_longer_say_it_and_kept_over_an_outage() {
        let mut learnt = Learnt::default();
        let kept = Lesson::Unknown {
            forget: false,
            again: Some(SOON_AGAIN),
        };
        let forgotten = Lesson::Unknown {
            forget: true,
            again: Some(LOOK_AGAIN),
        };
        for _ in 0..3 {
            let lost = learnt.hear(unanswered(|subject| RequestError::Interrupted { subject }));
            assert_eq!(lost, kept);
        }
        let timeout = |subject| RequestError::Timeout { subject };
        assert_eq!(learnt.hear(unanswered(timeout)), kept, "a hiccup");
        assert_eq!(learnt.hear(unanswered(timeout)), forgotten);
        assert_eq!(learnt.hear(Ok(info("A"))), Lesson::Confirmed(info("A")));
        let denied = learnt.hear(unanswered(|subject| RequestError::Denied { subject }));
        assert_eq!(denied, forgotten);
    }
}
