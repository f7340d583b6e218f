//! The user of one account: reads its assets, steps leaders down, edits placements (nats-facts N17).
//!
//! Promises: an act is sent once or not at all, only while its permit holds, and only in the account that this client
//! first learnt to be its own; a repair and a cancel are completed once started ([`crate::place`], [`crate::cancel`]);
//! reads may be repeated. [`ActError`] defines what an answer means; the caller reads back whether an act worked (P9).

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_core::usage::{Sampled, Sampling};
use leeward_engine::permit::Permit;
use leeward_engine::ports::{Act, ActError};
use leeward_engine::supervise::{self, Panicked, SupervisedTask};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::account::{AccountProblem, AccountReports, AccountSource, issuer, learn};
use crate::connect::{ConnectionState, Link};
use crate::connect_config::ConnectConfig;
use crate::jetstream_api::{JetStreamApi, LookupResult, changed, malformed};
use crate::observe::witness::Witness;
use crate::reading::{ConsumerReading, StreamReading};
use crate::request::REQUEST_LIMIT;
use crate::sample_links::SampleLinks;
use crate::user_info::AccountInfo;
use crate::wire;
use crate::wire::api::{Answer, RequestedApi};
use crate::wire::assets::{ConsumerInfo, StreamInfo};

/// A connection as a user of one account; it ends with this value.
#[derive(Debug)]
pub struct AccountClient {
    calls: JetStreamApi,
    domain: Option<String>,
    account: watch::Receiver<Option<AccountInfo>>,
    problem: watch::Receiver<Option<AccountProblem>>,
    sample_links: SampleLinks,
    _learner: AbortOnDropHandle<()>,
}

impl AccountClient {
    /// Starts to connect; `domain` is the JetStream domain of the account's assets, if they are in one. No witness
    /// confirms the answers on the connection.
    pub fn connect(config: ConnectConfig, domain: Option<&str>) -> Arc<Self> {
        Self::start(config, domain, None)
    }

    /// As [`Self::connect`], but answers on the connection decide only where the witness confirms them.
    pub fn connect_witnessed(config: ConnectConfig, domain: Option<&str>, witness: Witness) -> Arc<Self> {
        Self::start(config, domain, Some(witness))
    }

