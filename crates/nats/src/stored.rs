//! A stream's configuration as the servers store it, read for an edit that sends all of it back (P7).
//!
//! On the account's own connection any of its clients may answer in the servers' place, and first. So the answer counts
//! only if no second, other one comes to the same request; and where a user of the system account observes, only if the
//! server that leads the stream tells the same there, where those clients cannot answer.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use leeward_core::names::{AssetName, StreamName};
use leeward_engine::ports::ActError;

use crate::calls::{Calls, Found, READ_AGAIN, act_error, found, malformed, not_sent};
use crate::observe::witness::{StoredStream, Unseen, Witness};
use crate::place::config_text;
use crate::placement_edit::{EditError, differences};
use crate::reading::StreamReading;
use crate::request::{Enough, Gather, Gathered, RequestError, first};
use crate::wire;
use crate::wire::assets::StreamInfo;

/// For the first answer and the time after it.
const LIMIT: Duration = Duration::from_secs(3);
/// For a second answer after the first: the servers' own may be the later one.
const SECOND_ANSWER: Duration = Duration::from_secs(1);
/// The owner of a stream may change it between two reads, though not between each two.
const COMPARISONS: usize = 3;

/// What is known of a stream.
pub(crate) enum Stored {
    Here(Box<StoredStream>),
    Gone,
    Silence { subject: String },
}

impl Calls {
    /// Reads a stream; nothing was sent whatever the error.
    pub(crate) async fn stored(&self, stream: &StreamName) -> Result<Stored, ActError> {
        let mut fields = Vec::new();
        for _ in 0..COMPARISONS {
            let (subject, answer) = self.only_answer(stream).await?;
            let stored = match answer {
                Found::Answer(answer) => read(&subject, &answer).map_err(not_sent)?,
                Found::Gone => return Ok(Stored::Gone),
                Found::Silence => return Ok(Stored::Silence { subject }),
            };
            let Some(witness) = &self.witness else {
                return Ok(Stored::Here(Box::new(stored)));
            };
            let Some(witnessed) = self.witnessed(witness, stream, &stored).await? else {
                return Ok(Stored::Silence {
                    subject: "$SYS.REQ.SERVER.*.JSZ".to_owned(),
                });
            };
            // Up to 2.14 a cancelled move leaves the two with different placements; the placement is judged by itself.
            let compared = differences(&stored.config, &witnessed.config);
            fields = compared.map_err(|error: EditError| not_sent(malformed(&subject, error.to_string())))?;
            if fields.is_empty() {
                return Ok(Stored::Here(Box::new(stored)));
            }
        }
        let message = format!(
            "the answer for stream {stream} on the account's connection and what its leader tells the system account differ \
             in {}: somebody else may be answering in the servers' place",
            fields.join(", ")
        );
        Err(ActError::AnswersDiffer { message })
    }

    /// `None` while the server that is said to lead the stream does not list it.
    async fn witnessed(
        &self,
        witness: &Witness,
        stream: &StreamName,
        stored: &StoredStream,
    ) -> Result<Option<StoredStream>, ActError> {
        let Some(leader) = &stored.reading.group.leader else {
            return Ok(None);
        };
        let account = self.account.borrow().as_ref().map(|info| info.id.clone());
        let account = account.ok_or(ActError::Disconnected)?;
        let asset = AssetName::stream(stream.clone());
        match witness.stream(&account, &asset, leader).await {
            Ok(found) => Ok(found),
            Err(error @ (Unseen::NotUnderstood(_) | Unseen::NoConnection { server: _ })) => {
                Err(not_sent(malformed("$SYS.REQ.SERVER.*.JSZ", error.to_string())))
            }
            Err(error @ (Unseen::Unanswered(_) | Unseen::NoServer { server: _ })) => {
                tracing::debug!(%stream, %error, "a stream's leader does not tell of it in the system account");
                Ok(None)
            }
        }
    }

    /// The answer to STREAM.INFO, if there is no other.
    async fn only_answer(&self, stream: &StreamName) -> Result<(String, Found), ActError> {
        let subject = self.subject(&format!("STREAM.INFO.{stream}"));
        let once = || self.all_answers(&subject);
        let lost = |error: &RequestError| {
            matches!(
                error,
                RequestError::Timeout { subject: _ } | RequestError::NoResponders { subject: _ }
            )
        };
        let answers = once
            .retry(ConstantBuilder::new().with_delay(READ_AGAIN).with_max_times(1))
            .when(lost)
            .await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if lost(&error) => return Ok((subject, Found::Silence)),
            Err(RequestError::Interrupted { subject: _ }) => return Ok((subject, Found::Silence)),
            Err(error) => return Err(not_sent(act_error(error))),
        };
        let Gathered { replies, unreadable } = answers;
        let number = replies.len().saturating_add(unreadable.len());
        match (replies.into_keys().next(), unreadable.into_iter().next()) {
            _ if number > 1 => Err(ActError::AnswersDiffer {
                message: format!(
                    "{subject} was answered {number} times: somebody else answers in the servers' place"
                ),
            }),
            (Some(answer), _) => Ok((subject.clone(), found(&subject, answer).map_err(not_sent)?)),
            (None, message) => Err(not_sent(malformed(&subject, message.unwrap_or_default()))),
        }
    }

    /// All answers that differ: one that came twice is one (NATS.md N41).
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

fn read(subject: &str, answer: &Bytes) -> Result<StoredStream, ActError> {
    let of = |message| malformed(subject, message);
    let info = wire::read::<StreamInfo<'_>>(answer).map_err(of)?;
    Ok(StoredStream {
        reading: StreamReading::new(&info, None).map_err(of)?,
        config: config_text(subject, answer)?,
    })
}
