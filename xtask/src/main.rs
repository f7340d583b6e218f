//! Tasks of the repository: `cargo xtask …`.

mod cargo;
mod chart;
mod cli;
#[cfg(test)]
mod commands;
mod crds;
#[cfg(test)]
mod dependencies;
mod digest;
mod docs;
#[cfg(test)]
mod facts;
mod generated;
mod image;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod links;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod modules;
#[cfg(test)]
mod names;
mod sbom;
mod schemas;
#[cfg(test)]
mod sources;
mod suite;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod workflows;

use clap::{Parser, Subcommand};

use generated::Generated;

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
        #[command(flatten)]
        how: GenerateArgs,
    },
    /// Write docs/: the manual from the vocabulary in crates/api, the reference of the command line and the schemas of
    /// its documents from the types in crates/cli.
    Docs {
        #[command(flatten)]
        how: GenerateArgs,
    },
    /// Build and run every test of the workspace, and say what each level of them cost and which were the slowest.
    Test(suite::TestArgs),
    /// Write the container image as an OCI archive, and its SBOM.
    Image(Box<image::ImageArgs>),
}

#[derive(clap::Args)]
struct GenerateArgs {
    /// Write nothing; fail if a file is not what would be generated.
    #[arg(long)]
    check: bool,
}

impl GenerateArgs {
    fn apply(&self, files: &[Generated], task: &str) -> anyhow::Result<()> {
        if self.check {
            generated::check(files, task)
        } else {
            generated::write(files)
        }
    }
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Image(args) => image::run(&args),
        Task::Test(args) => suite::run(&args),
        Task::Crds { how } => how.apply(&crds::generate()?, "crds"),
        Task::Docs { how } => {
            let files = [
                docs::generate()?,
                cli::generate()?,
                schemas::generate()?,
                vec![chart::generate()?],
            ];
            how.apply(&files.concat(), "docs")
        }
    }
}
