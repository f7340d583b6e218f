//! Arguments of `leeward operator`, and what they resolve to.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use leeward_api::duration::GoDuration;
use leeward_operator::{Config, LeaseConfig};

use crate::logs::LogFormat;
use crate::logs::admin::AdminAddress;

/// A shorter lease leaves no time to retry a failed renewal.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);
/// Each shard is a Lease that is renewed every few seconds.
const MOST_SHARDS: u8 = 64;

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
    /// Serve /metrics on this address. `[::]` is all addresses, of IPv4 as well.
    #[arg(
        long,
        env = "LEEWARD_LISTEN",
        value_name = "ADDRESS",
        default_value = "[::]:8080"
    )]
    listen: SocketAddr,
    /// Answer probes, /livez and /readyz, on this address.
    #[arg(
        long,
        env = "LEEWARD_PROBE_LISTEN",
        value_name = "ADDRESS",
        default_value = "[::]:8082"
    )]
    probe_listen: SocketAddr,
    /// Let what is logged be changed while it runs (`leeward log-level`) on this loopback address; empty turns it off.
    #[arg(
        long,
        env = "LEEWARD_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081"
    )]
    admin_listen: AdminAddress,
    /// Send traces of rounds, looks and operations to the OpenTelemetry collector at this address, as OTLP over HTTP.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
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
    /// The Lease that replicas contend for: its holder acts, the others wait warm.
    #[arg(
        long,
        env = "LEEWARD_LEASE_NAME",
        value_name = "NAME",
        default_value = "leeward"
    )]
    lease_name: String,
    /// The namespace of the Lease. The pod's own, or that of the kubeconfig's context, if it is not given.
    #[arg(long, env = "LEEWARD_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// After its holder has crashed, the Lease is taken over after this long: whole seconds, at least 3s. The holder
    /// itself stops when it could not renew for two thirds of it, so without the Kubernetes API nobody acts.
    #[arg(
        long,
        env = "LEEWARD_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s",
        value_parser = lease_duration
    )]
    lease_duration: Duration,
    /// Spread the systems over the replicas, as this many shards with a Lease each: NAME-shard-0 and so on. As many replicas
    /// as there are shards take part, by a Lease NAME-member-0 and so on each; more wait. Replicas with another number wait
    /// until none of the others lives.
    #[arg(
        long,
        env = "LEEWARD_SHARDS",
        value_name = "NUMBER",
        default_value = "1",
        value_parser = shards
    )]
    shards: NonZeroU8,
    /// Act without a Lease. Only for a process that is certainly the only one.
    #[arg(long, conflicts_with = "shards")]
    no_lease: bool,
    /// The name of this process in events and in the Lease; a pod's own name, in a cluster.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    instance: Option<String>,
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
    let duration = duration.as_std();
    if duration < SHORTEST_LEASE || duration.subsec_nanos() != 0 {
        return Err("a lease lasts whole seconds, and at least 3s".to_owned());
    }
    i32::try_from(duration.as_secs()).map_err(|_| "a lease is shorter than that".to_owned())?;
    Ok(duration)
}

fn shards(text: &str) -> Result<NonZeroU8, String> {
    let number: Option<NonZeroU8> = text.parse().ok();
    let number = number.filter(|number| number.get() <= MOST_SHARDS);
    number.ok_or_else(|| format!("the number of shards is from 1 to {MOST_SHARDS}"))
}

/// What `leeward operator` does, resolved.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: String,
    /// Where that can be changed.
    pub admin: AdminAddress,
    /// The collector of traces, if there is one.
    pub traces: Option<String>,
    /// The operator's own configuration.
    pub operator: Config,
}

impl OperatorArgs {
    /// Resolves the arguments.
    pub fn resolve(self) -> OperatorConfig {
        // An empty environment variable counts as unset.
        let given = |text: &String| !text.trim().is_empty();
        let lease = LeaseConfig {
            name: self.lease_name,
            namespace: self.lease_namespace.filter(given),
            duration: self.lease_duration,
            shards: self.shards,
        };
        OperatorConfig {
            log_format: self.log_format,
            log_filter: self.log_level,
            admin: self.admin_listen,
            traces: self.otlp_endpoint.filter(given),
            operator: Config {
                namespaces: self.watch_namespaces.into_iter().filter(given).collect(),
                listen: self.listen,
                probe_listen: self.probe_listen,
                instance: self.instance.filter(given),
                lease: (!self.no_lease).then_some(lease),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn resolved(arguments: &[&str]) -> OperatorConfig {
        let arguments = ["leeward", "operator"].iter().chain(arguments);
        match Args::try_parse_from(arguments).unwrap().command {
            Command::Operator(args) => args.resolve(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_arguments_all_namespaces_are_watched() {
        let config = resolved(&[]);
        assert!(config.operator.namespaces.is_empty());
        assert_eq!(config.operator.listen, "[::]:8080".parse().unwrap());
        assert_eq!(config.operator.probe_listen, "[::]:8082".parse().unwrap());
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
    fn a_lease_is_wanted_unless_it_is_refused() {
        let lease = resolved(&[]).operator.lease.unwrap();
        assert_eq!(lease.name, "leeward");
        assert_eq!(lease.namespace, None);
        assert_eq!(lease.duration, Duration::from_secs(15));
        let given = ["--lease-namespace", "ops", "--lease-duration", "1m"];
        let lease = resolved(&given).operator.lease.unwrap();
        assert_eq!(lease.namespace.as_deref(), Some("ops"));
        assert_eq!(lease.duration, Duration::from_mins(1));
        assert_eq!(resolved(&["--no-lease"]).operator.lease, None);
    }

    #[test]
    fn a_lease_lasts_whole_seconds_and_at_least_three() {
        for wrong in ["2s", "3500ms", "0s", "soon", "1000000h"] {
            let arguments = ["leeward", "operator", "--lease-duration", wrong];
            assert!(Args::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }

    #[test]
    fn systems_are_spread_over_one_shard_to_sixty_four() {
        let shards = |given: &[&str]| resolved(given).operator.lease.unwrap().shards.get();
        assert_eq!(shards(&[]), 1);
        assert_eq!(shards(&["--shards", "64"]), 64);
        for wrong in [
            &["--shards", "0"][..],
            &["--shards", "65"],
            &["--shards", "4", "--no-lease"],
        ] {
            let arguments = ["leeward", "operator"].iter().chain(wrong);
            assert!(Args::try_parse_from(arguments).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_administration_listens_on_a_loopback_address_or_nowhere() {
        let admin = |given: &[&str]| resolved(given).admin.0;
        assert_eq!(admin(&[]), Some("127.0.0.1:8081".parse().unwrap()));
        assert_eq!(
            admin(&["--admin-listen", "[::1]:9"]),
            Some("[::1]:9".parse().unwrap())
        );
        assert_eq!(admin(&["--admin-listen", ""]), None);
        for wrong in ["0.0.0.0:8081", "10.0.0.1:80", "8081"] {
            let arguments = ["leeward", "operator", "--admin-listen", wrong];
            assert!(Args::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let arguments = ["leeward", "operator", "--listen", "here"];
        assert!(Args::try_parse_from(arguments).is_err());
    }
}
