//! `leeward`: the one binary.

mod args;
mod crds;
mod exit;
mod logs;
mod operator;

use args::{Args, Command};
use clap::Parser as _;

fn main() -> std::process::ExitCode {
    exit::code(match Args::parse().command {
        Command::Operator(args) => operator::run(args.resolve()),
        Command::Crds => crds::print(),
        Command::Version => crds::print_version(),
    })
}
