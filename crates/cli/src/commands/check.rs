//! `leeward check`: the gate of a pipeline. Fails where definitions in files, or assets in a live system, are not where
//! a policy wants them.
//!
//! If files have definitions, only those are judged; a live system then provides home and servers, unless offline. The
//! live system itself is judged only where the files have nothing that could be meant as a definition.

mod account;
mod assets;
mod config;
mod definitions;
mod fields;
mod form;
mod judged;
mod junit;
mod misses;
mod notes;
mod pages;
mod part;
mod rules;
mod sarif;
mod streams;
mod table;

use std::path::PathBuf;

use anyhow::bail;
use itertools::Itertools as _;
use jiff::Timestamp;

use self::definitions::Defined;
use self::judged::{CheckContext, CheckOutcome};
use crate::args::{self, CheckArgs, CheckFormat, ConnectionArgs, PolicyArgs};
use crate::connection;
use crate::document::{CheckDocument, CheckError};
use crate::exit::{LookOutcome, print_error};
use crate::input::{self, Passed, Problem, SkipReason};
use crate::judge::judge;
use crate::loaded_policy::LoadedPolicy;
use crate::look::{LookTimeouts, look_at_own};
use crate::output::{self, Screen};
use crate::policies::{self, FromFiles};
use crate::runtime;

/// Note where no connection is configured and none was asked for.
const NOTHING_TO_CONNECT_TO: &str =
    "nothing says how to connect (--context, --server or NATS_URL), so the files were judged alone";

/// Runs the command.
pub fn run(args: &CheckArgs) -> anyhow::Result<LookOutcome> {
    refuse_empty(args.home.as_deref(), args.offline, &args.policy.files)?;
    let document = document(outcome(args)?, Timestamp::now());
    show(args.format, &document)?;
    Ok(ending(&document))
}

/// Variables of a pipeline may be empty.
fn refuse_empty(home: Option<&str>, offline: bool, files: &[PathBuf]) -> anyhow::Result<()> {
    if home.is_some_and(|home| home.trim().is_empty()) {
        bail!("--home is empty: name a location, or leave it out");
    }
    if files.is_empty() && (offline || home.is_some()) {
        bail!("-f is missing: --offline and --home are for definitions in files, so name those");
    }
    Ok(())
}

fn outcome(args: &CheckArgs) -> anyhow::Result<CheckOutcome> {
    let CheckArgs {
        connection,
        policy,
        offline,
        ..
    } = args;
    let home = args.home.as_deref();
    let input = input::read(&policy.files, &policy.exclude);
    let (found, problems) = policies::sound(&input.documents);
    let definitions = definitions::read(&input.documents);
    if policy.policy.is_some() && !found.policies.is_empty() {
        bail!("a policy is named by --policy, and files of -f have policies too: leave one of them out");
    }
    let lacks_policy = found.policies.is_empty()
        && (!problems.is_empty() || input.unbuilt.iter().any(|unbuilt| unbuilt.has_policies));
    let is_default = found.policies.is_empty() && policy.policy.is_none();
    let is_sound = problems.is_empty()
        && input.problems.is_empty()
        && definitions.problems.is_empty()
        && input.unbuilt.is_empty();
    let mut outcome = if !definitions.defined.is_empty() && lacks_policy {
        CheckOutcome::with_note(notes::NOT_JUDGED)
    } else if !definitions.defined.is_empty() {
        let wanted = wanted(found, policy, *offline)?;
        let is_default = is_default && matches!(wanted, PolicyPaths::Files(_));
        let mut outcome = check_definitions(connection, wanted, &definitions.defined, *offline, home)?;
        if is_default {
            outcome.notes.insert(0, notes::BY_DEFAULTS.to_owned());
        }
        outcome
    } else if !definitions.unread.is_empty() || !is_sound {
        CheckOutcome::default()
    } else if *offline || home.is_some() {
        CheckOutcome::with_error(nothing_defined(&policy.files, &input.passed))
    } else {
        check_assets(connection, policy, found)?
    };
    outcome.undecided.splice(0..0, definitions.unread.iter().cloned());
    outcome.notes.extend(definitions.notes.iter().cloned());
    outcome.notes.extend(notes::passed(&input.passed, &definitions));
    let unbuilt = input.unbuilt.iter().map(input::Unbuilt::problem);
    outcome.errors.extend(input.problems);
    outcome.errors.extend(unbuilt);
    outcome.errors.extend(problems);
    outcome.errors.extend(definitions.problems);
    outcome.errors.sort();
    Ok(outcome)
}

fn nothing_defined(files: &[PathBuf], passed: &[Passed]) -> Problem {
    let first = files.first().map(|path| path.display().to_string());
    Problem {
        file: first.unwrap_or_default(),
        place: None,
        text: format!(
            "--offline and --home are for definitions, and no stream and no consumer is defined in {}: name files that define some with -f",
            sources(files, passed)
        ),
    }
}

