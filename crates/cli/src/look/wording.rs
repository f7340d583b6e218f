//! Why nothing can be seen, and what to change.

use std::collections::BTreeSet;

use itertools::Itertools as _;
use leeward_core::refusal::may_not;
use leeward_core::snapshot::Gap;
use leeward_nats::{
    AccountInfo, AccountProblem, CertificateProblem, ConnectProblem, ConnectionState, ObserverRights,
    split_userinfo,
};

use super::AccountSelector;
use crate::connection::DEFAULT_SERVER;

/// Names that an error lists.
const MOST_NAMES: usize = 10;
const NO_ANSWER: &str = "check the address and the network, or give --wait a longer time";
const NO_SERVER: &str = "check that the server is up and the address right";
const CERTIFICATE: &str = "give the authority of the servers' certificates with --tlsca (the context's ca), and where they \
                           ask for a certificate of yours, --tlscert and --tlskey";

pub(super) fn no_account() -> String {
    "nothing says how to connect as a user of the account: give --context or --server, set NATS_URL, or select a context \
     with `nats context select`"
        .to_owned()
}

pub(super) fn no_system(selector: &AccountSelector) -> String {
    let what = match selector {
        AccountSelector::Own => "this account".to_owned(),
        AccountSelector::Named(account) => format!("account {account} by name"),
        AccountSelector::All => "all accounts".to_owned(),
    };
    format!("to see {what}, connect as a user of the system account too: give --system-context")
}

pub(super) fn unknown_account(problem: Option<AccountProblem>) -> String {
    match problem {
        Some(AccountProblem::OtherDomain { message }) => return message,
        Some(AccountProblem::Unconfirmed { message } | AccountProblem::Unseen { message }) => {
            return format!("it is not known which account the user belongs to: {message}");
        }
        Some(AccountProblem::Denied { subject: _ }) | None => {}
    }
    "the servers do not say which account the user belongs to: allow the user to publish $SYS.REQ.USER.INFO and to \
     subscribe to its inbox (--inbox-prefix, if it is not _INBOX)"
        .to_owned()
}

/// `None` while there is a connection. `whose` is the account that the user should belong to.
pub(super) fn not_connected(state: &ConnectionState, urls: &[String], whose: &str) -> Option<String> {
    let at = shown(urls);
    let (message, hint) = match state {
        ConnectionState::Connected { .. } => return None,
        ConnectionState::Connecting => ("nothing answered in time", unreached(urls, NO_ANSWER)),
        ConnectionState::Disconnected { message }
            if message.contains("certificate") || CertificateProblem::of(message).is_some() =>
        {
            (message.as_str(), CERTIFICATE.to_owned())
        }
        ConnectionState::Disconnected { message } => (message.as_str(), unreached(urls, NO_SERVER)),
        ConnectionState::Refused { problem, message } => (message.as_str(), hint(*problem).to_owned()),
    };
    Some(format!(
        "cannot connect to {at} as a user of {whose}: {message}; {hint}"
    ))
}

/// The hint, and for the default address how to give another one.
fn unreached(urls: &[String], hint: &str) -> String {
    if urls != [DEFAULT_SERVER] {
        return hint.to_owned();
    }
    format!(
        "{hint}. This is the address where none is given: another is that of --context, --server, NATS_URL or a context \
         selected with `nats context select`"
    )
}

fn hint(problem: ConnectProblem) -> &'static str {
    match problem {
        ConnectProblem::InvalidCredentials => {
            "check the user's credentials: those of the context, or --creds, --nkey, --user, --password, --token"
        }
        ConnectProblem::InvalidTls => "check --tlsca, --tlscert and --tlskey, or those of the context",
        ConnectProblem::InvalidServers => "check --server, NATS_URL or the context",
    }
}

/// `None` for a user that may look.
pub(super) fn not_system(rights: &ObserverRights) -> Option<String> {
    match rights {
        ObserverRights::Unknown | ObserverRights::System => None,
        ObserverRights::NotSystem { account } => {
            let account = account.as_deref().unwrap_or("another account");
            Some(format!(
                "the user of --system-context belongs to {account}, which is not the system account: give the context of \
                 a system user, or leave it out to see only what the account's own user may"
            ))
        }
        ObserverRights::Denied { subject } => Some(format!(
            "the user of --system-context {}: allow it, or give the context of a user of the system account if this one is not",
            may_not(subject)
        )),
    }
}

