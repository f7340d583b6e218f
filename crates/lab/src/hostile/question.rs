//! What clients request, derived from the subject and the payload.

use serde_json::Value;

use super::honest;

/// A service of a server, or of JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// The server's first message on a connection; nobody requests it.
    Info,
    UserInfo,
    Statsz,
    Idz,
    Gatewayz,
    Connz,
    Statz,
    /// One account's streams and consumers.
    Jsz,
    /// The accounts with JetStream enabled.
    Accounts,
    StreamNames,
    StreamList,
    StreamInfo,
    ConsumerList,
    ConsumerInfo,
    StepDown,
    Update,
    CancelMove,
}

impl Call {
    /// Every server answers it, with its identity.
    pub fn is_monitoring(self) -> bool {
        use Call::{Accounts, Connz, Gatewayz, Idz, Jsz, Statsz, Statz};
        matches!(self, Statsz | Idz | Gatewayz | Connz | Statz | Jsz | Accounts)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub call: Call,
    /// The server that is asked; all if it is `None`.
    pub server: Option<usize>,
    pub stream: String,
    pub consumer: String,
    /// The payload, `null` if it cannot be read.
    pub options: Value,
    /// Only the system account may request it.
    pub privileged: bool,
}

impl Question {
    /// A question to all servers without options.
    pub fn plain(call: Call) -> Self {
        Self {
            call,
            server: None,
            stream: String::new(),
            consumer: String::new(),
            options: Value::Null,
            privileged: false,
        }
    }

    /// What a request asks; `None` where nobody serves its subject.
    pub fn read(subject: &str, payload: &[u8]) -> Option<Self> {
        let options = serde_json::from_slice(payload).unwrap_or(Value::Null);
        let question = |call| Self {
            options: options.clone(),
            ..Self::plain(call)
        };
        if subject == "$SYS.REQ.USER.INFO" {
            return Some(question(Call::UserInfo));
        }
        if let Some(rest) = subject.strip_prefix("$SYS.REQ.SERVER.") {
            let (server, service) = rest.rsplit_once('.')?;
            let server = match server {
                "PING" => None,
                id => Some(honest::server_of_id(id)?),
            };
            let call = monitoring(service, &options)?;
            return Some(Self {
                server,
                privileged: true,
                ..question(call)
            });
        }
        if let Some(rest) = subject.strip_prefix("$SYS.REQ.ACCOUNT.") {
            let (account, service) = rest.rsplit_once('.')?;
            let call = monitoring(service, &options)?;
            let mut asked = question(call);
            if account != "PING" {
                asked.privileged = true;
                asked.options = serde_json::json!({ "acc": account, "account": account, "auth": true });
            }
            return Some(asked);
        }
        let (_, call) = subject.split_once(".API.")?;
        jetstream(call, question)
    }

    pub fn option(&self, name: &str) -> Option<u64> {
        self.options.get(name).and_then(Value::as_u64)
    }
}

fn monitoring(service: &str, options: &Value) -> Option<Call> {
    Some(match service {
        "STATSZ" => Call::Statsz,
        "IDZ" => Call::Idz,
        "GATEWAYZ" => Call::Gatewayz,
        "CONNZ" => Call::Connz,
        "STATZ" => Call::Statz,
        "JSZ" if options.get("account").is_some() => Call::Jsz,
        "JSZ" => Call::Accounts,
        _ => return None,
    })
}

fn jetstream(call: &str, question: impl Fn(Call) -> Question) -> Option<Question> {
    let named = |call: Call, stream: &str, consumer: &str| Question {
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        ..question(call)
    };
    let after = |prefix: &str| call.strip_prefix(prefix);
    Some(if call == "STREAM.NAMES" {
        question(Call::StreamNames)
    } else if call == "STREAM.LIST" {
        question(Call::StreamList)
    } else if let Some(stream) = after("STREAM.INFO.") {
        named(Call::StreamInfo, stream, "")
    } else if let Some(stream) = after("CONSUMER.LIST.") {
        named(Call::ConsumerList, stream, "")
    } else if let Some(names) = after("CONSUMER.INFO.") {
        let (stream, consumer) = names.split_once('.')?;
        named(Call::ConsumerInfo, stream, consumer)
    } else if let Some(stream) = after("STREAM.UPDATE.") {
        named(Call::Update, stream, "")
    } else if call.contains("LEADER.STEPDOWN.") || call.contains("PEER.EVACUATE.") {
        question(Call::StepDown)
    } else if call.contains("CANCEL_MOVE.") {
        question(Call::CancelMove)
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(subject: &str, payload: &str) -> Option<(Call, Option<usize>, bool)> {
        Question::read(subject, payload.as_bytes()).map(|asked| (asked.call, asked.server, asked.privileged))
    }

    #[test]
    fn every_request_to_act_is_understood() {
        for subject in crate::rights::to_act() {
            assert!(call(&subject, "{}").is_some(), "{subject}");
        }
    }

    #[test]
    fn subjects_are_read_as_servers_read_them() {
        assert_eq!(
            call("$SYS.REQ.USER.INFO", ""),
            Some((Call::UserInfo, None, false))
        );
        assert_eq!(
            call("$SYS.REQ.SERVER.PING.STATSZ", ""),
            Some((Call::Statsz, None, true))
        );
        let of_one = format!("$SYS.REQ.SERVER.{}.JSZ", honest::server_id(2));
        assert_eq!(
            call(&of_one, r#"{"account":"APP"}"#),
            Some((Call::Jsz, Some(2), true))
        );
        assert_eq!(call(&of_one, "{}"), Some((Call::Accounts, Some(2), true)));
        assert_eq!(
            call("$SYS.REQ.ACCOUNT.PING.CONNZ", "{}"),
            Some((Call::Connz, None, false))
        );
        let info = Question::read("$JS.hub.API.CONSUMER.INFO.ORDERS.dur", b"").unwrap();
        assert_eq!(
            (info.call, info.stream.as_str(), info.consumer.as_str()),
            (Call::ConsumerInfo, "ORDERS", "dur")
        );
        for unserved in [
            "orders.1",
            "$SYS.REQ.SERVER.NX.JSZ",
            "$SYS.REQ.SERVER.PING.HEALTHZ",
        ] {
            assert_eq!(call(unserved, ""), None, "{unserved}");
        }
    }
}
