//! The account of a connection's user, from USER.INFO, which anybody may answer.

use bytes::Bytes;
use leeward_core::names::AccountId;

use crate::connect::Link;
use crate::request::REQUEST_LIMIT;
use crate::request_error::RequestError;
use crate::wire;
use crate::wire::monitor::{Envelope, UserInfo};

pub(crate) const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// The account of a user, as the servers report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// As servers identify it: a public key in operator mode, its name otherwise.
    pub id: AccountId,
    /// For display.
    pub name: String,
}

/// Why the user's account is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserInfoError {
    #[error("{0}: the servers do not say which account the user belongs to")]
    Unanswered(RequestError),
    #[error("the answer to {USER_INFO} cannot be used: {0}")]
    NotUnderstood(String),
}

/// The first answer, from any sender.
pub(crate) async fn ask(link: &Link) -> Result<AccountInfo, UserInfoError> {
    let answer = link.request(USER_INFO, Bytes::new(), REQUEST_LIMIT).await;
    let answer = answer.map_err(UserInfoError::Unanswered)?;
    read(&answer).map_err(UserInfoError::NotUnderstood)
}

pub(crate) fn read(answer: &[u8]) -> Result<AccountInfo, String> {
    let (_, user) = wire::read::<Envelope<UserInfo>>(answer)?.content()?;
    Ok(AccountInfo {
        name: user
            .account_name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| user.account.clone())
            .into(),
        id: AccountId::from(user.account.as_str()),
    })
}
