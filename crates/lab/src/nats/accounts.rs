//! Accounts and users of a system, by passwords in the config or by JWTs.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use async_nats::ConnectOptions;
use serde::Serialize;
use serde_json::{Value, json};

use super::jwt;
use super::tls::ClientCertificate;

pub const SYSTEM_ACCOUNT: &str = "SYS";
/// The user of the system account in every system; it may do everything.
pub const SYSTEM_USER: &str = "sys";
/// The account of a system built without one, with JetStream and the user [`DEFAULT_USER`].
pub const DEFAULT_ACCOUNT: &str = "APP";
pub const DEFAULT_USER: &str = "app";

/// How the servers authenticate users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Auth {
    /// Users and passwords in the server config.
    #[default]
    Config,
    /// Operator, account and user JWTs, accounts preloaded from the config.
    Operator,
}

#[derive(Debug, Clone)]
pub struct AccountSpec {
    pub name: String,
    pub users: Vec<UserSpec>,
    pub jetstream: bool,
    /// More of its config, with [`Auth::Config`].
    pub settings: serde_json::Map<String, Value>,
}

#[derive(Debug, Clone)]
pub struct UserSpec {
    pub name: String,
    /// `None`: everything is allowed.
    pub permissions: Option<Permissions>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Permissions {
    pub publish: Subjects,
    pub subscribe: Subjects,
}

/// Subjects as NATS reads them: an empty `allow` allows everything.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Subjects {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

impl AccountSpec {
    /// An account with JetStream and no users yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: Vec::new(),
            jetstream: true,
            settings: serde_json::Map::new(),
        }
    }

    /// Sets a setting such as `imports`; with [`Auth::Config`].
    #[must_use]
    pub fn setting(mut self, name: &str, value: Value) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// What clients publish to one subject goes to another; with [`Auth::Config`].
    #[must_use]
    pub fn mapping(mut self, from: &str, to: &str) -> Self {
        let mappings = self.settings.entry("mappings").or_insert_with(|| json!({}));
        mappings[from] = json!(to);
        self
    }

    #[must_use]
    pub fn user(mut self, user: UserSpec) -> Self {
        self.users.push(user);
        self
    }

    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = false;
        self
    }
}

impl UserSpec {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            permissions: None,
        }
    }

    pub fn limited(name: &str, permissions: Permissions) -> Self {
        Self {
            name: name.to_owned(),
            permissions: Some(permissions),
        }
    }
}

impl Permissions {
    /// May publish and subscribe to these subjects and nothing else.
    pub fn allow(publish: &[&str], subscribe: &[&str]) -> Self {
        let only = |subjects: &[&str]| Subjects {
            allow: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            deny: Vec::new(),
        };
        Self {
            publish: only(publish),
            subscribe: only(subscribe),
        }
    }
}

/// What a user authenticates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    UserPassword {
        user: String,
        password: String,
    },
    /// The text of a `.creds` file.
    Creds(String),
    Certificate(ClientCertificate),
}

impl Credentials {
    /// Adds the credentials to connect options.
    pub fn apply(&self, options: ConnectOptions) -> anyhow::Result<ConnectOptions> {
        match self {
            Self::UserPassword { user, password } => {
                Ok(options.user_and_password(user.clone(), password.clone()))
            }
            Self::Creds(text) => options
                .credentials(text)
                .context("the lab's own credentials do not parse"),
            Self::Certificate(certificate) => Ok(
                options.add_client_certificate(certificate.pem_file.clone(), certificate.key_file.clone())
            ),
        }
    }
}

/// The accounts of a running system: their config, and the users' credentials.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) config: Value,
    issued: BTreeMap<(String, String), Credentials>,
    ids: BTreeMap<String, String>,
    /// Account and user with JetStream and every permission, if there is one.
    unlimited: Option<(String, String)>,
}

impl Accounts {
    /// Issues credentials for all users of `specs`, the first of which is the system account; `certificates` identify
    /// users without a password.
    pub(crate) fn issue(
        auth: Auth,
        specs: &[AccountSpec],
        certificates: Option<&BTreeMap<String, ClientCertificate>>,
    ) -> anyhow::Result<Self> {
        for spec in specs {
            let same = specs.iter().filter(|other| other.name == spec.name).count();
            ensure!(same == 1, "two accounts are called {}", spec.name);
        }
        let issued = match auth {
            Auth::Config => Self::in_config(specs, certificates),
            Auth::Operator => Self::by_jwt(specs)?,
        };
        Ok(Self {
            unlimited: unlimited_user(specs),
            ..issued
        })
    }

