//! Counts of the requests of this process, by what was asked and what came of it.
//!
//! What was asked is a word of a closed list, read off the subject; neither accounts nor assets are told apart. A request
//! that was not sent is not counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::request::RequestError;

/// What subjects have in them, and what that is called; a subject is named by what it has first.
const APIS: [(&str, &str); 14] = [
    (".CONNZ", "CONNZ"),
    (".JSZ", "JSZ"),
    (".STATSZ", "STATSZ"),
    (".STATZ", "STATZ"),
    (".GATEWAYZ", "GATEWAYZ"),
    (".USER.INFO", "USER.INFO"),
    (".STREAM.LIST", "STREAM.LIST"),
    (".STREAM.INFO.", "STREAM.INFO"),
    (".STREAM.UPDATE.", "STREAM.UPDATE"),
    (".STREAM.LEADER.STEPDOWN.", "STREAM.LEADER.STEPDOWN"),
    (".STREAM.CANCEL_MOVE.", "STREAM.CANCEL_MOVE"),
    (".CONSUMER.LIST.", "CONSUMER.LIST"),
    (".CONSUMER.INFO.", "CONSUMER.INFO"),
    (".CONSUMER.LEADER.STEPDOWN.", "CONSUMER.LEADER.STEPDOWN"),
];
const OTHER: &str = "other";
const RESULTS: [&str; 6] = [
    "answered",
    "denied",
    "no_responders",
    "timeout",
    "interrupted",
    "unreadable",
];

static COUNTS: [[AtomicU64; RESULTS.len()]; APIS.len() + 1] =
    [const { [const { AtomicU64::new(0) }; RESULTS.len()] }; APIS.len() + 1];

/// Requests of one kind with one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What was asked, such as `JSZ` or `STREAM.INFO`.
    pub api: &'static str,
    /// What came of it.
    pub result: &'static str,
    /// How many since this process started.
    pub number: u64,
}

/// All that were counted so far; what never happened is left out.
pub fn counts() -> impl Iterator<Item = Count> {
    let names = APIS.iter().map(|(_, api)| *api).chain([OTHER]);
    names
        .zip(&COUNTS)
        .flat_map(|(api, row)| {
            RESULTS
                .iter()
                .zip(row)
                .map(move |(result, count)| (api, *result, count))
        })
        .map(|(api, result, count)| Count {
            api,
            result,
            number: count.load(Ordering::Relaxed),
        })
        .filter(|count| count.number > 0)
}

/// Counts a request that ended.
pub(crate) fn count<T>(subject: &str, result: &Result<T, RequestError>) {
    let column = match result {
        Ok(_) => 0,
        Err(RequestError::Denied { .. }) => 1,
        Err(RequestError::NoResponders { .. }) => 2,
        Err(RequestError::Timeout { .. }) => 3,
        Err(RequestError::Interrupted { .. }) => 4,
        Err(RequestError::Unpackable { .. }) => 5,
        Err(RequestError::Disconnected | RequestError::Withheld { .. } | RequestError::Unsendable { .. }) => {
            return;
        }
    };
    if let Some(number) = COUNTS.get(row(subject)).and_then(|row| row.get(column)) {
        number.fetch_add(1, Ordering::Relaxed);
    }
}

fn row(subject: &str) -> usize {
    let found = APIS.iter().enumerate();
    let first = found
        .filter_map(|(row, (part, _))| Some((subject.find(part)?, row)))
        .min();
    first.map_or(APIS.len(), |(_, row)| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(subject: &str) -> &'static str {
        APIS.get(row(subject)).map_or(OTHER, |(_, api)| api)
    }

    #[test]
    fn every_subject_has_its_word_whatever_assets_and_domains_are_called() {
        let table = [
            ("$SYS.REQ.SERVER.PING.CONNZ", "CONNZ"),
            ("$SYS.REQ.ACCOUNT.PING.STATZ", "STATZ"),
            ("$SYS.REQ.SERVER.PING.STATSZ", "STATSZ"),
            ("$SYS.REQ.SERVER.NABC.JSZ", "JSZ"),
            ("$SYS.REQ.USER.INFO", "USER.INFO"),
            ("$JS.API.STREAM.INFO.LIST", "STREAM.INFO"),
            ("$JS.hub.API.CONSUMER.INFO.STREAM.INFO", "CONSUMER.INFO"),
            ("$JS.API.CONSUMER.LEADER.STEPDOWN.A.b", "CONSUMER.LEADER.STEPDOWN"),
            ("$JS.API.STREAM.LEADER.STEPDOWN.A", "STREAM.LEADER.STEPDOWN"),
            ("$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.A.S", "STREAM.CANCEL_MOVE"),
            ("$JS.API.STREAM.UPDATE.S", "STREAM.UPDATE"),
            ("$JS.API.STREAM.LIST", "STREAM.LIST"),
            ("$JS.API.INFO", "other"),
        ];
        for (subject, expected) in table {
            assert_eq!(api(subject), expected, "{subject}");
        }
    }

    #[test]
    fn what_was_sent_is_counted_by_its_result_and_what_was_not_sent_is_not() {
        let number = |result: &str| {
            let found = counts().find(|count| count.api == "STREAM.UPDATE" && count.result == result);
            found.map_or(0, |count| count.number)
        };
        let (subject, before) = ("$JS.API.STREAM.UPDATE.S", number("timeout"));
        let timeout = RequestError::Timeout {
            subject: subject.into(),
        };
        let all: u64 = counts().map(|count| count.number).sum();
        count::<()>(subject, &Err(timeout));
        count::<()>(subject, &Err(RequestError::Disconnected));
        assert_eq!(number("timeout"), before + 1);
        assert!(counts().map(|count| count.number).sum::<u64>() > all);
    }
}
