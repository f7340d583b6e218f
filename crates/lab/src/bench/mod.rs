//! `leeward-lab bench`: what Leeward costs and gains, side by side with what people do without it, in one run.

mod converge;
mod field;
mod moved;
mod report;
mod rest;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// How fast leaders come home.
    Converge,
    /// What clients feel while a stream moves.
    Move,
    /// What it takes to see where everything is led from.
    Report,
}

/// Runs these sections and prints them.
pub async fn run(sections: &[Section]) -> anyhow::Result<()> {
    for section in sections {
        match section {
            Section::Converge => Box::pin(converge::run()).await?,
            Section::Move => Box::pin(moved::run()).await?,
            Section::Report => Box::pin(report::run()).await?,
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what a benchmark is for")]
fn say(text: &str) {
    println!("{text}");
}
