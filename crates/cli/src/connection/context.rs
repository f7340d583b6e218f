//! Contexts of the `nats` command: files in which it keeps how to connect.
//!
//! Unknown fields are ignored; those that would make the `nats` command connect in a way that is not possible here are
//! refused.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use itertools::Itertools as _;
use serde::Deserialize;
use serde_json::error::Category;

use super::TlsFiles;
use super::environment::{Environment, Setting};
use super::proof::CredentialOptions;

/// One context.
#[derive(Clone, Debug, Default)]
pub struct Context {
    path: PathBuf,
    fields: ContextFile,
}

/// The fields that matter here. Some are secrets, so this type prints nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct ContextFile {
    url: Option<String>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    creds: Option<String>,
    nkey: Option<String>,
    user_jwt: Option<String>,
    user_seed: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    tls_first: Option<bool>,
    inbox_prefix: Option<String>,
    jetstream_domain: Option<String>,
    jetstream_api_prefix: Option<String>,
    nsc: Option<String>,
    socks_proxy: Option<String>,
    windows_cert_store: Option<String>,
}

impl std::fmt::Debug for ContextFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fields").finish_non_exhaustive()
    }
}

impl Context {
    /// The context that is selected, if one is.
    pub fn selected(environment: &Environment) -> anyhow::Result<Option<Self>> {
        let Some(folder) = environment.folder() else {
            return Ok(None);
        };
        let path = folder.join("context.txt");
        match std::fs::read_to_string(&path) {
            Ok(name) if name.trim().is_empty() => Ok(None),
            Ok(name) => Self::load(environment, name.trim())
                .with_context(|| format!("{} selects a context that cannot be used", path.display()))
                .map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The context of a name, or in a file with an absolute path.
    pub fn load(environment: &Environment, name: &str) -> anyhow::Result<Self> {
        let path = if Path::new(name).is_absolute() {
            PathBuf::from(name)
        } else {
            named(environment, name)?
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "there is no context {name} of the nats command ({}): {}",
                    path.display(),
                    others(&path)
                )
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let fields = serde_json::from_str(&text).map_err(|error| unreadable(&path, &error))?;
        let context = Self { path, fields };
        context.refuse_what_is_not_possible()?;
        Ok(context)
    }

    fn refuse_what_is_not_possible(&self) -> anyhow::Result<()> {
        let fields = &self.fields;
        let impossible = [
            (
                "nsc",
                &fields.nsc,
                "generate a credentials file with nsc and set creds to it",
            ),
            (
                "socks_proxy",
                &fields.socks_proxy,
                "remove it, and name servers that are reached directly",
            ),
            (
                "windows_cert_store",
                &fields.windows_cert_store,
                "set cert, key and ca to files instead",
            ),
        ];
        for (field, value, hint) in impossible {
            if filled(value.as_ref()).is_some() {
                bail!("{} is not supported by leeward: {hint}", self.source(field));
            }
        }
        self.domain().map(drop)
    }

    fn source(&self, field: &str) -> String {
        format!("field {field} of {}", self.path.display())
    }

    fn value(&self, field: &str, text: Option<&String>) -> Option<Setting> {
        Some(Setting {
            text: filled(text)?,
            source: self.source(field),
            expands: true,
        })
    }

    /// The URLs of servers.
    pub fn url(&self) -> Option<Setting> {
        self.value("url", self.fields.url.as_ref())
    }

    /// The first part of inbox subjects.
    pub fn inbox_prefix(&self) -> Option<String> {
        filled(self.fields.inbox_prefix.as_ref())
    }

    /// The user's credentials.
    pub fn proofs(&self) -> CredentialOptions {
        let fields = &self.fields;
        CredentialOptions {
            user: self.value("user", fields.user.as_ref()),
            password: self.value("password", fields.password.as_ref()),
            token: self.value("token", fields.token.as_ref()),
            creds: self.value("creds", fields.creds.as_ref()),
            nkey: self.value("nkey", fields.nkey.as_ref()),
            jwt: self.value("user_jwt", fields.user_jwt.as_ref()),
            seed: self.value("user_seed", fields.user_seed.as_ref()),
        }
    }

    /// Certificates and keys.
    pub fn tls(&self) -> TlsFiles {
        let fields = &self.fields;
        TlsFiles {
            certificate: self.value("cert", fields.cert.as_ref()),
            key: self.value("key", fields.key.as_ref()),
            authority: self.value("ca", fields.ca.as_ref()),
            first: fields.tls_first.unwrap_or_default(),
        }
    }

    /// The `JetStream` domain, which may be written as a prefix of API subjects too.
    pub fn domain(&self) -> anyhow::Result<Option<String>> {
        let domain = filled(self.fields.jetstream_domain.as_ref());
        let Some(prefix) = filled(self.fields.jetstream_api_prefix.as_ref()) else {
            return Ok(domain);
        };
        let words: Vec<&str> = prefix.trim_end_matches('.').split('.').collect();
        match (words.as_slice(), domain) {
            (["$JS", "API"], domain) => Ok(domain),
            (["$JS", prefixed, "API"], None) => Ok(Some((*prefixed).to_owned())),
            (["$JS", prefixed, "API"], Some(domain)) if *prefixed == domain => Ok(Some(domain)),
            (["$JS", _, "API"], Some(_)) => bail!(
                "{} and jetstream_domain there name different domains: keep one of them",
                self.source("jetstream_api_prefix")
            ),
            (_, _) => bail!(
                "{} is {prefix}, which leeward cannot use, since it is not that of a domain ($JS.<domain>.API): connect as \
                 a user of the account that has the streams",
                self.source("jetstream_api_prefix")
            ),
        }
    }
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn named(environment: &Environment, name: &str) -> anyhow::Result<PathBuf> {
    if name.is_empty() || name.contains("..") || name.contains(['/', '\\']) {
        bail!("{name:?} cannot be the name of a context: `nats context ls` lists those that exist");
    }
    let folder = environment.folder().context(
        "the contexts of the nats command cannot be found, since neither XDG_CONFIG_HOME nor HOME is set: set one",
    )?;
    Ok(folder.join("context").join(format!("{name}.json")))
}

/// The contexts beside the one that is missing.
fn others(missing: &Path) -> String {
    let entries = missing.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let json = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let names = json.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    match names.sorted().join(", ").as_str() {
        "" => "there are none yet, save one with `nats context save`".to_owned(),
        names => format!("there are {names}"),
    }
}

/// Without the parser's message, which may quote a secret.
fn unreadable(path: &Path, error: &serde_json::Error) -> anyhow::Error {
    let problem = match error.classify() {
        Category::Data => "a field has a value of the wrong type",
        Category::Syntax | Category::Eof | Category::Io => "it is not valid JSON",
    };
    anyhow::anyhow!(
        "{}:{}:{}: {problem}: correct it, or save the context again with `nats context save`",
        path.display(),
        error.line(),
        error.column()
    )
}
