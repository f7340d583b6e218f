//! How results are written.

use crate::output::Format;
use clap::ValueEnum;

/// How results are written.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// How results are written; JSON and YAML follow the schemas in docs/schemas.
    #[arg(short = 'o', long = "output", value_enum, default_value = "table")]
    pub format: Format,
}

/// How `leeward check` writes findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A table for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// `JUnit` XML, one test case for each definition or asset.
    Junit,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}
