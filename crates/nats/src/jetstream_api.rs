//! Calls of the JetStream API of one account: reads, which may be repeated, and acts, which are not.
//!
//! Promises: an act is sent only while its right holds, and only on a connection whose account the servers have
//! confirmed; an act's error reports correctly whether the act may have happened ([`ActError::may_have_acted`]).

use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use leeward_api::vocabulary::FindingReason;
use leeward_core::names::{AccountId, AssetName};
use leeward_engine::ports::ActError;
use tokio::sync::watch;

use crate::connect::{ConnectionEpoch, Link};
use crate::observe::witness::Witness;
use crate::request::Guard;
use crate::request_error::RequestError;
use crate::user_info::AccountInfo;
use crate::wire;
use crate::wire::api::{Answer, ApiError, RequestedApi};

/// A read may fall into an election and get no answer; it is repeated once.
const READ_LIMIT: Duration = Duration::from_secs(2);
pub(crate) const READ_AGAIN: Duration = Duration::from_millis(100);
/// The NATS status for a subject without responders.
const NO_RESPONDERS: u32 = 503;

/// The API of one account. Clones share their connection.
#[derive(Clone, Debug)]
pub(crate) struct JetStreamApi {
    pub(crate) link: Arc<Link>,
    /// What every subject begins with.
    pub(crate) prefix: String,
    /// The connection whose account is confirmed.
    pub(crate) confirmed: watch::Receiver<Option<ConnectionEpoch>>,
    /// The account, while it is known.
    pub(crate) account: watch::Receiver<Option<AccountInfo>>,
    /// Asks the servers where nobody else can answer; `None` in tenant mode.
    pub(crate) witness: Option<Witness>,
}

/// What is found of an asset.
pub(crate) enum LookupResult<T> {
    Found(T),
    Gone,
    /// Nobody answers.
    NoAnswer,
}

impl<T> LookupResult<T> {
    pub(crate) fn try_map<U, E>(self, change: impl FnOnce(T) -> Result<U, E>) -> Result<LookupResult<U>, E> {
        Ok(match self {
            Self::Found(asset) => LookupResult::Found(change(asset)?),
            Self::Gone => LookupResult::Gone,
            Self::NoAnswer => LookupResult::NoAnswer,
        })
    }
}

impl JetStreamApi {
    /// The subject of an API call.
    pub(crate) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.prefix)
    }

    /// The account, which has to be known.
    pub(crate) fn account_id(&self) -> Result<AccountId, ActError> {
        let account = self.account.borrow();
        account
            .as_ref()
            .map(|info| info.id.clone())
            .ok_or(ActError::Disconnected)
    }

    /// Reads a thing, distinguishing its absence from no answer.
    pub(crate) async fn info(&self, call: &str, asset: &AssetName) -> Result<LookupResult<Bytes>, ActError> {
        let subject = self.subject(call);
        match answered(|| self.link.request(&subject, Bytes::new(), READ_LIMIT)).await? {
            Some(answer) => self.found(&subject, answer, asset).await,
            None => Ok(LookupResult::NoAnswer),
        }
    }

    /// What the answer to an INFO means. Any client of the account may answer that the asset does not exist: where the
    /// servers can be asked, it is absent only if none of them lists it.
    pub(crate) async fn found(
        &self,
        subject: &str,
        answer: Bytes,
        asset: &AssetName,
    ) -> Result<LookupResult<Bytes>, ActError> {
        let head = wire::read::<Answer>(&answer).map_err(|message| malformed(subject, message))?;
        match head.error {
            None => Ok(LookupResult::Found(answer)),
            Some(error) if error.is_gone() => self.gone(subject, asset).await,
            Some(error) if error.is_leaderless() => Ok(LookupResult::NoAnswer),
            Some(error) => Err(refused(subject, error, RequestedApi::Read)),
        }
    }

    async fn gone(&self, subject: &str, asset: &AssetName) -> Result<LookupResult<Bytes>, ActError> {
        let Some(witness) = &self.witness else {
            return Ok(LookupResult::Gone);
        };
        match witness.is_listed(&self.account_id()?, asset).await {
            Ok(false) => Ok(LookupResult::Gone),
            Ok(true) => Err(ActError::AnswersDiffer {
                message: format!(
                    "{subject} was answered with an error as if {asset} did not exist, and a server tells the system account \
                     that it has it: somebody else may be answering in the servers' place"
                ),
            }),
            Err(error) => {
                tracing::debug!(%asset, %error, "the system account does not confirm that an asset is gone");
                Ok(LookupResult::NoAnswer)
            }
        }
    }

    /// Sends a change, once; the right is checked immediately before.
    pub(crate) async fn act(
        &self,
        right: Guard<'_>,
        subject: &str,
        payload: String,
        asked: RequestedApi,
        limit: Duration,
    ) -> Result<Bytes, ActError> {
        if !self.is_confirmed() {
            return Err(ActError::Disconnected);
        }
        let guard = || self.is_confirmed() && right();
        let answer = match self.link.request_if(&guard, subject, payload, limit).await {
            Ok(answer) => answer,
            Err(RequestError::Withheld { subject: _ }) if !self.is_confirmed() => {
                return Err(ActError::Disconnected);
            }
            Err(error) => return Err(act_error(error)),
        };
        match wire::read::<Answer>(&answer)
            .map_err(|message| malformed(subject, message))?
            .error
        {
            Some(error) => Err(refused(subject, error, asked)),
            None => Ok(answer),
        }
    }

    /// Whether the servers have confirmed the account on the present connection.
    fn is_confirmed(&self) -> bool {
        self.confirmed_epoch().is_some()
    }

    /// The present connection, if the servers have confirmed the account on it.
    pub(crate) fn confirmed_epoch(&self) -> Option<ConnectionEpoch> {
        let present = self.link.epoch();
        present.filter(|epoch| *self.confirmed.borrow() == Some(*epoch))
    }
}