    fn start(config: ConnectConfig, domain: Option<&str>, witness: Option<Witness>) -> Arc<Self> {
        let source = match &witness {
            Some(witness) => AccountSource::System {
                witness: witness.clone(),
                domain: domain.map(str::to_owned),
            },
            None => AccountSource::Account {
                issuer: config.credentials.as_ref().and_then(issuer),
            },
        };
        let sample_links = SampleLinks::new(&config);
        let link = Arc::new(Link::open(config));
        let reports = AccountReports {
            account: watch::Sender::new(None),
            confirmed: watch::Sender::new(None),
            problem: watch::Sender::new(None),
        };
        let (account, problem) = (reports.account.subscribe(), reports.problem.subscribe());
        let confirmed = reports.confirmed.subscribe();
        let asking = Arc::clone(&link);
        let learner = tokio::spawn(async move {
            let unconfirmed = reports.confirmed.clone();
            // Nothing is done until the account is known again.
            let on_panic = |_: &Panicked| {
                unconfirmed.send_replace(None);
            };
            let begin = || learn(Arc::clone(&asking), source.clone(), reports.clone());
            supervise::keep(SupervisedTask::Account, on_panic, begin).await;
        });
        let prefix = match domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        };
        Arc::new(Self {
            calls: JetStreamApi {
                link,
                prefix,
                confirmed,
                account: account.clone(),
                witness,
            },
            domain: domain.map(str::to_owned),
            account,
            problem,
            sample_links,
            _learner: AbortOnDropHandle::new(learner),
        })
    }

    /// The state of the connection. A user that comes to belong to another account ends it for good, as refused.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.calls.link.state()
    }

    /// The account that the user belongs to, as last reported; `None` while the servers do not report it. It survives
    /// an outage, but acts are refused as [`ActError::Disconnected`] until the servers have reported it again.
    pub fn account(&self) -> watch::Receiver<Option<AccountInfo>> {
        self.account.clone()
    }

    /// Why the account is not known, after a first attempt to learn it.
    pub fn account_problem(&self) -> watch::Receiver<Option<AccountProblem>> {
        self.problem.clone()
    }

    /// The JetStream domain that its requests address, if they name one.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    pub(crate) fn calls(&self) -> &JetStreamApi {
        &self.calls
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.calls.link
    }

    /// The connections for samples.
    pub(crate) fn sample_links(&self) -> &SampleLinks {
        &self.sample_links
    }

    /// A stream's configuration as the servers wrote it, if it stores this placement; nothing is changed.
    pub async fn stored_config(
        &self,
        stream: &StreamName,
        placement: Option<&Placement>,
    ) -> Result<String, ActError> {
        self.calls.config(stream, placement).await
    }

    /// The subject of an API call.
    pub(crate) fn subject(&self, call: &str) -> String {
        self.calls.subject(call)
    }

    async fn read_stream(&self, stream: &StreamName) -> Result<LookupResult<StreamReading>, ActError> {
        let call = format!("STREAM.INFO.{stream}");
        self.look(&call, &AssetName::stream(stream.clone()), |bytes| {
            StreamReading::new(&wire::read::<StreamInfo<'_>>(bytes)?, None)
        })
        .await
    }

    async fn read_consumer(
        &self,
        asset: &AssetName,
        name: &str,
    ) -> Result<LookupResult<ConsumerReading>, ActError> {
        let call = format!("CONSUMER.INFO.{}.{name}", asset.stream);
        self.look(&call, asset, |bytes| {
            ConsumerReading::new(&wire::read::<ConsumerInfo<'_>>(bytes)?, None)
        })
        .await
    }

    /// Reads an asset's INFO, distinguishing its absence from no answer.
    pub(crate) async fn look<T>(
        &self,
        call: &str,
        asset: &AssetName,
        read: impl FnOnce(&Bytes) -> Result<T, String>,
    ) -> Result<LookupResult<T>, ActError> {
        let found = self.calls.info(call, asset).await?;
        found.try_map(|bytes| read(&bytes).map_err(|message| malformed(&self.subject(call), message)))
    }
}

impl Act for AccountClient {
    async fn read(&self, asset: &AssetName) -> Result<ReadResult, ActError> {
        let Some(consumer) = &asset.consumer else {
            return Ok(match self.read_stream(&asset.stream).await? {
                LookupResult::Found(stream) => ReadResult::Seen(stream.reading()),
                LookupResult::Gone => ReadResult::Gone,
                LookupResult::NoAnswer => ReadResult::Unanswered,
            });
        };
        let (stream, consumer) = tokio::try_join!(
            self.read_stream(&asset.stream),
            self.read_consumer(asset, consumer.as_str())
        )?;
        Ok(match (stream, consumer) {
            (LookupResult::Gone, _) | (_, LookupResult::Gone) => ReadResult::Gone,
            (LookupResult::NoAnswer, _) | (_, LookupResult::NoAnswer) => ReadResult::Unanswered,
            (LookupResult::Found(stream), LookupResult::Found(consumer)) => {
                ReadResult::Seen(consumer.reading(&stream))
            }
        })
    }

    async fn confirm(
        &self,
        asset: &AssetName,
        reading: &AssetInfo,
        since: Instant,
    ) -> Result<Option<ReadResult>, ActError> {
        let Some(witness) = &self.calls.witness else {
            return Ok(None);
        };
        let Some(leader) = &reading.leader else {
            return Ok(Some(ReadResult::Unanswered));
        };
        let account = self.calls.account_id()?;
        match witness.read(&account, asset, leader, since).await {
            Ok(Some(info)) if info.leader.as_ref() == Some(leader) => Ok(Some(ReadResult::Seen(info))),
            Ok(_) => Err(ActError::AnswersDiffer {
                message: format!(
                    "the answer for {asset} on the account's connection names {leader} as its leader, which does not tell \
                     the system account so: somebody else may be answering in the servers' place"
                ),
            }),
            Err(error) => {
                tracing::warn!(%asset, %leader, %error, "the system account does not confirm what was read");
                Ok(Some(ReadResult::Unanswered))
            }
        }
    }

    async fn elected(&self, asset: &AssetName, since: Instant) -> ServerName {
        match (&self.calls.witness, self.calls.account_id()) {
            (Some(witness), Ok(account)) => witness.elected(account, asset.clone(), since).await,
            (None, _) | (_, Err(_)) => std::future::pending().await,
        }
    }

    async fn sample_use(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        self.sample_stream(sampling).await
    }

    async fn step_down(
        &self,
        permit: Permit,
        asset: &AssetName,
        from: &ServerName,
        successor: &Successor,
    ) -> Result<(), ActError> {
        let (call, payload) = match successor {
            Successor::Peer(server) => (
                "LEADER.STEPDOWN",
                json!({ "placement": { "preferred": server.as_str() } }).to_string(),
            ),
            // An empty body works on every version (nats-facts N10).
            Successor::Anyone => ("LEADER.STEPDOWN", String::new()),
            Successor::OtherServer => ("PEER.EVACUATE", json!({ "peer": from.as_str() }).to_string()),
        };
        let subject = self.subject(&match &asset.consumer {
            None => format!("STREAM.{call}.{}", asset.stream),
            Some(consumer) => format!("CONSUMER.{call}.{}.{consumer}", asset.stream),
        });
        let right = || permit.holds(Timestamp::now());
        let answer = self
            .calls
            .act(&right, &subject, payload, RequestedApi::StepDown, REQUEST_LIMIT)
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
        if let Some(owner) = &target.owner {
            return Err(changed(format!("stream {stream} is edited through {owner} only")));
        }
        self.calls.place(permit, stream, target).await
    }

    async fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        let account = self.calls.account_id()?;
        self.calls.cancel_move(permit, &account, stream, target).await
    }
}
