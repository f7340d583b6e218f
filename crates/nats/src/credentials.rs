//! What a user authenticates with, read from a Secret.
//!
//! Exactly one kind must be present: with two, chance would decide which one is used. Only a client certificate may be
//! given with another kind, for servers that require one from everybody and identify users otherwise. Contents are
//! checked as far as that needs no server; nothing here is ever printed.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;

/// The key of a credentials file where no other is named.
pub const CREDS_KEY: &str = "user.creds";
const KINDS: &str = "`user.creds`, `nkey`, `token`, `username` and `password`, or `tls.crt` and `tls.key`";
const CERTIFICATE: &str = "tls.crt";

/// What a user authenticates with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The text of a credentials file: a user JWT and its seed.
    CredsFile(SecretString),
    Nkey(SecretString),
    Token(SecretString),
    UserPassword {
        username: String,
        password: SecretString,
    },
    /// A client certificate that the servers map to a user.
    TlsClientCertificate {
        /// PEM.
        certificate: String,
        /// PEM.
        key: SecretString,
    },
    /// A client certificate that the servers require, and what the user authenticates with.
    WithCertificate {
        /// PEM.
        certificate: String,
        /// PEM.
        key: SecretString,
        /// Of another kind.
        user: Box<Credentials>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "the Secret holds no credentials: it needs one of {KINDS}{}",
        CredentialBlocks(found)
    )]
    Nothing {
        /// The keys that the Secret has.
        found: Vec<String>,
    },
    #[error("the Secret holds several credentials ({}): keep one and remove the others", kinds.join(", "))]
    Several {
        /// The keys of each kind.
        kinds: Vec<String>,
    },
    /// One half of a pair is missing.
    #[error("the Secret has `{present}` but no `{missing}`: add it")]
    HalfAPair {
        present: &'static str,
        missing: &'static str,
    },
    /// The key that was named does not exist.
    #[error(
        "the Secret has no key `{key}`, which credentialsRef names{}",
        CredentialBlocks(found)
    )]
    NoSuchKey {
        key: String,
        /// The keys that the Secret has.
        found: Vec<String>,
    },
    /// A value is empty or not text.
    #[error("the Secret's `{key}` {problem}")]
    Unusable { key: String, problem: String },
}

struct CredentialBlocks<'a>(&'a [String]);

impl fmt::Display for CredentialBlocks<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            formatter.write_str(" (it is empty)")
        } else {
            write!(formatter, " (it has: {})", self.0.join(", "))
        }
    }
}

type Data = BTreeMap<String, Vec<u8>>;

impl Credentials {
    /// Reads the data of a Secret. With `key`, that key is a credentials file and all others are ignored.
    pub fn from_secret(data: &Data, key: Option<&str>) -> Result<Self, CredentialsError> {
        if let Some(key) = key {
            if !data.contains_key(key) {
                return Err(CredentialsError::NoSuchKey {
                    key: key.to_owned(),
                    found: keys(data),
                });
            }
            return creds_file(data, key);
        }
        let pairs = [("username", "password"), (CERTIFICATE, "tls.key")];
        let singles = [CREDS_KEY, "nkey", "token"];
        let halves = pairs
            .into_iter()
            .flat_map(|(first, second)| [(first, second), (second, first)]);
        for (present, missing) in halves {
            if data.contains_key(present) && !data.contains_key(missing) {
                return Err(CredentialsError::HalfAPair { present, missing });
            }
        }
        let kinds = singles.into_iter().chain(pairs.map(|(first, _)| first));
        let kinds: Vec<&str> = kinds.filter(|key| data.contains_key(*key)).collect();
        match kinds.as_slice() {
            [] => Err(CredentialsError::Nothing { found: keys(data) }),
            [kind] => Self::of_kind(data, kind),
            [user, CERTIFICATE] => Ok(Self::WithCertificate {
                certificate: text(data, CERTIFICATE)?,
                key: text(data, "tls.key")?.into(),
                user: Box::new(Self::of_kind(data, user)?),
            }),
            several => Err(CredentialsError::Several {
                kinds: several.iter().map(|kind| (*kind).to_owned()).collect(),
            }),
        }
    }

    /// The client certificate and its key, where there is one.
    pub(crate) fn certificate(&self) -> Option<(&str, &SecretString)> {
        match self {
            Self::TlsClientCertificate { certificate, key }
            | Self::WithCertificate {
                certificate,
                key,
                user: _,
            } => Some((certificate, key)),
            Self::CredsFile(_) | Self::Nkey(_) | Self::Token(_) | Self::UserPassword { .. } => None,
        }
    }

    fn of_kind(data: &Data, kind: &str) -> Result<Self, CredentialsError> {
        match kind {
            "nkey" => {
                let seed = text(data, "nkey")?;
                if nkeys::KeyPair::from_seed(&seed).is_err() {
                    let problem =
                        "is not an nkey seed: put the seed there (it begins with SU), not the public key";
                    return Err(unusable("nkey", problem));
                }
                Ok(Self::Nkey(seed.into()))
            }
            "token" => Ok(Self::Token(text(data, "token")?.into())),
            "username" => Ok(Self::UserPassword {
                username: text(data, "username")?,
                password: password(data)?.into(),
            }),
            CERTIFICATE => Ok(Self::TlsClientCertificate {
                certificate: text(data, CERTIFICATE)?,
                key: text(data, "tls.key")?.into(),
            }),
            creds => creds_file(data, creds),
        }
    }
}