/// The named files, and which of them have no document.
fn sources(files: &[PathBuf], passed: &[Passed]) -> String {
    let names = files.iter().map(|path| path.display()).join(", ");
    let empty = passed.iter().filter(|passed| passed.why == SkipReason::Empty);
    match empty.map(|passed| &passed.file).join(", ").as_str() {
        "" => names,
        empty => format!("{names} ({empty}: no document)"),
    }
}

/// Where the policies of definitions are.
enum PolicyPaths {
    Files(FromFiles),
    Kubernetes(PolicyArgs),
}

/// As a kubectl plugin, the namespace's only policy is used where the files have none.
fn wanted(found: FromFiles, policy: &PolicyArgs, offline: bool) -> anyhow::Result<PolicyPaths> {
    let in_kubernetes = policy.policy.is_some() || (args::is_plugin() && !offline);
    if found.policies.is_empty() && in_kubernetes {
        return Ok(PolicyPaths::Kubernetes(PolicyArgs {
            files: Vec::new(),
            ..policy.clone()
        }));
    }
    Ok(PolicyPaths::Files(if found.policies.is_empty() {
        FromFiles::defaults()?
    } else {
        found
    }))
}

fn check_assets(
    connection: &ConnectionArgs,
    policy: &PolicyArgs,
    found: FromFiles,
) -> anyhow::Result<CheckOutcome> {
    let subject = runtime::block_on(async {
        if found.policies.is_empty() {
            policies::read(connection, policy).await
        } else {
            // Standard input cannot be read twice.
            found.with(connection::resolve(connection)?)
        }
    })?;
    let seen = runtime::block_on(look_at_own(&subject.connections, LookTimeouts::of(connection)))?;
    let judged = judge(&subject.policies, &seen, Timestamp::now());
    Ok(assets::judged(&seen, &judged))
}

fn check_definitions(
    connection: &ConnectionArgs,
    wanted: PolicyPaths,
    defined: &[Defined<'_>],
    offline: bool,
    home: Option<&str>,
) -> anyhow::Result<CheckOutcome> {
    let subject = match wanted {
        PolicyPaths::Kubernetes(policy) => runtime::block_on(policies::read(connection, &policy))?,
        PolicyPaths::Files(found) if offline => return Ok(alone(&found.policies, defined, home)),
        PolicyPaths::Files(found) if !connection::is_configured(connection)? => {
            let mut outcome = alone(&found.policies, defined, home);
            outcome.notes.push(NOTHING_TO_CONNECT_TO.to_owned());
            return Ok(outcome);
        }
        PolicyPaths::Files(found) => found.with(connection::resolve(connection)?)?,
    };
    let seen = runtime::block_on(look_at_own(&subject.connections, LookTimeouts::of(connection)))?;
    if let Some(home) = home {
        assets::refuse_unknown_home(home, &seen, &subject.policies)?;
    }
    let judged = judge(&subject.policies, &seen, Timestamp::now());
    let ground = CheckContext {
        policies: &subject.policies,
        live: Some((&seen, &judged)),
        home,
    };
    let mut outcome = judged::definitions(defined, &ground);
    if home.is_none() {
        outcome.undecided.extend(assets::unseen(&judged));
    }
    Ok(outcome)
}

fn alone(policies: &[LoadedPolicy], defined: &[Defined<'_>], home: Option<&str>) -> CheckOutcome {
    let ground = CheckContext {
        policies,
        live: None,
        home,
    };
    judged::definitions(defined, &ground)
}

fn document(outcome: CheckOutcome, time: Timestamp) -> CheckDocument {
    let CheckOutcome {
        checked,
        undecided,
        notes,
        errors,
    } = outcome;
    CheckDocument {
        time,
        checked,
        undecided,
        errors: errors.into_iter().map(CheckError::from).collect(),
        notes,
    }
}

/// An error wins over what could not be decided, and that over findings.
fn ending(document: &CheckDocument) -> LookOutcome {
    if !document.errors.is_empty() {
        LookOutcome::Failed
    } else if !document.undecided.is_empty() {
        LookOutcome::Incomplete
    } else if document.checked.iter().any(|one| !one.findings.is_empty()) {
        LookOutcome::Findings
    } else {
        LookOutcome::InPlace
    }
}

/// Writes the document. Errors also go to standard error unless it is a table; a table of errors only is not written.
fn show(format: CheckFormat, document: &CheckDocument) -> anyhow::Result<()> {
    let errors: Vec<String> = document.errors.iter().map(ToString::to_string).collect();
    let is_table = format == CheckFormat::Table;
    if is_table && !errors.is_empty() && document.checked.is_empty() && document.undecided.is_empty() {
        bail!(errors.join("\n"));
    }
    output::write(&written(format, document)?)?;
    if !is_table && !errors.is_empty() {
        print_error(&errors.join("\n"));
    }
    Ok(())
}

fn written(format: CheckFormat, document: &CheckDocument) -> anyhow::Result<String> {
    match format {
        CheckFormat::Table => Ok(table::render(document, Screen::unbroken())),
        CheckFormat::Json => output::json(document),
        CheckFormat::Junit => Ok(output::without_steering(&junit::render(document)?)),
        CheckFormat::Sarif => output::json(&sarif::render(document)),
    }
}

#[cfg(test)]
mod tests;
