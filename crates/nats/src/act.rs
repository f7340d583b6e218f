//! The user of one account: reads its assets, steps leaders down, edits placements (NATS.md N17).
//!
//! Promises: an act is sent once or not at all, and only while its permit holds; reads may be repeated. What an answer
//! means is said in [`ActError`]; whether an act worked is for the caller to read back (P9).

use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use jiff::Timestamp;
use leeward_core::names::{AccountId, AssetName, StreamName};
use leeward_core::operation::Sighting;
use leeward_core::plan::Aim;
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_engine::permit::Permit;
use leeward_engine::ports::{Act, ActError};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::{ConnectConfig, ConnectionState, Link};
use crate::placement_edit::{EditError, differences, with_placement, without_placement};
use crate::reading::{ConsumerReading, StreamReading};
use crate::request::{REQUEST_LIMIT, RequestError};
use crate::wire;
use crate::wire::api::{Answer, ApiError, Asked};
use crate::wire::assets::{ConsumerInfo, RawStreamInfo, StreamInfo};
use crate::wire::monitor::{Envelope, UserInfo};

/// A read may fall into an election and stay unanswered; it is repeated once.
const READ_LIMIT: Duration = Duration::from_secs(2);
const READ_AGAIN: Duration = Duration::from_millis(100);
/// An update waits for the meta leader and for the stream's own leader.
const UPDATE_LIMIT: Duration = Duration::from_secs(8);
/// Between attempts to learn the account, whose permissions may lack USER.INFO.
const LEARN_AGAIN: Duration = Duration::from_secs(30);
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// The account of a user, as the servers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// As servers identify it: a public key in operator mode, its name otherwise.
    pub id: AccountId,
    /// For people.
    pub name: String,
}

/// A connection as a user of one account; it ends with this value.
#[derive(Debug)]
pub struct AccountClient {
    link: Arc<Link>,
    api: String,
    account: watch::Receiver<Option<AccountInfo>>,
    _learner: AbortOnDropHandle<()>,
}

