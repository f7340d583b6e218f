//! Names that are too long, empty, doubled, or not what a name should be.

use serde_json::{Value, json};

use super::{ESCAPES, Scenario, edits, of_first, set};
use crate::hostile::honest;
use crate::hostile::question::Call::{Connz, UserInfo};
use crate::hostile::script::{Change, Edit};

const MEGABYTE: usize = 1_000_000;

pub(super) fn all() -> Vec<Scenario> {
    [of_servers(), of_streams(), of_accounts()].concat()
}

fn of_servers() -> Vec<Scenario> {
    let server = |fields: Value| [Edit::everywhere("/server", Change::Merge(fields))];
    let tags: Vec<String> = (0..100_000).map(|number| format!("region:{number}")).collect();
    vec![
        edits(
            "servers-one-id",
            "all servers have one id",
            server(json!({"id": honest::server_id(1)})),
        ),
        edits(
            "servers-one-name",
            "all servers have one name",
            server(json!({"name": "us-0"})),
        )
        .shown("give each its own server_name"),
        edits(
            "server-name-escape",
            "a server's name steers a terminal",
            server(json!({"name": format!("us-0{ESCAPES}\nFAKE LINE")})),
        ),
        edits(
            "server-name-1MB",
            "a server's name of 1 MB",
            [Edit::everywhere("/server/name", Change::Letters(MEGABYTE))],
        ),
        edits(
            "server-name-empty",
            "servers without names",
            server(json!({"name": ""})),
        ),
        edits(
            "server-cluster-1MB",
            "a cluster's name of 1 MB",
            [Edit::everywhere("/server/cluster", Change::Letters(MEGABYTE))],
        ),
        edits(
            "server-version-nonsense",
            "a version that is none",
            server(json!({"ver": "99999999999999999999.1"})),
        )
        .shown("does not say its version"),
        edits(
            "server-version-huge",
            "the largest version",
            server(json!({"ver": "4294967295.4294967295.4294967295"})),
        )
        .shown("does not say its version"),
        edits(
            "server-id-injects",
            "a server's id with a line of the protocol",
            server(json!({"id": "N1.JSZ\r\nPUB stolen 0\r\n\r\n"})),
        ),
        edits(
            "server-id-wildcard",
            "a server's id is a wildcard",
            server(json!({"id": ">"})),
        ),
        edits(
            "server-tags-100k",
            "100 000 tags",
            server(json!({ "tags": tags })),
        ),
        edits(
            "server-jetstream-text",
            "whether it runs JetStream is text",
            server(json!({"jetstream": "yes"})),
        )
        .shown("jetstream"),
    ]
}

/// Renames the stream that a server lists first and its consumer.
fn renamed(change: &Change) -> [Edit; 4] {
    [
        "/name",
        "/config/name",
        "/consumer_detail/*/name",
        "/consumer_detail/*/config/durable_name",
    ]
    .map(|path| of_first(path, change.clone()))
}

fn of_streams() -> Vec<Scenario> {
    let named = |name: &str| renamed(&Change::Set(name.into()));
    vec![
        edits(
            "stream-name-escape",
            "a stream's name steers a terminal",
            named(&format!("OR{ESCAPES}\nX")),
        ),
        edits(
            "stream-name-1MB",
            "a stream's name of 1 MB",
            renamed(&Change::Letters(MEGABYTE)),
        ),
        edits("stream-name-empty", "a stream without a name", named("")),
        edits(
            "stream-name-dots",
            "a stream's name with dots and a wildcard",
            named("A.*.>"),
        ),
        edits(
            "stream-name-nul",
            "a stream's name with NUL and U+FFFF",
            named("A\u{0}\u{ffff}"),
        ),
    ]
}

fn of_accounts() -> Vec<Scenario> {
    let client = Change::Merge(json!({
        "name": format!("{ESCAPES}\n"),
        "authorized_user": format!("{ESCAPES}\n"),
    }));
    vec![
        edits(
            "client-name-escape",
            "a client's name and user steer a terminal",
            [Edit::new(Connz, "/data/connections/*", client)],
        ),
        edits(
            "account-name-1MB",
            "the account's name has 1 MB",
            [Edit::new(
                UserInfo,
                "/data/account_name",
                Change::Letters(MEGABYTE),
            )],
        ),
        edits(
            "account-name-escape",
            "the account's name steers a terminal",
            [set(UserInfo, "/data/account_name", format!("APP{ESCAPES}\nx"))],
        ),
        edits(
            "account-other",
            "the account is told to be another one",
            [set(UserInfo, "/data/account", "VICTIM")],
        ),
        edits(
            "account-changes",
            "the account is another one at each question",
            [Edit::new(UserInfo, "/data/account", Change::Numbered("APP{n}"))],
        ),
    ]
}
