//! How to reach NATS, with flags as of `nats`.

use std::path::PathBuf;

use leeward_api::duration::GoDuration;

/// How to reach NATS. Flags win over the environment, both over a context of the `nats` command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Context of the nats command for the account; the selected one, if it is not given.
    #[arg(long, value_name = "NAME", env = "NATS_CONTEXT")]
    pub context: Option<String>,
    /// Context of the nats command for a user of the system account; without one only what the account's own user may
    /// see is known (tenant mode).
    #[arg(long, value_name = "NAME", env = "LEEWARD_SYSTEM_CONTEXT")]
    pub system_context: Option<String>,
    /// URLs of servers, separated by commas.
    #[arg(
        short = 's',
        long,
        value_name = "URLS",
        env = "NATS_URL",
        hide_env_values = true
    )]
    pub server: Option<String>,
    /// User name; a token, if there is no password.
    #[arg(long, value_name = "USER", env = "NATS_USER", hide_env_values = true)]
    pub user: Option<String>,
    /// Password.
    #[arg(long, value_name = "PASSWORD", env = "NATS_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Token.
    #[arg(long, value_name = "TOKEN", env = "NATS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Credentials file.
    #[arg(long, value_name = "FILE", env = "NATS_CREDS", hide_env_values = true)]
    pub creds: Option<PathBuf>,
    /// File with an nkey seed.
    #[arg(long, value_name = "FILE", env = "NATS_NKEY", hide_env_values = true)]
    pub nkey: Option<PathBuf>,
    /// Client certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "NATS_CERT")]
    pub tlscert: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", env = "NATS_KEY", hide_env_values = true)]
    pub tlskey: Option<PathBuf>,
    /// Authorities to trust, in PEM.
    #[arg(long, value_name = "FILE", env = "NATS_CA")]
    pub tlsca: Option<PathBuf>,
    /// Start TLS before the server says anything.
    #[arg(long)]
    pub tlsfirst: bool,
    /// JetStream domain of the account's streams.
    #[arg(long, value_name = "DOMAIN")]
    pub js_domain: Option<String>,
    /// First part of the inbox subjects of the account's user, where its permissions name it; that of a context is its
    /// `inbox_prefix`, that of `--system-context` its own.
    #[arg(long, value_name = "PREFIX")]
    pub inbox_prefix: Option<String>,
    /// Wait this long for a connection and for every server's answer; without a connection `leeward run` says so and goes on
    /// trying.
    #[arg(long, value_name = "DURATION", env = "LEEWARD_WAIT", default_value = "30s")]
    pub wait: GoDuration,
    /// Watch traffic for this long, to know message rates; who uses the streams is sampled after that, three times where
    /// leaders would move; 0s does without both.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub sample: GoDuration,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        _connection: ConnectionArgs,
    }

    #[test]
    fn help_shows_no_value_of_a_variable_that_may_be_secret() {
        let command = Args::command();
        let hides = |variable: &str| {
            let mut found = command.get_arguments();
            found.any(|arg| arg.get_env() == Some(variable.as_ref()) && arg.is_hide_env_values_set())
        };
        let secrets = [
            "NATS_URL",
            "NATS_USER",
            "NATS_PASSWORD",
            "NATS_TOKEN",
            "NATS_CREDS",
            "NATS_NKEY",
            "NATS_KEY",
        ];
        for variable in secrets {
            assert!(hides(variable), "{variable}");
        }
        assert!(!hides("NATS_CONTEXT"));
    }
}
