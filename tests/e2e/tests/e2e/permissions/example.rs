//! The configuration on `docs/nats-permissions.md`: Leeward works under exactly it, and no other user of the account can
//! answer in the servers' place.

use std::iter::Peekable;
use std::str::Chars;

use futures::StreamExt;
use leeward_e2e::{CONVERGED, Stage};
use leeward_lab::folder::Folder;
use leeward_lab::nats::{
    AccountSpec, DEFAULT_USER, NatsVersion, Permissions, SYSTEM_ACCOUNT, Spoofer, Subjects, SystemBuilder,
    UserSpec, jetstream,
};
use leeward_lab::tools::{Tool, tool};
use serde_json::{Map, Value, json};

use super::{PAGE, USER, apply_policy, apply_system, await_everything_home, fill, refused};
use crate::wrong_side::{HOME, three_servers};

const PREFIX: &str = "_INBOX_leeward";
const ACCOUNT: &str = "ORDERS";
const SYSTEM_USER: &str = "leeward-system";
const APPLICATION: &str = "orders";

/// As much of the servers' configuration language as the page uses.
struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn next_of_value(&mut self) -> Option<char> {
        let separates = |next: &char| next.is_whitespace() || matches!(next, ',' | ':' | '=');
        while self.0.next_if(separates).is_some() {}
        self.0.peek().copied()
    }

    fn word(&mut self) -> String {
        let quoted = self.0.next_if_eq(&'"').is_some();
        let ends = |next: char| {
            if quoted {
                next == '"'
            } else {
                next.is_whitespace() || ",:={}[]".contains(next)
            }
        };
        let mut word = String::new();
        while let Some(next) = self.0.next_if(|next| !ends(*next)) {
            word.push(next);
        }
        if quoted {
            self.0.next();
        }
        word
    }

    fn value(&mut self) -> Value {
        match self.next_of_value() {
            Some('{') => {
                self.0.next();
                Value::Object(self.fields())
            }
            Some('[') => {
                self.0.next();
                let mut list = Vec::new();
                while self.next_of_value() != Some(']') {
                    list.push(self.value());
                }
                self.0.next();
                Value::Array(list)
            }
            _ => Value::String(self.word()),
        }
    }

    /// Up to the closing brace, or to the end.
    fn fields(&mut self) -> Map<String, Value> {
        let mut fields = Map::new();
        while self.next_of_value().is_some_and(|next| next != '}') {
            let name = self.word();
            fields.insert(name, self.value());
        }
        self.0.next();
        fields
    }
}

/// The page's configuration, word for word.
fn configuration() -> &'static str {
    let begin = PAGE
        .find("system_account:")
        .expect("the page shows a configuration");
    let (text, _) = PAGE[begin..].split_once("```").expect("it ends");
    text
}

fn accounts() -> Map<String, Value> {
    let read = Reader(configuration().chars().peekable()).fields();
    assert_eq!(read["system_account"], SYSTEM_ACCOUNT);
    read["accounts"].as_object().expect("accounts").clone()
}

/// Servers start with it as it stands.
#[tokio::test]
async fn servers_take_the_documented_configuration() {
    let folder = Folder::temporary().unwrap();
    let file = folder.path().join("accounts.conf");
    std::fs::write(&file, configuration()).unwrap();
    for version in [
        NatsVersion::Newest,
        NatsVersion::V2_14,
        NatsVersion::V2_11,
        NatsVersion::V2_10,
    ] {
        let mut test = tokio::process::Command::new(tool(Tool::NatsServer(version)).unwrap());
        test.arg("-t").arg("-c").arg(&file);
        for user in ["LEEWARD_SYSTEM", "LEEWARD_ORDERS", "ORDERS"] {
            test.env(format!("{user}_PASSWORD"), "secret");
        }
        let said = test.output().await.unwrap();
        assert!(said.status.success(), "{version:?}: {said:?}");
    }
}

