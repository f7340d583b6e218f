//! Names that are too long, empty, duplicated, or otherwise invalid.

use serde_json::{Value, json};

use super::{ESCAPES, Scenario, lie, of_first};
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
        lie("servers-one-id")
            .describes("all servers have one id")
            .edits(server(json!({"id": honest::server_id(1)}))),
        lie("servers-one-name")
            .describes("all servers have one name")
            .edits(server(json!({"name": "us-0"})))
            .shown("give each its own server_name"),
        lie("server-name-escape")
            .describes("a server's name steers a terminal")
            .edits(server(json!({"name": format!("us-0{ESCAPES}\nFAKE LINE")}))),
        lie("server-name-1MB")
            .describes("a server's name of 1 MB")
            .edits([Edit::everywhere("/server/name", Change::Letters(MEGABYTE))]),
        lie("server-name-empty")
            .describes("servers without names")
            .edits(server(json!({"name": ""}))),
        lie("server-cluster-1MB")
            .describes("a cluster's name of 1 MB")
            .edits([Edit::everywhere("/server/cluster", Change::Letters(MEGABYTE))]),
        lie("server-version-nonsense")
            .describes("a version that is none")
            .edits(server(json!({"ver": "99999999999999999999.1"})))
            .shown("does not say its version"),
        lie("server-version-huge")
            .describes("the largest version")
            .edits(server(json!({"ver": "4294967295.4294967295.4294967295"})))
            .shown("does not say its version"),
        lie("server-id-injects")
            .describes("a server's id with a line of the protocol")
            .edits(server(json!({"id": "N1.JSZ\r\nPUB stolen 0\r\n\r\n"}))),
        lie("server-id-wildcard")
            .describes("a server's id is a wildcard")
            .edits(server(json!({"id": ">"}))),
        lie("server-tags-100k")
            .describes("100 000 tags")
            .edits(server(json!({ "tags": tags }))),
        lie("server-jetstream-text")
            .describes("whether it runs JetStream is text")
            .edits(server(json!({"jetstream": "yes"})))
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
        lie("stream-name-escape")
            .describes("a stream's name steers a terminal")
            .edits(named(&format!("OR{ESCAPES}\nX"))),
        lie("stream-name-1MB")
            .describes("a stream's name of 1 MB")
            .edits(renamed(&Change::Letters(MEGABYTE))),
        lie("stream-name-empty")
            .describes("a stream without a name")
            .edits(named("")),
        lie("stream-name-dots")
            .describes("a stream's name with dots and a wildcard")
            .edits(named("A.*.>")),
        lie("stream-name-nul")
            .describes("a stream's name with NUL and U+FFFF")
            .edits(named("A\u{0}\u{ffff}")),
    ]
}

fn of_accounts() -> Vec<Scenario> {
    let client = Change::Merge(json!({
        "name": format!("{ESCAPES}\n"),
        "authorized_user": format!("{ESCAPES}\n"),
    }));
    vec![
        lie("client-name-escape")
            .describes("a client's name and user steer a terminal")
            .edit(Connz, "/data/connections/*", client),
        lie("account-name-1MB")
            .describes("the account's name has 1 MB")
            .edit(UserInfo, "/data/account_name", Change::Letters(MEGABYTE)),
        lie("account-name-escape")
            .describes("the account's name steers a terminal")
            .set(UserInfo, "/data/account_name", format!("APP{ESCAPES}\nx")),
        lie("account-other")
            .describes("the account is told to be another one")
            .set(UserInfo, "/data/account", "VICTIM"),
        lie("account-changes")
            .describes("the account is another one at each question")
            .edit(UserInfo, "/data/account", Change::Numbered("APP{n}")),
    ]
}