impl AccountClient {
    /// Starts to connect; `domain` is the JetStream domain of the account's assets, if they are in one.
    pub fn connect(config: ConnectConfig, domain: Option<&str>) -> Arc<Self> {
        let link = Arc::new(Link::open(config));
        let (sender, account) = watch::channel(None);
        let learner = tokio::spawn(learn_account(Arc::clone(&link), sender));
        let api = match domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        };
        Arc::new(Self {
            link,
            api,
            account,
            _learner: AbortOnDropHandle::new(learner),
        })
    }

    /// The state of the connection.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.link.state()
    }

    /// The account that the user belongs to; `None` until a server has said it.
    pub fn account(&self) -> watch::Receiver<Option<AccountInfo>> {
        self.account.clone()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The subject of an API call.
    pub(crate) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.api)
    }

    /// Reads a thing whose absence and whose silence are told apart; repeated once, since a request may fall into an
    /// election (NATS.md N16).
    async fn info(&self, call: &str) -> Result<Found, ActError> {
        let subject = self.subject(call);
        let once = || self.link.request(&subject, Bytes::new(), READ_LIMIT);
        let lost = |error: &RequestError| {
            matches!(
                error,
                RequestError::Timeout { subject: _ } | RequestError::NoResponders { subject: _ }
            )
        };
        match once
            .retry(ConstantBuilder::new().with_delay(READ_AGAIN).with_max_times(1))
            .when(lost)
            .await
        {
            Ok(answer) => found(&subject, answer),
            Err(error) if lost(&error) => Ok(Found::Silence),
            Err(RequestError::Interrupted { subject: _ }) => Ok(Found::Silence),
            Err(error) => Err(act_error(error)),
        }
    }

    async fn read_stream(&self, stream: &StreamName) -> Result<Seen<StreamReading>, ActError> {
        let call = format!("STREAM.INFO.{stream}");
        self.info(&call).await?.decode(&self.subject(&call), |bytes| {
            StreamReading::new(&wire::read::<StreamInfo<'_>>(bytes)?, None)
        })
    }

    async fn read_consumer(&self, asset: &AssetName, name: &str) -> Result<Seen<ConsumerReading>, ActError> {
        let call = format!("CONSUMER.INFO.{}.{name}", asset.stream);
        self.info(&call).await?.decode(&self.subject(&call), |bytes| {
            ConsumerReading::new(&wire::read::<ConsumerInfo<'_>>(bytes)?, None)
        })
    }

    /// Sends something that changes, once; the permit is asked right before.
    async fn act(
        &self,
        permit: &Permit,
        subject: &str,
        payload: String,
        asked: Asked,
        limit: Duration,
    ) -> Result<Bytes, ActError> {
        let guard = || permit.holds(Timestamp::now());
        let answer = self
            .link
            .request_if(&guard, subject, payload, limit)
            .await
            .map_err(act_error)?;
        match wire::read::<Answer>(&answer)
            .map_err(|message| malformed(subject, message))?
            .error
        {
            Some(error) => Err(refused(subject, error, asked)),
            None => Ok(answer),
        }
    }

    /// The configuration as the servers wrote it, if the stream stores the placement that the plan was made for.
    async fn config(&self, stream: &StreamName, replaces: Option<&Placement>) -> Result<String, ActError> {
        let call = format!("STREAM.INFO.{stream}");
        let subject = self.subject(&call);
        let answer = match self.info(&call).await? {
            Found::Answer(answer) => answer,
            Found::Gone => return Err(changed(format!("stream {stream} does not exist any more"))),
            // Nothing was sent yet: the silence of a read is no reason to think that an act may have happened.
            Found::Silence => return Err(changed(format!("nobody answered for stream {stream}"))),
        };
        let read = |message| malformed(&subject, message);
        let seen = StreamReading::new(&wire::read::<StreamInfo<'_>>(&answer).map_err(read)?, None);
        let stored = seen.map_err(read)?.placement;
        if stored.as_ref() != replaces {
            return Err(changed(format!(
                "the placement of stream {stream} was changed meanwhile"
            )));
        }
        config_text(&subject, &answer)
    }

    /// Sends a whole configuration and compares what was stored; gives the stored one.
    async fn update(&self, permit: &Permit, stream: &StreamName, config: String) -> Result<String, ActError> {
        let subject = self.subject(&format!("STREAM.UPDATE.{stream}"));
        let answer = self
            .act(permit, &subject, config.clone(), Asked::Placement, UPDATE_LIMIT)
            .await?;
        let stored = config_text(&subject, &answer)?;
        let fields = differences(&config, &stored).map_err(|error| malformed(&subject, error.to_string()))?;
        if fields.is_empty() {
            Ok(stored)
        } else {
            Err(ActError::StoredDifferently { fields })
        }
    }
}

impl Act for AccountClient {
    async fn read(&self, asset: &AssetName) -> Result<Sighting, ActError> {
        let Some(consumer) = &asset.consumer else {
            return Ok(self
                .read_stream(&asset.stream)
                .await?
                .map(StreamReading::reading)
                .sighting());
        };
        let (stream, consumer) = tokio::try_join!(
            self.read_stream(&asset.stream),
            self.read_consumer(asset, consumer.as_str())
        )?;
        Ok(match (stream, consumer) {
            (Seen::Gone, _) | (_, Seen::Gone) => Sighting::Gone,
            (Seen::Silent, _) | (_, Seen::Silent) => Sighting::Unanswered,
            (Seen::Here(stream), Seen::Here(consumer)) => Sighting::Seen(consumer.reading(&stream)),
        })
    }

    async fn step_down(&self, permit: Permit, asset: &AssetName, aim: &Aim) -> Result<(), ActError> {
        let subject = self.subject(&match &asset.consumer {
            None => format!("STREAM.LEADER.STEPDOWN.{}", asset.stream),
            Some(consumer) => format!("CONSUMER.LEADER.STEPDOWN.{}.{consumer}", asset.stream),
        });
        // An empty body works on every version (NATS.md N10).
        let payload = match aim {
            Aim::Peer(server) => json!({ "placement": { "preferred": server.as_str() } }).to_string(),
            Aim::Anyone => String::new(),
        };
        let answer = self
            .act(&permit, &subject, payload, Asked::StepDown, REQUEST_LIMIT)
            .await?;
        let success = wire::read::<Answer>(&answer)
            .map_err(|message| malformed(&subject, message))?
            .success;
        match success {
            Some(true) => Ok(()),
            Some(false) | None => Err(malformed(
                &subject,
                "it says neither success nor error".to_owned(),
            )),
        }
    }

    async fn place(&self, permit: Permit, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        let mut config = self.config(stream, target.replaces.as_ref()).await?;
        let edit = |error: EditError| changed(format!("stream {stream}: {error}"));
        // Checked before a repair removes anything.
        let mut wanted = with_placement(&config, &target.placement).map_err(edit)?;
        if target.is_repair() {
            // An equal placement is no change to the servers, so it is removed first (NATS.md N21).
            let bare = without_placement(&config).map_err(edit)?;
            config = self.update(&permit, stream, bare).await?;
            wanted = with_placement(&config, &target.placement).map_err(edit)?;
        }
        self.update(&permit, stream, wanted).await.map(drop)
    }
}

/// The answer to an INFO.
enum Found {
    Answer(Bytes),
    Gone,
    Silence,
}

/// A thing that was looked for.
enum Seen<T> {
    Here(T),
    Gone,
    Silent,
}

impl Found {
    fn decode<T>(
        self,
        subject: &str,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Seen<T>, ActError> {
        match self {
            Self::Answer(bytes) => read(&bytes)
                .map(Seen::Here)
                .map_err(|message| malformed(subject, message)),
            Self::Gone => Ok(Seen::Gone),
            Self::Silence => Ok(Seen::Silent),
        }
    }
}

impl<T> Seen<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Here(thing) => Seen::Here(change(thing)),
            Self::Gone => Seen::Gone,
            Self::Silent => Seen::Silent,
        }
    }
}

