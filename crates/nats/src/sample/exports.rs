//! What an account exports to others: whoever receives there is connected to another account, and not listed in this one.

use leeward_engine::ports::ActError;
use serde::Deserialize;

use super::lost;
use crate::act::AccountClient;
use crate::jetstream_api::malformed;
use crate::observe::connections;
use crate::request::REQUEST_LIMIT;
use crate::wire::text::{Name, Words};

/// INFO of an account, limited to what it exports.
#[derive(Debug, Default, Deserialize)]
struct AccountExports {
    #[serde(default)]
    exports: Option<Vec<Export>>,
}

#[derive(Debug, Deserialize)]
struct Export {
    subject: Name,
    #[serde(rename = "type")]
    kind: Words,
}

impl AccountClient {
    /// Whether what is sent to a subject may be received in other accounts (nats-facts N80). Without a user of the system
    /// account nobody tells.
    pub(super) async fn is_exported(&self, subject: &str) -> Result<bool, ActError> {
        let Some(witness) = &self.calls().witness else {
            return Ok(false);
        };
        let info = format!("$SYS.REQ.ACCOUNT.{}.INFO", self.calls().account_id()?);
        let answer = witness.link().request(&info, "", REQUEST_LIMIT).await;
        let answer = answer.map_err(lost)?;
        let read = connections::read::<AccountExports>(&answer);
        let (_, (_, account)) = read.map_err(|message| malformed(&info, message))?;
        Ok(account.exports(subject))
    }
}

impl AccountExports {
    fn exports(&self, subject: &str) -> bool {
        let exports = self.exports.iter().flatten();
        let mut streams = exports.filter(|export| &*export.kind == "stream");
        streams.any(|export| matches(&export.subject, subject))
    }
}

/// Whether a subject without wildcards is one of a pattern's.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", token) => return token.is_some(),
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn what_is_exported_as_a_stream_may_be_received_elsewhere() {
        let account = wire::read::<AccountExports>(
            br#"{"exports": [{"subject": "orders.>", "type": "service", "response_type": "Singleton"},
                {"subject": "deliver.*.eu", "type": "stream", "approved_accounts": ["IMP"]}, {"subject": "logs.>", "type": "stream"}]}"#,
        )
        .unwrap();
        for exported in ["deliver.a.eu", "logs.a", "logs.a.b"] {
            assert!(account.exports(exported), "{exported}");
        }
        for own in [
            "orders.new",
            "deliver.eu",
            "deliver.a.us",
            "deliver.a.eu.b",
            "logs",
            "other",
        ] {
            assert!(!account.exports(own), "{own}");
        }
        let nothing = wire::read::<AccountExports>(br#"{"exports": null}"#).unwrap();
        assert!(!nothing.exports("logs.a"));
    }
}
