//! The part of a process's environment that says how to connect, as data, and the files and values that it leads to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;

/// Longer values are no paths on any system.
const LONGEST_PATH: usize = 4096;
/// Five dashes and what may follow.
const BEGIN_IN_BASE64: &str = "LS0tLS1";

/// The process's environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Where programs keep their settings, if that is not `~/.config`.
    pub config: Option<PathBuf>,
    /// All variables.
    pub variables: BTreeMap<String, String>,
}

/// A value and where it was given, as text for errors.
#[derive(Clone)]
pub struct Setting {
    /// The value; it may be a secret.
    pub text: String,
    /// Where it was given.
    pub source: String,
    /// Whether to expand `$NAME` in a path: the shell did that for flags.
    pub expands: bool,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the value.
        formatter.debug_tuple("Value").field(&self.source).finish()
    }
}

impl Setting {
    /// A file that a flag names.
    pub fn of_file(flag: &str, path: Option<&Path>) -> Option<Self> {
        Self::of_flag(flag, path.map(|path| path.to_string_lossy()).as_deref())
    }

    /// The value of a flag.
    pub fn of_flag(flag: &str, text: Option<&str>) -> Option<Self> {
        Some(Self {
            text: text?.to_owned(),
            source: flag.to_owned(),
            expands: false,
        })
    }
}

/// Where the contents of a value are.
enum SettingSource<'a> {
    File(&'a str),
    Variable(&'a str),
    Inline(&'a str),
    Program(&'static str),
    /// No scheme that is known.
    Plain(&'a str),
}

fn place(text: &str) -> SettingSource<'_> {
    if let Some(path) = text.strip_prefix("file://") {
        SettingSource::File(path)
    } else if let Some(name) = text.strip_prefix("env://") {
        SettingSource::Variable(name)
    } else if let Some(payload) = text.strip_prefix("data:") {
        SettingSource::Inline(payload)
    } else if text.starts_with("nsc://") {
        SettingSource::Program("nsc")
    } else if text.starts_with("op://") {
        SettingSource::Program("op")
    } else {
        SettingSource::Plain(text)
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let path = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            home: path("HOME"),
            config: path("XDG_CONFIG_HOME"),
            variables: std::env::vars_os().filter_map(text).collect(),
        }
    }

    /// The folder of the `nats` command.
    pub fn folder(&self) -> Option<PathBuf> {
        let config = self.config.clone();
        let parent = config.or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(parent.join("nats"))
    }

    /// A value that is a secret itself, unless it refers to one.
    pub fn secret(&self, value: &Setting) -> anyhow::Result<String> {
        match place(&value.text) {
            SettingSource::Plain(text) => Ok(text.to_owned()),
            elsewhere => self.contents(&elsewhere, value),
        }
    }

    /// What a file holds, or whatever else the value names instead.
    pub fn material(&self, value: &Setting) -> anyhow::Result<String> {
        self.contents(&place(&value.text), value)
    }

    /// What a file holds.
    pub fn file(&self, value: &Setting) -> anyhow::Result<String> {
        match place(&value.text) {
            path @ (SettingSource::File(_) | SettingSource::Plain(_)) => self.contents(&path, value),
            SettingSource::Variable(_) | SettingSource::Inline(_) | SettingSource::Program(_) => {
                bail!("{} must be a file: give its path", value.source)
            }
        }
    }

    fn contents(&self, place: &SettingSource<'_>, value: &Setting) -> anyhow::Result<String> {
        let source = &value.source;
        match place {
            SettingSource::File(path) | SettingSource::Plain(path) => self.read(path, value),
            SettingSource::Variable(name) => match self.variables.get(*name) {
                Some(text) => Ok(text.clone()),
                None => bail!("{source} is in the variable {name}, which is not set: set it"),
            },
            SettingSource::Inline(payload) => inline(payload)
                .with_context(|| format!("{source} holds data that is not base64: save it again")),
            SettingSource::Program(name) => bail!(
                "{source} is to be asked of the program {name}, which leeward does not start: write it to a file, and \
                 give that"
            ),
        }
    }

    fn read(&self, path: &str, value: &Setting) -> anyhow::Result<String> {
        refuse_credentials(path, value)?;
        let path = if value.expands {
            self.expand(path)
                .with_context(|| format!("{} is a path that cannot be followed", value.source))?
        } else {
            path.to_owned()
        };
        refuse_credentials(&path, value)?;
        let path = match (path.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(path),
        };
        std::fs::read_to_string(&path)
            .with_context(|| format!("{} names {}, which cannot be read", value.source, path.display()))
    }

    /// `$NAME` and `${NAME}` replaced.
    fn expand(&self, text: &str) -> anyhow::Result<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, remainder) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some(found) => found,
                None => after.split_at(
                    after
                        .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                        .unwrap_or(after.len()),
                ),
            };
            rest = remainder;
            if name.is_empty() {
                expanded.push('$');
                continue;
            }
            let value = self.variables.get(name);
            expanded.push_str(value.with_context(|| format!("the variable {name} is not set: set it"))?);
        }
        Ok(expanded + rest)
    }
}

/// An error must not quote what is no path.
fn refuse_credentials(path: &str, value: &Setting) -> anyhow::Result<()> {
    if !is_credentials(path) {
        return Ok(());
    }
    bail!(
        "{} holds credentials, not a path: write them to a file, and give its path",
        value.source
    )
}

fn is_credentials(text: &str) -> bool {
    let text = text.trim();
    let is_seed = text.starts_with('S')
        && text.len() > 50
        && text
            .bytes()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    let begins = ["eyJ", BEGIN_IN_BASE64]
        .iter()
        .any(|begin| text.starts_with(begin));
    is_seed || begins || text.contains("-----BEGIN") || text.contains('\n') || text.len() > LONGEST_PATH
}

fn inline(payload: &str) -> Option<String> {
    let (_, encoded) = payload.split_once(";base64,")?;
    let bytes: ByteString = serde_json::from_value(encoded.into()).ok()?;
    String::from_utf8(bytes.0).ok()
}
