//! The `nats` command as an independent check of a system.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, ensure};
use serde_json::json;

use super::accounts::Credentials;
use super::system::System;
use crate::folder::write_file;
use crate::tools::{Tool, tool};

impl System {
    /// Writes a context of the `nats` command for a user who connects to a location, and returns its name.
    pub fn nats_context(&self, account: &str, user: &str, location: &str) -> anyhow::Result<String> {
        let name = format!("{account}-{user}-{location}");
        let mut context = json!({
            "description": format!("{user} of account {account} at {location}"),
            "url": self.urls(location)?,
        });
        match self.credentials(account, user)? {
            Credentials::UserPassword { user, password } => {
                context["user"] = json!(user);
                context["password"] = json!(password);
            }
            Credentials::Creds(text) => {
                let path = self.config_home().join(format!("{name}.creds"));
                write_file(&path, text)?;
                context["creds"] = json!(path);
            }
            Credentials::Certificate(own) => {
                context["cert"] = json!(own.pem_file);
                context["key"] = json!(own.key_file);
            }
        }
        if let Some(ca) = self.ca_file() {
            context["ca"] = json!(ca);
        }
        write_file(
            &self.config_home().join(format!("nats/context/{name}.json")),
            &context.to_string(),
        )?;
        Ok(name)
    }

    /// What `XDG_CONFIG_HOME` must be for the `nats` command to find the contexts.
    pub fn config_home(&self) -> PathBuf {
        self.folder().join("config")
    }

    /// Runs the `nats` command in a context that [`Self::nats_context`] wrote.
    pub async fn nats_cli(&self, context: &str, args: &[&str]) -> anyhow::Result<Output> {
        tokio::process::Command::new(tool(Tool::Nats)?)
            .args(["--context", context])
            .args(args)
            .env("XDG_CONFIG_HOME", self.config_home())
            .env_remove("NATS_URL")
            .env_remove("NATS_CONTEXT")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run the nats command")
    }

    /// As [`Self::nats_cli`]: its output, or an error with its error output.
    pub async fn nats_cli_text(&self, context: &str, args: &[&str]) -> anyhow::Result<String> {
        let output = self.nats_cli(context, args).await?;
        ensure!(
            output.status.success(),
            "nats {} failed: {}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
