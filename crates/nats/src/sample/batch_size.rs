//! How many messages a request asks for.
//!
//! The bodies of requests are read for this alone; payloads of messages are not.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::wire;

/// What a message stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchSize {
    /// Itself, or one message.
    One,
    /// So many messages, if there are as many.
    Messages(u64),
    /// Nobody knows how many.
    Uncounted,
}

#[derive(Deserialize)]
struct BatchRequest {
    /// Less than one means one.
    #[serde(default)]
    batch: Option<i64>,
    #[serde(default)]
    multi_last: Option<IgnoredAny>,
}

/// Messages that a request of a pull consumer asks for: nothing, a number, or an object. `None` where servers refuse it.
pub(super) fn pulled(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let batch = match text.parse::<i64>() {
        Ok(batch) => batch,
        Err(_) if text.is_empty() => 1,
        Err(_) => wire::read::<BatchRequest>(body).ok()?.batch.unwrap_or(1),
    };
    Some(u64::try_from(batch).unwrap_or(1).max(1))
}

/// What a get asks for, with the last of a subject in its own subject or its body. `None` where servers refuse it.
pub(super) fn got(body: &[u8]) -> Option<BatchSize> {
    if body.is_empty() {
        return Some(BatchSize::One);
    }
    let BatchRequest { batch, multi_last } = wire::read(body).ok()?;
    let is_one = multi_last.is_none() && batch.unwrap_or(1) <= 1;
    Some(if is_one {
        BatchSize::One
    } else {
        BatchSize::Uncounted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_asks_for_one_message_a_number_or_a_batch() {
        let table: [(&str, Option<u64>); 8] = [
            ("", Some(1)),
            ("5", Some(5)),
            (r#"{"batch":200,"expires":30000000000}"#, Some(200)),
            (r#"{"expires":1000}"#, Some(1)),
            (r#"{"batch":0,"no_wait":true}"#, Some(1)),
            (r#"{"batch":-1}"#, Some(1)),
            ("{", None),
            ("next", None),
        ];
        for (body, expected) in table {
            assert_eq!(pulled(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_get_asks_for_one_message_or_for_many() {
        let table = [
            ("", Some(BatchSize::One)),
            (r#"{"last_by_subj":"a.b"}"#, Some(BatchSize::One)),
            (r#"{"seq":7,"batch":1}"#, Some(BatchSize::One)),
            (r#"{"seq":7,"batch":500}"#, Some(BatchSize::Uncounted)),
            (r#"{"multi_last":["a.>"],"batch":1}"#, Some(BatchSize::Uncounted)),
            ("{", None),
        ];
        for (body, expected) in table {
            assert_eq!(got(body.as_bytes()), expected, "{body}");
        }
    }
}
