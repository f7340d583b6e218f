//! Reads the arguments of the process: which environment variables count, and whether kubectl runs it as its plugin
//! `kubectl-leeward`.
//!
//! An empty variable counts as not set. A credentials variable is ignored where a flag gives another kind of
//! credentials.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::Args;

const NAME: &str = "kubectl-leeward";
/// Arguments with credentials, by kind.
const KINDS: [&[&str]; 4] = [&["user", "password"], &["token"], &["creds"], &["nkey"]];

/// Reads the arguments of this process; help shows the typed name.
pub fn parse() -> Result<Args, clap::Error> {
    parse_from(std::env::args_os().collect())
}

/// Whether kubectl started this process.
pub fn is_plugin() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|program| is_named(&program))
}

fn is_named(program: &OsString) -> bool {
    Path::new(program).file_stem().is_some_and(|name| name == NAME)
}

fn parse_from(words: Vec<OsString>) -> Result<Args, clap::Error> {
    let is_empty = |variable: &OsStr| std::env::var_os(variable).is_some_and(|value| value.is_empty());
    let mut command = without(Args::command(), &|_, variable| is_empty(variable));
    if words.first().is_some_and(is_named) {
        command = command.bin_name("kubectl leeward");
    }
    let matches = command.clone().try_get_matches_from(&words)?;
    let outranked = outranked(&matches);
    command = without(command, &|id, _| outranked.contains(&id));
    let mut matches = command.try_get_matches_from_mut(words)?;
    Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The command without the variables that `chosen` selects by the argument's id and the variable's name.
fn without(command: Command, chosen: &dyn Fn(&str, &OsStr) -> bool) -> Command {
    let command = command.mut_args(|arg| {
        if arg
            .get_env()
            .is_some_and(|variable| chosen(arg.get_id().as_str(), variable))
        {
            arg.env(None::<&str>)
        } else {
            arg
        }
    });
    command.mut_subcommands(|subcommand| without(subcommand, chosen))
}

/// Arguments whose variables are ignored, since flags give another kind of credentials.
fn outranked(matches: &ArgMatches) -> Vec<&'static str> {
    let Some((_, matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let is_typed = |id: &&str| {
        matches.ids().any(|present| present.as_str() == *id)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let (typed, others): (Vec<&[&str]>, Vec<&[&str]>) =
        KINDS.into_iter().partition(|kind| kind.iter().any(is_typed));
    if typed.is_empty() {
        return Vec::new();
    }
    others.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_says_what_was_typed() {
        let usage = |program: &str, words: &[&str]| {
            let words = [program].iter().chain(words).map(OsString::from).collect();
            parse_from(words).unwrap_err().to_string()
        };
        let plugin = usage("/usr/bin/kubectl-leeward", &["--help"]);
        assert!(plugin.contains("Usage: kubectl leeward <COMMAND>"), "{plugin}");
        let nested = usage("kubectl-leeward", &["suspend"]);
        assert!(nested.contains("Usage: kubectl leeward suspend"), "{nested}");
        let plain = usage("leeward", &["--help"]);
        assert!(plain.contains("Usage: leeward <COMMAND>"), "{plain}");
    }

    fn report(words: &[&str]) -> ArgMatches {
        let words = ["leeward", "report"].iter().chain(words);
        Args::command().try_get_matches_from(words).unwrap()
    }

    #[test]
    fn a_typed_kind_of_credentials_outranks_the_variables_of_all_others() {
        let outranked = |words: &[&str]| outranked(&report(words));
        assert_eq!(
            outranked(&["--creds", "x"]),
            ["user", "password", "token", "nkey"]
        );
        assert_eq!(outranked(&["--password", "x"]), ["token", "creds", "nkey"]);
        assert_eq!(
            outranked(&["--creds", "x", "--token", "y"]),
            ["user", "password", "nkey"]
        );
        assert!(outranked(&["--server", "x"]).is_empty());
    }

    #[test]
    fn a_variable_that_does_not_count_is_not_read_for_any_command() {
        let command = without(Args::command(), &|id, variable| {
            id == "creds" || variable == "NATS_NKEY"
        });
        let report = command.find_subcommand("report").unwrap();
        let variables: Vec<_> = report.get_arguments().filter_map(clap::Arg::get_env).collect();
        assert!(variables.contains(&OsStr::new("NATS_USER")), "{variables:?}");
        assert!(!variables.contains(&OsStr::new("NATS_CREDS")), "{variables:?}");
        assert!(!variables.contains(&OsStr::new("NATS_NKEY")), "{variables:?}");
    }
}
