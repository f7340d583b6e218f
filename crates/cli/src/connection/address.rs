//! URLs of servers, and the credentials written into them.
//!
//! Promises: what is left of a URL holds nothing secret, and no error names what was taken from it.

use anyhow::{Context as _, bail};
use leeward_nats::split_userinfo;

use super::DEFAULT_SERVER;
use super::environment::Setting;
use super::proof::CredentialOptions;

/// Servers, and the user that their URLs name.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// URLs without a user.
    pub servers: Vec<String>,
    /// A user with its password, or a token.
    pub proofs: CredentialOptions,
}

impl Addresses {
    /// Of URLs separated by commas; of the server on this machine, if there are none.
    pub fn of(urls: Option<&Setting>) -> anyhow::Result<Self> {
        let mut addresses = Self {
            servers: Vec::new(),
            proofs: CredentialOptions::default(),
        };
        let Some(urls) = urls else {
            addresses.servers.push(DEFAULT_SERVER.to_owned());
            return Ok(addresses);
        };
        let mut known = None;
        for url in urls.text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let (bare, userinfo) = split_userinfo(url);
            addresses.servers.push(with_scheme(bare));
            if let Some(userinfo) = userinfo {
                if *known.get_or_insert(userinfo) != userinfo {
                    bail!(
                        "the URLs of {} name different users: keep one of them",
                        urls.source
                    );
                }
                addresses.proofs = proofs(userinfo, &urls.source)?;
            }
        }
        Ok(addresses)
    }
}

fn with_scheme(url: String) -> String {
    if url.contains("://") {
        url
    } else {
        format!("nats://{url}")
    }
}

/// A user without a password is a token.
fn proofs(userinfo: &str, source: &str) -> anyhow::Result<CredentialOptions> {
    let value = |text: &str| {
        let text = decoded(text).with_context(|| {
            format!("the user in a URL of {source} has a % that begins no escape: write it as %25")
        })?;
        anyhow::Ok(Setting {
            text,
            source: format!("the URL of {source}"),
            expands: false,
        })
    };
    Ok(match userinfo.split_once(':') {
        Some((user, password)) => CredentialOptions {
            user: Some(value(user)?),
            password: Some(value(password)?),
            ..CredentialOptions::default()
        },
        None if userinfo.is_empty() => CredentialOptions::default(),
        None => CredentialOptions {
            token: Some(value(userinfo)?),
            ..CredentialOptions::default()
        },
    })
}

/// `%40` as `@`.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