impl Seen<leeward_core::operation::Reading> {
    fn sighting(self) -> Sighting {
        match self {
            Self::Here(reading) => Sighting::Seen(reading),
            Self::Gone => Sighting::Gone,
            Self::Silent => Sighting::Unanswered,
        }
    }
}

fn found(subject: &str, answer: Bytes) -> Result<Found, ActError> {
    let head = wire::read::<Answer>(&answer).map_err(|message| malformed(subject, message))?;
    match head.error {
        None => Ok(Found::Answer(answer)),
        Some(error) if error.is_gone() => Ok(Found::Gone),
        Some(error) if error.is_leaderless() => Ok(Found::Silence),
        Some(error) => Err(refused(subject, error, Asked::Read)),
    }
}

fn config_text(subject: &str, answer: &[u8]) -> Result<String, ActError> {
    let read = wire::read::<RawStreamInfo<'_>>(answer).map_err(|message| malformed(subject, message))?;
    Ok(read.config.get().to_owned())
}

fn refused(subject: &str, error: ApiError, asked: Asked) -> ActError {
    ActError::Refused {
        subject: subject.to_owned(),
        code: error.err_code,
        reason: error.reason(asked),
        description: error.description,
    }
}

fn malformed(subject: &str, message: String) -> ActError {
    ActError::Malformed {
        subject: subject.to_owned(),
        message,
    }
}

fn changed(message: String) -> ActError {
    ActError::Changed { message }
}

fn act_error(error: RequestError) -> ActError {
    match error {
        RequestError::Denied { subject } => ActError::Denied { subject },
        RequestError::NoResponders { subject }
        | RequestError::Timeout { subject }
        | RequestError::Interrupted { subject } => ActError::Unanswered { subject },
        RequestError::Disconnected => ActError::Disconnected,
        RequestError::Withheld { subject: _ } => ActError::PermitExpired,
        RequestError::Unsendable { subject, message } => {
            changed(format!("{subject} was not sent: {message}"))
        }
        RequestError::Unpackable { subject, message } => ActError::Malformed { subject, message },
    }
}

/// Asks on each new connection which account it is; the account of a user never changes, but its credentials may.
async fn learn_account(link: Arc<Link>, account: watch::Sender<Option<AccountInfo>>) {
    let mut client = link.client();
    loop {
        let wait = if client.borrow_and_update().is_some() {
            match user_info(&link).await {
                Ok(info) => {
                    account.send_if_modified(|known| known.replace(info.clone()) != Some(info));
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, "the account of the user is not known");
                    Some(LEARN_AGAIN)
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

pub(crate) async fn user_info(link: &Link) -> Result<AccountInfo, String> {
    let answer = link
        .request(USER_INFO, Bytes::new(), REQUEST_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    let (_, user) = wire::read::<Envelope<UserInfo>>(&answer)?.content()?;
    Ok(AccountInfo {
        name: user
            .account_name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| user.account.clone()),
        id: AccountId::from(user.account),
    })
}
