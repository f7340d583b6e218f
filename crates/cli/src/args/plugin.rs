//! The same program as a plugin of kubectl, which finds it by the name `kubectl-leeward`.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::Args;

const NAME: &str = "kubectl-leeward";

/// Reads the arguments of this process; help says what was typed.
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
    let mut command = Args::command();
    if words.first().is_some_and(is_named) {
        command = command.bin_name("kubectl leeward");
    }
    let mut matches = command.try_get_matches_from_mut(words)?;
    Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
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
}
