//! The prefix of inboxes, wherever it is told.

use super::*;

#[test]
fn an_inbox_prefix_is_one_that_a_resource_may_have_wherever_it_is_told() {
    let home = Home::new();
    let resolved = |prefix: &str| {
        let args = ConnectionArgs {
            inbox_prefix: Some(prefix.into()),
            ..ConnectionArgs::default()
        };
        home.resolve(&args)
    };
    for good in ["_INBOX", "_INBOX_leeward", "_INBOX.leeward", "a-b.c", "x$"] {
        let account = resolved(good).unwrap().account.unwrap();
        assert_eq!(account.config.inbox_prefix.as_deref(), Some(good));
    }
    for bad in [
        ".", "a.", ".a", "a..b", "a b", "a\tb", "a.*", ">", "a>b", "$SYS.x", "$JS",
    ] {
        let told = resolved(bad).unwrap_err().to_string();
        let words =
            format!("--inbox-prefix or inbox_prefix of the context is {bad:?}: inboxPrefix must be words");
        assert!(told.starts_with(&words), "{told}");
    }
    for bad in ["", &"a".repeat(129)] {
        assert!(resolved(bad).is_err(), "{bad:?}");
    }
    let told = home.error(r#"{"url": "nats://a:1", "inbox_prefix": "a.>"}"#);
    assert!(told.contains("inbox_prefix of the context is \"a.>\""), "{told}");
    home.context("sys", r#"{"inbox_prefix": "$SYS.a"}"#);
    let of_system = ConnectionArgs {
        system_context: Some("sys".into()),
        ..ConnectionArgs::default()
    };
    assert!(home.resolve(&of_system).is_err());
}
