//! A stream's configuration as the servers store it, read for an edit that sends all of it back (P7).
//!
//! On the account's own connection any of its clients may answer in the servers' place, and first. So the answer counts
//! only if no different second one comes to the same request; and where a user of the system account observes, only if
//! the stream's leader reports the same there, where those clients cannot answer.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::PeerInfo;
use leeward_engine::ports::ActError;

use crate::jetstream_api::{JetStreamApi, LookupResult, READ_AGAIN, answered, malformed, not_sent};
use crate::observe::listings::{ListedAssets, StoredStream};
use crate::observe::witness::{Unseen, Witness};
use crate::placement_edit::{EditError, differences};
use crate::reading::{GroupReading, StreamReading};
use crate::request::{Enough, Gather, Gathered, first};
use crate::request_error::RequestError;
use crate::wire;
use crate::wire::assets::RawStreamInfo;
use crate::wire::assets::StreamInfo;

/// The limit for the first answer and the wait after it.
const LIMIT: Duration = Duration::from_secs(3);
/// How long to wait for a second answer: the servers' own may be the later one.
const SECOND_ANSWER: Duration = Duration::from_secs(1);
/// The owner of a stream may change it between two reads, but not between every two.
const COMPARISONS: usize = 3;

/// What is known of a stream.
pub(crate) enum Stored {
    Here(Box<StoredStream>),
    Gone,
    /// Why no answer is usable.
    Unconfirmed {
        message: String,
    },
}

impl JetStreamApi {
    /// Reads a stream; whatever the error, nothing was sent.
    pub(crate) async fn stored(&self, stream: &StreamName) -> Result<Stored, ActError> {
        // While a stream changes its leader two servers may answer, or one with an outdated configuration.
        let once = || self.stored_once(stream);
        let differ = |error: &ActError| matches!(error, ActError::AnswersDiffer { message: _ });
        let again = ConstantBuilder::new()
            .with_delay(READ_AGAIN)
            .with_max_times(COMPARISONS - 1);
        once.retry(again).when(differ).await
    }

    async fn stored_once(&self, stream: &StreamName) -> Result<Stored, ActError> {
        let (subject, answer) = self.only_answer(stream).await?;
        let stored = match answer {
            LookupResult::Found(answer) => read(&subject, &answer).map_err(not_sent)?,
            LookupResult::Gone => return Ok(Stored::Gone),
            LookupResult::NoAnswer => {
                return Ok(Stored::Unconfirmed {
                    message: format!("nobody answered {subject} in time"),
                });
            }
        };
        let Some(witness) = &self.witness else {
            return Ok(Stored::Here(Box::new(stored)));
        };
        let group = &stored.reading.group;
        let Some(witnessed) = self.witnessed(witness, stream, group).await? else {
            let message = match &group.leader {
                Some(leader) => {
                    format!("{leader}, which is said to lead stream {stream}, does not tell of it")
                }
                None => format!(
                    "stream {stream} has no leader, and no server that is said to keep it tells of it"
                ),
            };
            return Ok(Stored::Unconfirmed { message });
        };
        // Up to 2.14 a cancelled move leaves the two with different placements; the placement is checked separately.
        let compared = differences(&stored.config, &witnessed.config);
        let fields = compared.map_err(|error: EditError| not_sent(malformed(&subject, error.to_string())))?;
        if fields.is_empty() {
            return Ok(Stored::Here(Box::new(stored)));
        }
        let fields = fields.join(", ");
        // Without a leader it is unknown who has the last one.
        if group.leader.is_none() {
            let message =
                format!("stream {stream} has no leader, and what is told of it differs in {fields}");
            return Ok(Stored::Unconfirmed { message });
        }
        let message = format!(
            "the answer for stream {stream} on the account's connection and what its leader tells the system account differ \
             in {fields}: somebody else may be answering in the servers' place"
        );
        Err(ActError::AnswersDiffer { message })
    }

    /// The stream as reported by the server named as its leader, or by one of its peers while it has none; `None` where
    /// none of them reports it.
    async fn witnessed(
        &self,
        witness: &Witness,
        stream: &StreamName,
        group: &GroupReading,
    ) -> Result<Option<StoredStream>, ActError> {
        let account = self.account_id()?;
        let (servers, of): (Vec<&ServerName>, _) = match &group.leader {
            Some(leader) => (vec![leader], ListedAssets::LedStreams),
            None => (leaderless(&group.peers), ListedAssets::Streams),
        };
        for server in servers {
            match witness.stream(&account, stream, server, of).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error @ Unseen::NotUnderstood(_)) => {
                    return Err(not_sent(malformed("$SYS.REQ.SERVER.*.JSZ", error.to_string())));
                }
                Err(error) => {
                    tracing::debug!(%stream, %error, "a server does not tell of a stream in the system account");
                }
            }
        }
        Ok(None)
    }

    /// The answer to STREAM.INFO, if there is no other.
    async fn only_answer(&self, stream: &StreamName) -> Result<(String, LookupResult<Bytes>), ActError> {
        let subject = self.subject(&format!("STREAM.INFO.{stream}"));
        let answers = answered(|| self.all_answers(&subject)).await.map_err(not_sent)?;
        let Some(Gathered { replies, unreadable }) = answers else {
            return Ok((subject, LookupResult::NoAnswer));
        };
        let number = replies.len().saturating_add(unreadable.len());
        match (replies.into_keys().next(), unreadable.into_iter().next()) {
            _ if number > 1 => Err(ActError::AnswersDiffer {
                message: format!(
                    "{subject} was answered {number} times: somebody else answers in the servers' place"
                ),
            }),
            (Some(answer), _) => {
                let asset = AssetName::stream(stream.clone());
                let found = self.found(&subject, answer, &asset).await;
                Ok((subject, found.map_err(not_sent)?))
            }
            (None, message) => Err(not_sent(malformed(&subject, message.unwrap_or_default()))),
        }
    }

    /// All different answers: one that came twice counts once (nats-facts N41).
    async fn all_answers(&self, subject: &str) -> Result<Gathered<Bytes, ()>, RequestError> {
        let gather = Gather {
            subject,
            payload: String::new(),
            limit: LIMIT,
            read: &|answer| Ok(Some((Bytes::copy_from_slice(answer), ()))),
            prefer: &first,
            enough: &|_| Enough::IfQuietFor(SECOND_ANSWER),
        };
        self.link.gather(gather).await
    }
}

/// The peers to ask, the recently active ones first.
fn leaderless(peers: &[PeerInfo]) -> Vec<&ServerName> {
    let (current, others): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| peer.current);
    current
        .into_iter()
        .chain(others)
        .map(|peer| &peer.server)
        .collect()
}

fn read(subject: &str, answer: &Bytes) -> Result<StoredStream, ActError> {
    let of = |message| malformed(subject, message);
    let info = wire::read::<StreamInfo<'_>>(answer).map_err(of)?;
    Ok(StoredStream {
        reading: StreamReading::new(&info, None).map_err(of)?,
        config: config_text(subject, answer)?,
    })
}

/// A stream's configuration in an answer, verbatim.
pub(crate) fn config_text(subject: &str, answer: &[u8]) -> Result<String, ActError> {
    let read = wire::read::<RawStreamInfo<'_>>(answer).map_err(|message| malformed(subject, message))?;
    Ok(read.config.get().to_owned())
}
