//! Kinds of requests: how large an answer may be, and how many there were in this process, by result.
//!
//! The kind is one of a closed list, derived from the subject; accounts and assets are not distinguished. A request
//! that was not sent is not counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::request_error::RequestError;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

struct Api {
    /// A part of its subjects; a subject is of the first kind that matches.
    part: &'static str,
    name: &'static str,
    /// Bytes that an answer may have, unpacked: well above any real answer.
    most: usize,
}

const fn api(part: &'static str, name: &'static str, most: usize) -> Api {
    Api { part, name, most }
}

const APIS: [Api; 18] = [
    // A page, usually half a mebibyte.
    api(".CONNZ", "CONNZ", 4 * MIB),
    // All that a server reports of one account: some 40 000 streams and consumers (nats-facts N44).
    api(".JSZ", "JSZ", 32 * MIB),
    api(".STATSZ", "STATSZ", 256 * KIB),
    api(".STATZ", "STATZ", 8 * MIB),
    api(".GATEWAYZ", "GATEWAYZ", MIB),
    api(".ROUTEZ", "ROUTEZ", MIB),
    api(".LEAFZ", "LEAFZ", 4 * MIB),
    api(".USER.INFO", "USER.INFO", 64 * KIB),
    // A page.
    api(".STREAM.LIST", "STREAM.LIST", 8 * MIB),
    api(".STREAM.INFO.", "STREAM.INFO", 4 * MIB),
    api(".STREAM.UPDATE.", "STREAM.UPDATE", 4 * MIB),
    api(".STREAM.LEADER.STEPDOWN.", "STREAM.LEADER.STEPDOWN", 64 * KIB),
    api(".STREAM.CANCEL_MOVE.", "STREAM.CANCEL_MOVE", 64 * KIB),
    api(".CONSUMER.LIST.", "CONSUMER.LIST", 8 * MIB),
    api(".CONSUMER.INFO.", "CONSUMER.INFO", MIB),
    api(".CONSUMER.LEADER.STEPDOWN.", "CONSUMER.LEADER.STEPDOWN", 64 * KIB),
    api(".CONSUMER.PEER.EVACUATE.", "CONSUMER.PEER.EVACUATE", 64 * KIB),
    // Of an account; those above have more in front of it.
    api(".INFO", "ACCOUNT.INFO", MIB),
];
const MOST_OF_OTHERS: usize = 64 * KIB;
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
pub struct RequestCount {
    /// The requested API, such as `JSZ` or `STREAM.INFO`.
    pub api: &'static str,
    /// The result.
    pub result: &'static str,
    /// How many since this process started.
    pub number: u64,
}

/// All counts so far, without zeros.
pub fn counts() -> impl Iterator<Item = RequestCount> {
    let names = APIS.iter().map(|api| api.name).chain([OTHER]);
    names
        .zip(&COUNTS)
        .flat_map(|(api, row)| {
            RESULTS
                .iter()
                .zip(row)
                .map(move |(result, count)| (api, *result, count))
        })
        .map(|(api, result, count)| RequestCount {
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
    let row = row(subject);
    debug_assert_ne!(row, APIS.len(), "{subject} is of no kind in APIS: add one");
    if let Some(number) = COUNTS.get(row).and_then(|row| row.get(column)) {
        number.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bytes that an answer to a request may have; more are not read.
pub(crate) fn most_bytes(subject: &str) -> usize {
    APIS.get(row(subject)).map_or(MOST_OF_OTHERS, |api| api.most)
}

fn row(subject: &str) -> usize {
    let found = APIS.iter().enumerate();
    let first = found
        .filter_map(|(row, api)| Some((subject.find(api.part)?, row)))
        .min();
    first.map_or(APIS.len(), |(_, row)| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(subject: &str) -> &'static str {
        APIS.get(row(subject)).map_or(OTHER, |api| api.name)
    }

    #[test]
    fn every_request_is_a_right_of_the_page_of_permissions() {
        let page = include_str!("../../../docs/nats-permissions.md");
        for api in &APIS {
            assert!(
                page.contains(api.part),
                "docs/nats-permissions.md: no right has {}",
                api.part
            );
        }
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
            ("$SYS.REQ.ACCOUNT.APP.INFO", "ACCOUNT.INFO"),
            ("$JS.API.SERVER.REMOVE", "other"),
        ];
        for (subject, expected) in table {
            assert_eq!(kind(subject), expected, "{subject}");
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