/// The answer to a read; `None` for no answer. It is repeated once, since a request may fall into an election
/// (nats-facts N16).
pub(crate) async fn answered<T, F>(once: impl FnMut() -> F) -> Result<Option<T>, ActError>
where
    F: Future<Output = Result<T, RequestError>>,
{
    let lost = |error: &RequestError| {
        matches!(
            error,
            RequestError::Timeout { subject: _ } | RequestError::NoResponders { subject: _ }
        )
    };
    let again = ConstantBuilder::new().with_delay(READ_AGAIN).with_max_times(1);
    match once.retry(again).when(lost).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if lost(&error) => Ok(None),
        Err(RequestError::Interrupted { subject: _ }) => Ok(None),
        Err(error) => Err(act_error(error)),
    }
}

fn refused(subject: &str, error: ApiError, asked: RequestedApi) -> ActError {
    ActError::Refused {
        subject: subject.to_owned(),
        code: error.err_code,
        reason: error.reason(asked),
        description: error.description.into(),
    }
}

pub(crate) fn malformed(subject: &str, message: String) -> ActError {
    ActError::Malformed {
        subject: subject.to_owned(),
        message,
    }
}

pub(crate) fn changed(message: String) -> ActError {
    ActError::Changed { message }
}

/// The failure of a read before an act, when nothing was sent yet: the act cannot have happened.
pub(crate) fn not_sent(error: ActError) -> ActError {
    match error {
        ActError::Unanswered { subject: _ } => ActError::Unread {
            message: error.to_string(),
        },
        error if error.may_have_acted() => changed(format!("nothing was sent: {error}")),
        error => error,
    }
}

pub(crate) fn act_error(error: RequestError) -> ActError {
    match error {
        RequestError::Denied { subject } => ActError::Denied { subject },
        // The one that would have acted is not there.
        RequestError::NoResponders { subject } => ActError::Refused {
            subject,
            code: NO_RESPONDERS,
            description: "nobody serves it".to_owned(),
            reason: Some(FindingReason::NoLeader),
        },
        RequestError::Timeout { subject } | RequestError::Interrupted { subject } => {
            ActError::Unanswered { subject }
        }
        RequestError::Disconnected => ActError::Disconnected,
        RequestError::Withheld { subject: _ } => ActError::PermitExpired,
        RequestError::Unsendable { subject, message } => {
            changed(format!("{subject} was not sent: {message}"))
        }
        RequestError::Unpackable { subject, message } => ActError::Malformed { subject, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_an_act_may_have_happened() {
        let subject = || "s".to_owned();
        let may = |error| act_error(error).may_have_acted();
        assert!(may(RequestError::Timeout { subject: subject() }));
        assert!(may(RequestError::Interrupted { subject: subject() }));
        assert!(!may(RequestError::NoResponders { subject: subject() }));
        assert!(!may(RequestError::Withheld { subject: subject() }));
        assert!(!may(RequestError::Disconnected));
        let nobody = act_error(RequestError::NoResponders { subject: subject() });
        assert_eq!(nobody.reason(), Some(FindingReason::NoLeader));
    }

    #[test]
    fn a_failed_read_before_an_act_is_no_act() {
        let unread = not_sent(malformed("s", "no JSON".into()));
        assert!(matches!(&unread, ActError::Changed { message } if message.contains("no JSON")));
        assert!(!unread.may_have_acted());
        assert_eq!(not_sent(ActError::Disconnected), ActError::Disconnected);
        let subject = "s".to_owned();
        let silence = not_sent(ActError::Unanswered { subject });
        assert!(silence.is_passing() && !silence.may_have_acted(), "{silence:?}");
    }
}
