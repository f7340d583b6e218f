//! What the servers refuse a user, as text.

/// That a user may not use a subject. Requests are published to subjects that begin with a dollar, and answered at an
/// inbox, which does not.
pub fn may_not(subject: &str) -> String {
    if subject.starts_with('$') {
        format!("may not publish {subject}")
    } else {
        format!(
            "may not subscribe to {subject}, where it is to be answered (if its permissions name another prefix, give it as \
             inboxPrefix, --inbox-prefix or the context's inbox_prefix)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_is_told_from_a_request_with_its_own_cure() {
        assert_eq!(may_not("$JS.API.INFO"), "may not publish $JS.API.INFO");
        let inbox = may_not("_INBOX.abc.*");
        assert!(inbox.starts_with("may not subscribe to _INBOX.abc.*"), "{inbox}");
        assert!(inbox.contains("inboxPrefix"), "{inbox}");
    }
}
