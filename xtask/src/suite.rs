//! `cargo xtask test`: every test of the workspace, and what each level of them cost.
//!
//! The same as `cargo test --workspace`, with these additions: the time of each test, which libtest reports only where
//! unstable options are allowed, and at the end a table and once more what the tests that failed said. The lines in between
//! are those of `cargo test`.

mod cost;
mod programs;
mod test_line;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cargo::program;
use crate::generated::repository;
use cost::{Cost, CpuMeter};
use programs::{Level, TestProgram};

#[derive(clap::Args)]
pub struct TestArgs {
    /// How many tests of a program run at once, where they start servers; by default as many as keep two cores busy.
    #[arg(long)]
    threads: Option<usize>,
    /// Only tests whose names contain one of these.
    filters: Vec<String>,
}

#[derive(Default)]
struct Results {
    costs: BTreeMap<Level, Cost>,
    tests: Vec<(String, Duration)>,
    broken: Vec<String>,
    /// What the tests that failed said, as libtest shows it.
    failures: Vec<String>,
}

/// Runs all programs even if one fails, and fails if one has failed.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub fn run(args: &TestArgs) -> anyhow::Result<()> {
    let mut results = Results::default();
    let meter = CpuMeter::from_the_beginning();
    let programs = programs::build()?;
    results.costs.insert(Level::Build, meter.read());
    for program in &programs {
        let meter = CpuMeter::start();
        run_program(program, args, &mut results)?;
        *results.costs.entry(program.level).or_default() += meter.read();
    }
    if args.filters.is_empty() {
        let meter = CpuMeter::start();
        run_examples(&mut results)?;
        *results.costs.entry(Level::Unit).or_default() += meter.read();
    }
    let table = cost::table(&results.costs, &results.tests);
    println!("\n{table}");
    if results.broken.is_empty() {
        return Ok(());
    }
    println!("{}", results.failures.join("\n"));
    bail!("these failed: {}", results.broken.join(", "))
}

#[expect(clippy::print_stderr, reason = "as cargo test tells it")]
fn run_program(program: &TestProgram, args: &TestArgs, results: &mut Results) -> anyhow::Result<()> {
    eprintln!("     Running {}", program.shown());
    let mut command = Command::new(&program.path);
    command
        .args(&args.filters)
        .args(["-Z", "unstable-options", "--report-time"])
        // libtest requires it for unstable options; it does not affect compilation.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_MANIFEST_DIR", &program.package)
        .current_dir(&program.package)
        .stdout(Stdio::piped());
    if let Some(threads) = program.level.threads() {
        let threads = args.threads.unwrap_or(threads);
        command.arg("--test-threads").arg(threads.to_string());
    }
    let shown = program.path.display();
    let mut child = command.spawn().with_context(|| format!("cannot run {shown}"))?;
    let output = child.stdout.take().context("a test program has no output")?;
    let mut screen = std::io::stdout().lock();
    let mut about_failures = false;
    for line in BufReader::new(output).split(b'\n') {
        let line =
            String::from_utf8_lossy(&line.context("cannot read what a test program says")?).into_owned();
        let (line, test) = test_line::read(&line);
        writeln!(screen, "{line}")?;
        about_failures = (about_failures || line == "failures:") && !line.starts_with("test result:");
        if about_failures {
            results.failures.push(line.to_owned());
        }
        if let Some((name, took)) = test {
            results.costs.entry(program.level).or_default().tests += 1;
            results.tests.push((name.to_owned(), took));
        }
    }
    if !child.wait()?.success() {
        results.broken.push(program.shown());
    }
    Ok(())
}

/// Examples in documentation comments, which only cargo can run.
fn run_examples(results: &mut Results) -> anyhow::Result<()> {
    let status = Command::new(program("CARGO", "cargo"))
        .args(["test", "--locked", "--workspace", "--no-fail-fast", "--doc"])
        .current_dir(repository())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        results
            .broken
            .push("examples in documentation comments".to_owned());
    }
    Ok(())
}