/// Connected, without any answer.
pub(super) fn no_system_answer(gaps: &[Gap]) -> String {
    let why = gaps.iter().find_map(|gap| match gap {
        Gap::Disconnected { message } | Gap::Unreadable { message } => Some(message.as_str()),
        Gap::WarmingUp
        | Gap::OtherDomain { .. }
        | Gap::ServerMissing { .. }
        | Gap::MemberMissing { .. }
        | Gap::WithoutJetStream { .. }
        | Gap::SameName { .. }
        | Gap::ServersUncounted { .. }
        | Gap::Denied { .. } => None,
    });
    let why = why.unwrap_or("no answer in time");
    format!(
        "the servers do not answer the user of --system-context: {why}; give --wait a longer time, and check that the \
         user may subscribe to its inbox"
    )
}

pub(super) fn no_such_account(wanted: &str, all: &[AccountInfo]) -> String {
    let names: BTreeSet<&str> = all.iter().map(|account| account.name.as_str()).collect();
    let there = match names.len() {
        0 => "no account has any".to_owned(),
        1 => format!("there is {}", listed(&names, "and")),
        _ => format!("there are {}", listed(&names, "and")),
    };
    format!("no account {wanted} has streams or clients; {there}")
}

pub(super) fn several_accounts(wanted: &str, named: &[AccountInfo]) -> String {
    let ids: BTreeSet<&str> = named.iter().map(|account| account.id.as_str()).collect();
    format!(
        "{} accounts are named {wanted}: give the id of one, {}",
        named.len(),
        listed(&ids, "or")
    )
}

/// The first ones, as text.
fn listed(names: &BTreeSet<&str>, last_word: &str) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {last_word} {last}", rest.join(", ")),
        _ => shown.concat(),
    }
}

/// URLs without what is secret in them.
fn shown(urls: &[String]) -> String {
    urls.iter().map(|url| split_userinfo(url).0).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_passwords() {
        let urls = ["nats://app:secret@n-0:4222", "n-1:4222", "tls://t0ken@n-2"].map(str::to_owned);
        assert_eq!(shown(&urls), "nats://n-0:4222, n-1:4222, tls://n-2");
    }

    #[test]
    fn a_connection_that_is_not_there_is_said_with_the_servers_words_and_the_cure() {
        let urls = ["nats://n-0:4222".to_owned()];
        let message = |state: &ConnectionState| not_connected(state, &urls, "the account");
        let up = ConnectionState::Connected {
            server: "n-0".into(),
            version: "2.15.1".into(),
        };
        assert_eq!(message(&up), None);
        let refused = ConnectionState::Refused {
            problem: ConnectProblem::InvalidCredentials,
            message: "authorization violation".into(),
        };
        let refused = message(&refused).unwrap();
        assert!(
            refused.starts_with(
                "cannot connect to nats://n-0:4222 as a user of the account: authorization violation; check"
            ),
            "{refused}"
        );
        let down = message(&ConnectionState::Disconnected {
            message: "connection refused".into(),
        });
        assert!(down.unwrap().contains("server is up"));
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_said_with_the_argument_for_authorities() {
        let state = ConnectionState::Disconnected {
            message: "IO error: invalid peer certificate: UnknownIssuer".into(),
        };
        let message = not_connected(&state, &["tls://n-0:4222".to_owned()], "the account").unwrap();
        assert!(message.contains("--tlsca"), "{message}");
    }

    #[test]
    fn where_no_address_was_given_the_ways_to_give_one_are_said() {
        let down = ConnectionState::Disconnected {
            message: "connection refused".into(),
        };
        let message = |url: &str| not_connected(&down, &[url.to_owned()], "the account").unwrap();
        for way in ["--context", "--server", "NATS_URL", "nats context select"] {
            assert!(message(DEFAULT_SERVER).contains(way), "{way}");
            assert!(!message("nats://n-0:4222").contains(way), "{way}");
        }
    }

    #[test]
    fn long_lists_of_names_end_with_how_many_more_there_are() {
        let names: Vec<String> = (0..12).map(|number| format!("a{number:02}")).collect();
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert!(listed(&names, "and").ends_with("a08, a09 and 2 more"));
        assert_eq!(listed(&BTreeSet::from(["a"]), "and"), "a");
    }

    #[test]
    fn an_account_that_is_not_known_is_said_with_what_was_answered_instead() {
        let denied = AccountProblem::Denied {
            subject: "$SYS.REQ.USER.INFO".into(),
        };
        for problem in [None, Some(denied)] {
            assert!(unknown_account(problem).contains("allow the user to publish $SYS.REQ.USER.INFO"));
        }
        let message = "two answers".to_owned();
        let message = unknown_account(Some(AccountProblem::Unconfirmed { message }));
        assert!(
            message.contains("two answers") && !message.contains("allow"),
            "{message}"
        );
    }

    #[test]
    fn a_user_of_another_account_is_told_which() {
        let rights = ObserverRights::NotSystem {
            account: Some("APP".into()),
        };
        assert!(not_system(&rights).unwrap().contains("belongs to APP"));
        assert_eq!(not_system(&ObserverRights::System), None);
    }
}