    fn in_config(specs: &[AccountSpec], certificates: Option<&BTreeMap<String, ClientCertificate>>) -> Self {
        let mut accounts = serde_json::Map::new();
        let mut issued = BTreeMap::new();
        for spec in specs {
            let mut users = Vec::new();
            for user in &spec.users {
                let name = user_name(spec, user);
                let mut entry = json!({ "user": name });
                let certificate = certificates.and_then(|certificates| certificates.get(&name));
                let credentials = if let Some(certificate) = certificate {
                    Credentials::Certificate(certificate.clone())
                } else {
                    let password = format!("{name}-password");
                    entry["password"] = json!(password);
                    Credentials::UserPassword { user: name, password }
                };
                if let Some(permissions) = &user.permissions {
                    entry["permissions"] = json!(permissions);
                }
                users.push(entry);
                issued.insert((spec.name.clone(), user.name.clone()), credentials);
            }
            let mut account = Value::Object(spec.settings.clone());
            account["users"] = json!(users);
            if spec.jetstream {
                account["jetstream"] = json!("enabled");
            }
            accounts.insert(spec.name.clone(), account);
        }
        let ids = specs.iter().map(|spec| (spec.name.clone(), spec.name.clone()));
        let config = json!({ "accounts": accounts, "system_account": SYSTEM_ACCOUNT });
        Self {
            config,
            issued,
            ids: ids.collect(),
            unlimited: None,
        }
    }

    fn by_jwt(specs: &[AccountSpec]) -> anyhow::Result<Self> {
        let mint = jwt::JwtIssuer::new(specs);
        let mut issued = BTreeMap::new();
        let mut ids = BTreeMap::new();
        let mut preload = serde_json::Map::new();
        for spec in specs {
            let account = mint.account(spec)?;
            for user in &spec.users {
                let creds = mint.user(&spec.name, user)?;
                issued.insert((spec.name.clone(), user.name.clone()), Credentials::Creds(creds));
            }
            preload.insert(account.id.clone(), json!(account.jwt));
            ids.insert(spec.name.clone(), account.id);
        }
        let config = json!({
            "operator": mint.operator()?,
            "system_account": ids.get(SYSTEM_ACCOUNT),
            "resolver": "MEMORY",
            "resolver_preload": preload,
        });
        Ok(Self {
            config,
            issued,
            ids,
            unlimited: None,
        })
    }

    pub(crate) fn credentials(&self, account: &str, user: &str) -> anyhow::Result<&Credentials> {
        self.issued
            .get(&(account.to_owned(), user.to_owned()))
            .with_context(|| format!("account {account} has no user {user}"))
    }

    /// Account and user that may use all of JetStream.
    pub(crate) fn unlimited_user(&self) -> Option<(&str, &str)> {
        let (account, user) = self.unlimited.as_ref()?;
        Some((account, user))
    }

    pub(crate) fn id(&self, account: &str) -> anyhow::Result<&str> {
        self.ids
            .get(account)
            .map(String::as_str)
            .with_context(|| format!("there is no account {account}"))
    }
}

/// The names of all users in the config.
pub(crate) fn user_names(specs: &[AccountSpec]) -> Vec<String> {
    let of_account =
        |spec: &AccountSpec| -> Vec<String> { spec.users.iter().map(|user| user_name(spec, user)).collect() };
    specs.iter().flat_map(of_account).collect()
}

fn user_name(account: &AccountSpec, user: &UserSpec) -> String {
    format!("{}-{}", account.name, user.name)
}

fn unlimited_user(specs: &[AccountSpec]) -> Option<(String, String)> {
    let with_jetstream = specs.iter().filter(|spec| spec.jetstream);
    with_jetstream.into_iter().find_map(|spec| {
        let user = spec.users.iter().find(|user| user.permissions.is_none())?;
        Some((spec.name.clone(), user.name.clone()))
    })
}
