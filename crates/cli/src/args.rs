//! Arguments as typed; each is resolved in the module of its command.

mod connection;
mod operator;
mod output;
mod plugin;
mod policy;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use leeward_api::duration::GoDuration;

use crate::logs::LogFormat;
use crate::logs::admin::AdminAddress;
pub use connection::ConnectionArgs;
pub use operator::{OperatorArgs, OperatorConfig};
pub use output::{CheckFormat, OutputArgs};
pub use plugin::{is_plugin, parse};
pub use policy::{KubernetesArgs, PolicyArgs};

/// Keeps NATS JetStream leaders next to the clients that use them.
///
/// Exit codes: 0 everything is in place, 2 something is not, 3 not everything could be seen, 1 an error.
#[derive(Debug, Parser)]
#[command(name = "leeward", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where clients are and where leaders are, and which leaders are misplaced.
    Report(ReportArgs),
    /// Show what would be done, in order and when, and every asset that stays where it is, with its reason.
    Plan(PlanArgs),
    /// Carry one plan out, after asking.
    Apply(ApplyArgs),
    /// Keep leaders in place: the operator's loop, from policy files and without Kubernetes.
    Run(RunArgs),
    /// Explain one stream or consumer: where it is, who uses it, what was decided and why, what would change it.
    Explain(ExplainArgs),
    /// Fail when definitions in files, or assets in a live system, are not where a policy wants them.
    ///
    /// With streams or consumers in the files of -f (objects of NACK, or JSON as `nats stream add --config` reads and
    /// `nats stream info --json` prints it) those are judged, and the live system only tells home and tags; the policy may be
    /// in the files or in Kubernetes (--policy). With policies only, the live system is judged. An error in one file hides
    /// nothing of the others; it wins over what cannot be told, and that over findings.
    Check(CheckArgs),
    /// Watch the policies of a Kubernetes cluster, with operations in flight.
    Watch(WatchArgs),
    /// Stop a policy in Kubernetes from acting; it goes on reporting.
    Suspend(SwitchArgs),
    /// Let a suspended policy in Kubernetes act again.
    Resume(SwitchArgs),
    /// Approve a plan of a policy in mode Propose: the operator carries out that and nothing else.
    Approve(ReviewArgs),
    /// Reject a plan: it is not proposed again until something else would be done, or its time has passed.
    Reject(ReviewArgs),
    /// Begin nothing more of a plan that was approved; what has begun ends by itself.
    Cancel(ReviewArgs),
    /// Run the Kubernetes operator.
    Operator(OperatorArgs),
    /// Show or change what a running operator logs.
    LogLevel(LogLevelArgs),
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages to a folder.
    #[command(hide = true)]
    Man {
        /// The folder; it must exist.
        folder: std::path::PathBuf,
    },
    /// Print the version.
    Version,
}

/// Arguments of the commands that judge an account.
#[derive(Debug, clap::Args)]
#[command(mut_arg("policy", |arg| arg.conflicts_with("files")))]
pub struct CommonArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `leeward report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Report on every account that has streams; needs the system account (--system-context).
    #[arg(short = 'A', long, conflicts_with_all = ["policy", "files", "account"])]
    pub all_accounts: bool,
    /// Report on this account, by id or name, as the system account sees it (--system-context).
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["policy"])]
    pub account: Option<String>,
    /// What findings are sorted by.
    #[arg(long, value_enum, default_value = "gain")]
    pub sort: Sort,
    /// Show at most this many findings of each policy; 0 shows all.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
    /// Show who uses each stream, from where: samples a few messages of the busiest streams, as many as --limit says.
    #[arg(long = "use", conflicts_with_all = ["all_accounts", "account"])]
    pub usage: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What findings are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// The greatest gain first: message rate times round trip saved.
    #[default]
    Gain,
    /// By stream and consumer.
    Name,
    /// By the location that leads.
    Location,
    /// By the reason that stands against the remedy.
    Reason,
}

/// Arguments of `leeward plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Show at most this many rows of each table; 0 shows all.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub limit: usize,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of `leeward apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// Do not ask.
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Carry out what this plan proposes and nothing else, without asking: as `leeward plan -o json` wrote it. What has
    /// changed since is left out, with the reason.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of `leeward run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// PlacementPolicy objects as YAML or JSON: a file, a folder, or - for standard input; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub files: Vec<std::path::PathBuf>,
    /// Keep each policy's status here, as YAML: what was done and what limits is read from it at the next start. Without
    /// it both are forgotten at the end.
    #[arg(long, value_name = "FILE", env = "LEEWARD_STATUS_FILE")]
    pub status_file: Option<std::path::PathBuf>,
    /// Look at everything this often, and at changes in between.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub interval: GoDuration,
    /// How log lines are written.
    #[arg(long, env = "LEEWARD_LOG_FORMAT", value_enum, default_value = "plain")]
    pub log_format: LogFormat,
    /// What is logged: a level such as info, or filters for parts of the program.
    #[arg(
        long,
        env = "LEEWARD_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log_level: String,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `leeward explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The stream, or one of its consumers.
    #[arg(value_name = "STREAM[/CONSUMER]")]
    pub asset: String,
    /// Show who uses it, from where: samples a few of its messages.
    #[arg(long = "use")]
    pub usage: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of `leeward check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Look at the files alone and connect to nothing.
    #[arg(long, conflicts_with = "policy")]
    pub offline: bool,
    /// Judge definitions against this home instead of the one that clients make.
    #[arg(long, value_name = "LOCATION")]
    pub home: Option<String>,
    /// How findings are written.
    #[arg(short = 'o', long = "output", value_enum, default_value = "table")]
    pub format: CheckFormat,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Arguments of `leeward watch`.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// This policy only, as NAME or NAMESPACE/NAME.
    #[arg(value_name = "POLICY")]
    pub policy: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Arguments of `leeward suspend` and `leeward resume`.
#[derive(Debug, clap::Args)]
pub struct SwitchArgs {
    /// The policy, as NAME or NAMESPACE/NAME.
    #[arg(value_name = "POLICY")]
    pub policy: String,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Arguments of `leeward approve`, `leeward reject` and `leeward cancel`.
#[derive(Debug, clap::Args)]
pub struct ReviewArgs {
    /// The plan, by its name, as NAME or NAMESPACE/NAME, or by its id.
    #[arg(value_name = "PLAN")]
    pub plan: String,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Arguments of `leeward log-level`. In a cluster: `kubectl exec deploy/leeward -- /leeward log-level debug`.
#[derive(Debug, clap::Args)]
pub struct LogLevelArgs {
    /// What is to be logged from now on, until the process ends: off, error, warn, info, debug, trace, or TARGET=LEVEL for a
    /// part of the program, with commas between. Without it nothing changes.
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Where the operator's administration listens (its --admin-listen).
    #[arg(
        long,
        env = "LEEWARD_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081"
    )]
    pub admin: AdminAddress,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn only_check_takes_files_beside_a_policy_in_kubernetes() {
        let parse = |words: &[&str]| {
            let words = ["leeward"]
                .iter()
                .chain(words)
                .chain(&["--policy", "a", "-f", "b"]);
            Args::try_parse_from(words)
        };
        for refused in [
            &["report"][..],
            &["plan"],
            &["apply"],
            &["explain", "A"],
            &["check", "--offline"],
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
        parse(&["check"]).unwrap();
    }
}
