//! The program: reads its arguments, runs the command that they name, and ends with its exit code.

use std::process::ExitCode;

use leeward_api::vocabulary::ReviewDecision;

use crate::args::{self, Command};
use crate::exit::{LookOutcome, NotSeen, print_error, words};
use crate::logs::panics;
use crate::{commands, crds, operator};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    panics::silence_client_panics();
    let args = match args::parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and the version are no errors; everything else is 1, since clap's own 2 means findings here.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match dispatch(args.command) {
        Ok(found) => ExitCode::from(found.code()),
        Err(error) => {
            print_error(&words(error.chain()));
            let failed = if error.is::<NotSeen>() {
                LookOutcome::Incomplete
            } else {
                LookOutcome::Failed
            };
            ExitCode::from(failed.code())
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<LookOutcome> {
    let done = |()| LookOutcome::InPlace;
    match command {
        Command::Report(args) => commands::report::run(&args),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Apply(args) => commands::apply::run(&args),
        Command::Run(args) => commands::run::run(args).map(done),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Watch(args) => commands::watch::run(&args).map(done),
        Command::Suspend(args) => commands::switch::suspend(&args).map(done),
        Command::Resume(args) => commands::switch::resume(&args).map(done),
        Command::Approve(args) => commands::review::run(&args, ReviewDecision::Approved).map(done),
        Command::Reject(args) => commands::review::run(&args, ReviewDecision::Rejected).map(done),
        Command::Cancel(args) => commands::review::run(&args, ReviewDecision::Cancelled).map(done),
        Command::Operator(args) => operator::run(args.resolve()).map(done),
        Command::LogLevel(args) => commands::loglevel::run(&args).map(done),
        Command::Crds => crds::print().map(done),
        Command::Completion { shell } => commands::shell::completion(shell).map(done),
        Command::Man { folder } => commands::shell::man(&folder).map(done),
        Command::Version => crds::print_version().map(done),
    }
}