fn creds_file(data: &Data, key: &str) -> Result<Credentials, CredentialsError> {
    // The parser needs the line end after the last line.
    let content = text(data, key)? + "\n";
    if async_nats::ConnectOptions::new().credentials(&content).is_err() {
        let problem = "is not a credentials file: it needs a user JWT and its seed, as `nsc generate creds` writes them";
        return Err(unusable(key, problem));
    }
    Ok(Credentials::CredsFile(content.into()))
}

/// A value without the line end that editors and `kubectl create secret --from-file` leave behind.
fn text(data: &Data, key: &str) -> Result<String, CredentialsError> {
    not_empty(key, utf8(data, key)?.trim())
}

/// A password keeps its blanks; only a line end is removed.
fn password(data: &Data) -> Result<String, CredentialsError> {
    let key = "password";
    not_empty(key, utf8(data, key)?.trim_end_matches(['\r', '\n']))
}

fn not_empty(key: &str, content: &str) -> Result<String, CredentialsError> {
    if content.is_empty() {
        return Err(unusable(key, "is empty"));
    }
    Ok(content.to_owned())
}

fn utf8<'a>(data: &'a Data, key: &str) -> Result<&'a str, CredentialsError> {
    let bytes = data.get(key).map(Vec::as_slice).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| unusable(key, "is not text (UTF-8)"))
}

fn unusable(key: &str, problem: &str) -> CredentialsError {
    CredentialsError::Unusable {
        key: key.to_owned(),
        problem: problem.to_owned(),
    }
}

fn keys(data: &Data) -> Vec<String> {
    data.keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nkeys::KeyPair;

    fn data(entries: &[(&str, &str)]) -> Data {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    fn creds() -> String {
        let seed = KeyPair::new_user().seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0eXAi.eyJqdGki.c2ln\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn each_kind_is_read() {
        let seed = KeyPair::new_user().seed().unwrap();
        let read = |entries: &[(&str, &str)]| Credentials::from_secret(&data(entries), None).unwrap();
        assert!(matches!(
            read(&[("user.creds", &creds())]),
            Credentials::CredsFile(_)
        ));
        assert!(matches!(
            read(&[("nkey", &format!("{seed}\n"))]),
            Credentials::Nkey(_)
        ));
        assert!(matches!(read(&[("token", "t")]), Credentials::Token(_)));
        let user = read(&[("username", "u\n"), ("password", " p \n")]);
        let Credentials::UserPassword { username, password } = user else {
            panic!("{user:?}")
        };
        assert_eq!(
            (username.as_str(), secrecy::ExposeSecret::expose_secret(&password)),
            ("u", " p ")
        );
        let certificate = read(&[("tls.crt", "c"), ("tls.key", "k"), ("ca.crt", "ignored")]);
        assert!(matches!(certificate, Credentials::TlsClientCertificate { .. }));
        let beside = read(&[("tls.crt", "c"), ("tls.key", "k"), ("token", "t")]);
        assert_eq!(
            beside.certificate().map(|(certificate, _)| certificate),
            Some("c")
        );
        let Credentials::WithCertificate { user, .. } = beside else {
            panic!("{beside:?}")
        };
        assert!(matches!(*user, Credentials::Token(_)));
    }

    #[test]
    fn a_named_key_is_a_credentials_file_and_hides_all_others() {
        let content = creds();
        let secret = data(&[("orders.creds", &content), ("token", "t")]);
        let read = Credentials::from_secret(&secret, Some("orders.creds")).unwrap();
        assert!(matches!(read, Credentials::CredsFile(_)));
        let error = Credentials::from_secret(&secret, Some("other"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the Secret has no key `other`, which credentialsRef names (it has: orders.creds, token)"
        );
    }

    #[test]
    fn errors_name_the_keys_and_the_cure() {
        let kinds = KINDS;
        let table: &[(&[(&str, &str)], String)] = &[
            (&[], format!("the Secret holds no credentials: it needs one of {kinds} (it is empty)")),
            (
                &[("creds", "x")],
                format!("the Secret holds no credentials: it needs one of {kinds} (it has: creds)"),
            ),
            (&[("username", "u")], "the Secret has `username` but no `password`: add it".into()),
            (&[("tls.key", "k")], "the Secret has `tls.key` but no `tls.crt`: add it".into()),
            (
                &[("token", "t"), ("nkey", "n")],
                "the Secret holds several credentials (nkey, token): keep one and remove the others".into(),
            ),
            (
                &[("token", "t"), ("nkey", "n"), ("tls.crt", "c"), ("tls.key", "k")],
                "the Secret holds several credentials (nkey, token, tls.crt): keep one and remove the others".into(),
            ),
            (&[("token", "\n")], "the Secret's `token` is empty".into()),
            (
                &[("nkey", "UABC")],
                "the Secret's `nkey` is not an nkey seed: put the seed there (it begins with SU), not the public key"
                    .into(),
            ),
            (
                &[("user.creds", "hello")],
                "the Secret's `user.creds` is not a credentials file: it needs a user JWT and its seed, as \
                 `nsc generate creds` writes them"
                    .into(),
            ),
        ];
        for (entries, expected) in table {
            let error = Credentials::from_secret(&data(entries), None).unwrap_err();
            assert_eq!(error.to_string(), *expected, "{entries:?}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let read = Credentials::from_secret(&data(&[("username", "u"), ("password", "hunter2")]), None);
        assert!(!format!("{read:?}").contains("hunter2"));
    }
}
