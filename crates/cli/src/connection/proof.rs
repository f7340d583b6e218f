//! A user's credentials: one kind, given in one place.

use std::collections::BTreeMap;

use anyhow::bail;
use itertools::Itertools as _;
use leeward_nats::{Credentials, CredentialsError};

use super::environment::{Environment, Setting};
use crate::args::ConnectionArgs;

/// All that was given.
#[derive(Clone, Debug, Default)]
pub struct CredentialOptions {
    /// The user name.
    pub user: Option<Setting>,
    /// Its password.
    pub password: Option<Setting>,
    /// A token.
    pub token: Option<Setting>,
    /// A credentials file.
    pub creds: Option<Setting>,
    /// A file with an nkey seed.
    pub nkey: Option<Setting>,
    /// A user JWT.
    pub jwt: Option<Setting>,
    /// The seed that goes with it.
    pub seed: Option<Setting>,
}

impl CredentialOptions {
    /// Those of flags and the environment.
    pub fn of_flags(args: &ConnectionArgs) -> Self {
        Self {
            user: Setting::of_flag("--user (NATS_USER)", args.user.as_deref()),
            password: Setting::of_flag("--password (NATS_PASSWORD)", args.password.as_deref()),
            token: Setting::of_flag("--token (NATS_TOKEN)", args.token.as_deref()),
            creds: Setting::of_file("--creds (NATS_CREDS)", args.creds.as_deref()),
            nkey: Setting::of_file("--nkey (NATS_NKEY)", args.nkey.as_deref()),
            jwt: None,
            seed: None,
        }
    }

    /// Flags over a context: it completes a user or a password alone, and a user that stays without a password is a
    /// token.
    pub fn over(self, context: Self) -> Self {
        let is_user_alone = self.user.is_some()
            && self.password.is_none()
            && self.seed.is_none()
            && self.kinds().count() == 1;
        match context.password {
            _ if !is_user_alone => self.or(context),
            Some(password) => Self {
                password: Some(password),
                ..self
            },
            None => Self {
                token: self.user,
                ..Self::default()
            },
        }
    }

    /// These, if they name a user; else a password is for the other's user.
    pub fn or(self, other: Self) -> Self {
        if self.kinds().next().is_some() {
            return self;
        }
        Self {
            password: self.password.or(other.password),
            seed: self.seed.or(other.seed),
            ..other
        }
    }

    fn kinds(&self) -> impl Iterator<Item = &Setting> {
        let kinds = [&self.user, &self.token, &self.creds, &self.nkey, &self.jwt];
        kinds.into_iter().flatten()
    }

    /// The credentials, if anything was given.
    pub fn credentials(&self, environment: &Environment) -> anyhow::Result<Option<Credentials>> {
        if self.kinds().count() > 1 {
            let kinds = self.kinds().map(|value| &value.source).join(", ");
            bail!("there are several kinds of credentials ({kinds}): keep one and remove the others");
        }
        if let (Some(password), None) = (&self.password, &self.user) {
            bail!("{} has no user: give the user too", password.source);
        }
        if let (Some(seed), None) = (&self.seed, &self.jwt) {
            bail!(
                "{} has no user JWT: give user_jwt too, or put the seed into a file for nkey",
                seed.source
            );
        }
        self.only(environment)
    }

    fn only(&self, environment: &Environment) -> anyhow::Result<Option<Credentials>> {
        if let Some(user) = &self.user {
            let password = self.password.as_ref();
            let password = password.map(|value| environment.secret(value)).transpose()?;
            return Ok(Some(Credentials::UserPassword {
                username: user.text.clone(),
                password: password.unwrap_or_default().into(),
            }));
        }
        if let Some(token) = &self.token {
            return Ok(Some(Credentials::Token(environment.secret(token)?.into())));
        }
        if let Some(creds) = &self.creds {
            return checked(creds, "user.creds", environment.material(creds)?).map(Some);
        }
        if let Some(nkey) = &self.nkey {
            return checked(nkey, "nkey", seed_of(&environment.material(nkey)?)).map(Some);
        }
        let Some(jwt) = &self.jwt else { return Ok(None) };
        let Some(seed) = &self.seed else {
            bail!(
                "{} has no seed, without which it proves nothing: give user_seed too",
                jwt.source
            );
        };
        let text = joined(&environment.secret(jwt)?, &environment.secret(seed)?);
        checked(jwt, "user.creds", text).map(Some)
    }
}

/// A seed may be written with lines around it.
fn seed_of(text: &str) -> String {
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
    seed.unwrap_or(text.trim()).to_owned()
}

/// A credentials file of its two parts.
fn joined(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt.trim(),
        seed_of(seed)
    )
}

/// Read by the rules for Secrets, which know these kinds by these keys.
fn checked(value: &Setting, key: &str, text: String) -> anyhow::Result<Credentials> {
    let data = BTreeMap::from([(key.to_owned(), text.into_bytes())]);
    Credentials::from_secret(&data, None).map_err(|error| match error {
        CredentialsError::Unusable { key: _, problem } => {
            anyhow::anyhow!("what {} gives {problem}", value.source)
        }
        error @ (CredentialsError::Nothing { .. }
        | CredentialsError::Several { .. }
        | CredentialsError::HalfAPair { .. }
        | CredentialsError::NoSuchKey { .. }) => anyhow::anyhow!("what {} gives: {error}", value.source),
    })
}