fn subjects(of: &Value) -> Subjects {
    let list = |field: &str| -> Vec<String> {
        let subjects = of[field].as_array().into_iter().flatten();
        subjects
            .map(|subject| subject.as_str().unwrap().to_owned())
            .collect()
    };
    Subjects {
        allow: list("allow"),
        deny: list("deny"),
    }
}

fn users(account: &Value) -> Vec<UserSpec> {
    let user = |user: &Value| {
        let permissions = Permissions {
            publish: subjects(&user["permissions"]["publish"]),
            subscribe: subjects(&user["permissions"]["subscribe"]),
        };
        UserSpec::limited(user["user"].as_str().unwrap(), permissions)
    };
    account["users"].as_array().unwrap().iter().map(user).collect()
}

/// With a user besides who may do everything, for the test's own part.
fn with_the_pages_accounts(mut builder: SystemBuilder) -> SystemBuilder {
    let accounts = accounts();
    assert!(accounts.keys().eq([ACCOUNT, SYSTEM_ACCOUNT]), "{accounts:?}");
    for user in users(&accounts[SYSTEM_ACCOUNT]) {
        builder = builder.system_user(user);
    }
    let mut account = AccountSpec::new(ACCOUNT).user(UserSpec::new(DEFAULT_USER));
    for user in users(&accounts[ACCOUNT]) {
        account = account.user(user);
    }
    builder.account(account)
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_the_documented_configuration_is_enough_and_lets_nobody_else_answer() {
    let mut stage = Stage::new(with_the_pages_accounts(three_servers()))
        .await
        .unwrap();
    fill(&stage, ACCOUNT).await;
    let application = &stage.system.credentials(ACCOUNT, APPLICATION).unwrap().clone();
    let server = &stage.system.servers_in(HOME)[0];
    let mut spoofer = Spoofer::connect(&stage.system, server, application)
        .await
        .unwrap();
    for subject in [
        "$JS.API.STREAM.INFO.*",
        "$JS.API.>",
        "$SYS.REQ.>",
        &format!("{PREFIX}.>"),
    ] {
        spoofer.answer(subject, "forged").await.unwrap();
    }

    let system = stage.system.credentials(SYSTEM_ACCOUNT, SYSTEM_USER).unwrap();
    apply_system(&stage, "prod", Some(system)).await;
    let user = stage.system.credentials(ACCOUNT, USER).unwrap();
    apply_policy(&stage, "orders", "prod", user).await;
    assert!(PAGE.contains(&format!(
        "`inboxPrefix: {PREFIX}` in the `NatsSystem` and in the `PlacementPolicy`"
    )));
    let inbox = json!({"spec": {"inboxPrefix": PREFIX}}).to_string();
    for object in ["natssystem/prod", "placementpolicy/orders"] {
        let patch = ["patch", object, "--type=merge", "--patch", &inbox];
        stage.kubectl(&patch).await.unwrap();
    }
    stage.start_operator().await.unwrap();
    await_everything_home(&stage, "orders").await;
    assert_eq!(refused(&stage), [""; 0]);
    assert_eq!(spoofer.answered(), 0);

    // Nor can it send an answer without having seen the request. What one connection sends arrives in order.
    let admin = stage.system.credentials(ACCOUNT, DEFAULT_USER).unwrap();
    let admin = stage.system.connect_to(server, admin).await.unwrap();
    let mut arrived = admin.subscribe("*.x").await.unwrap();
    admin.flush().await.unwrap();
    let client = stage.system.connect_to(server, application).await.unwrap();
    for subject in [format!("{PREFIX}.x"), "allowed.x".to_owned()] {
        client.publish(subject, "forged".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let first = tokio::time::timeout(CONVERGED, arrived.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.subject.as_str(), "allowed.x");
    jetstream::publish(&client, "SPREAD.new", "an application goes on")
        .await
        .unwrap();
}
