//! Arguments exactly as typed, and what they resolve to.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};
use leeward_operator::Config;

/// Keeps NATS JetStream leaders next to the clients that use them.
#[derive(Debug, Parser)]
#[command(name = "leeward", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the Kubernetes operator.
    Operator(OperatorArgs),
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Print the version.
    Version,
}

/// Arguments of `leeward operator`. The cluster is the pod's own, or the one of KUBECONFIG.
#[derive(Debug, clap::Args)]
pub struct OperatorArgs {
    /// Watch this namespace; may be repeated. All namespaces, if it is not given.
    #[arg(
        long = "watch-namespace",
        env = "LEEWARD_WATCH_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    watch_namespaces: Vec<String>,
    /// Serve /livez, /readyz and /metrics on this address.
    #[arg(
        long,
        env = "LEEWARD_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    listen: SocketAddr,
    /// How log lines are written.
    #[arg(long, env = "LEEWARD_LOG_FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
    /// What is logged: a level such as info, or filters for parts of the program.
    #[arg(
        long,
        env = "LEEWARD_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info"
    )]
    log_level: String,
    /// The name of this process in events; a pod's own name, in a cluster.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    instance: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Plain,
}

/// What `leeward operator` does, resolved.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: String,
    /// The operator's own configuration.
    pub operator: Config,
}

impl OperatorArgs {
    /// The configuration that the arguments mean.
    pub fn resolve(self) -> OperatorConfig {
        let Self {
            watch_namespaces,
            listen,
            log_format,
            log_level,
            instance,
        } = self;
        // An empty environment variable is as good as none.
        let given = |text: &String| !text.trim().is_empty();
        OperatorConfig {
            log_format,
            log_filter: log_level,
            operator: Config {
                namespaces: watch_namespaces.into_iter().filter(given).collect(),
                listen,
                instance: instance.filter(given),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn resolved(arguments: &[&str]) -> OperatorConfig {
        let arguments = ["leeward", "operator"].iter().chain(arguments);
        match Args::try_parse_from(arguments).unwrap().command {
            Command::Operator(args) => args.resolve(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_arguments_all_namespaces_are_watched() {
        let config = resolved(&[]);
        assert!(config.operator.namespaces.is_empty());
        assert_eq!(config.operator.listen, "0.0.0.0:8080".parse().unwrap());
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.log_filter, "info");
    }

    #[test]
    fn namespaces_may_be_repeated_or_separated_by_commas() {
        let config = resolved(&["--watch-namespace", "a", "--watch-namespace", "b,c"]);
        assert_eq!(config.operator.namespaces, ["a", "b", "c"]);
        assert!(
            resolved(&["--watch-namespace", ""])
                .operator
                .namespaces
                .is_empty()
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let arguments = ["leeward", "operator", "--listen", "here"];
        assert!(Args::try_parse_from(arguments).is_err());
    }
}
