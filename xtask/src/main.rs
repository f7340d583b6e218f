//! Tasks of the repository: `cargo xtask …`.

mod crds;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Tasks of the repository")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the CRDs to crds/, generated from the types in crates/api.
    Crds {
        /// Write nothing; fail if a file is not what would be generated.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Crds { check: false } => crds::write(),
        Task::Crds { check: true } => crds::check(),
    }
}
