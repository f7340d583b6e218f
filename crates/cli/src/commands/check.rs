//! `leeward check`: the gate of a pipeline. Fails where definitions in files, or assets in a live system, are not where a
//! policy wants them.
//!
//! Files with definitions are judged and nothing else; a live system tells home and servers then, unless nothing is to be
//! connected to. The live system itself is judged only where the files have nothing that could be meant as a definition.

mod definitions;
mod judged;
mod junit;
mod part;
mod rules;
mod sarif;
mod table;

use anyhow::bail;
use jiff::Timestamp;

use self::definitions::Defined;
use self::judged::{Ground, Outcome};
use crate::args::{self, CheckArgs, CheckFormat, ConnectionArgs, PolicyArgs};
use crate::connection;
use crate::document::CheckDocument;
use crate::exit::Found;
use crate::input::{self, Document};
use crate::judge::judge;
use crate::look::{Patience, look_at_own};
use crate::output::{self, Screen};
use crate::policies::{self, FromFiles, Given};
use crate::runtime;

/// Said where nothing says how to connect and nobody asked for that.
const NOTHING_TO_CONNECT_TO: &str =
    "nothing says how to connect (--context, --server or NATS_URL), so the files were judged alone";

/// Runs the command.
pub fn run(args: CheckArgs) -> anyhow::Result<Found> {
    let CheckArgs {
        offline,
        home,
        format,
        connection,
        policy,
    } = args;
    let documents = input::read(&policy.files)?;
    let (found, said) = input::both(
        policies::from_documents(&documents),
        definitions::read(&documents),
    )?;
    if policy.policy.is_some() && !found.policies.is_empty() {
        bail!("a policy is named by --policy, and files of -f have policies too: leave one of them out");
    }
    let mut outcome = if !said.defined.is_empty() {
        let wanted = wanted(found, &policy, offline)?;
        check_definitions(&connection, wanted, &said.defined, offline, home.as_deref())?
    } else if !said.unread.is_empty() {
        Outcome::default()
    } else if offline || home.is_some() {
        bail!(
            "--offline and --home are for definitions, and {} defines no stream and no consumer: name files that do with -f",
            sources(&documents)
        );
    } else {
        check_assets(&connection, &policy, found)?
    };
    outcome.undecided.splice(0..0, said.unread);
    let document = document(outcome, Timestamp::now());
    output::write(&written(format, &document)?)?;
    Ok(ending(&document))
}

fn sources(documents: &[Document]) -> String {
    match documents.first() {
        Some(document) => document.file.clone(),
        None => "nothing that was given".to_owned(),
    }
}

/// Where the policies of definitions are.
enum Wanted {
    Files(FromFiles),
    Kubernetes(PolicyArgs),
}

/// As a plugin of kubectl, the only policy of the namespace is meant where none is in the files.
fn wanted(found: FromFiles, policy: &PolicyArgs, offline: bool) -> anyhow::Result<Wanted> {
    let in_kubernetes = policy.policy.is_some() || (args::is_plugin() && !offline);
    if found.policies.is_empty() && in_kubernetes {
        return Ok(Wanted::Kubernetes(PolicyArgs {
            files: Vec::new(),
            ..policy.clone()
        }));
    }
    Ok(Wanted::Files(if found.policies.is_empty() {
        FromFiles::defaults()?
    } else {
        found
    }))
}

fn check_assets(
    connection: &ConnectionArgs,
    policy: &PolicyArgs,
    found: FromFiles,
) -> anyhow::Result<Outcome> {
    let subject = runtime::block_on(async {
        if found.policies.is_empty() {
            policies::read(connection, policy).await
        } else {
            // Standard input cannot be read twice.
            found.with(connection::resolve(connection)?)
        }
    })?;
    let seen = runtime::block_on(look_at_own(&subject.connections, Patience::of(connection)))?;
    let judged = judge(&subject.policies, &seen, Timestamp::now());
    Ok(judged::assets(&seen, &judged))
}

fn check_definitions(
    connection: &ConnectionArgs,
    wanted: Wanted,
    defined: &[Defined<'_>],
    offline: bool,
    home: Option<&str>,
) -> anyhow::Result<Outcome> {
    let subject = match wanted {
        Wanted::Kubernetes(policy) => runtime::block_on(policies::read(connection, &policy))?,
        Wanted::Files(found) if offline => return Ok(alone(&found.policies, defined, home)),
        Wanted::Files(found) if !connection::is_told(connection)? => {
            let mut outcome = alone(&found.policies, defined, home);
            outcome.notes.push(NOTHING_TO_CONNECT_TO.to_owned());
            return Ok(outcome);
        }
        Wanted::Files(found) => found.with(connection::resolve(connection)?)?,
    };
    let seen = runtime::block_on(look_at_own(&subject.connections, Patience::of(connection)))?;
    if let Some(home) = home {
        judged::refuse_unknown_home(home, &seen, &subject.policies)?;
    }
    let judged = judge(&subject.policies, &seen, Timestamp::now());
    let ground = Ground {
        policies: &subject.policies,
        live: Some((&seen, &judged)),
        home,
    };
    let mut outcome = judged::definitions(defined, &ground);
    if home.is_none() {
        outcome.undecided.extend(judged::unseen(&judged));
    }
    Ok(outcome)
}

fn alone(policies: &[Given], defined: &[Defined<'_>], home: Option<&str>) -> Outcome {
    let ground = Ground {
        policies,
        live: None,
        home,
    };
    judged::definitions(defined, &ground)
}

fn document(outcome: Outcome, time: Timestamp) -> CheckDocument {
    let Outcome {
        checked,
        undecided,
        notes,
    } = outcome;
    CheckDocument {
        time,
        checked,
        undecided,
        notes,
    }
}

fn ending(document: &CheckDocument) -> Found {
    if !document.undecided.is_empty() {
        Found::Incomplete
    } else if document
        .checked
        .iter()
        .any(|checked| !checked.findings.is_empty())
    {
        Found::Findings
    } else {
        Found::InPlace
    }
}

fn written(format: CheckFormat, document: &CheckDocument) -> anyhow::Result<String> {
    match format {
        CheckFormat::Table => Ok(table::render(document, Screen::stdout())),
        CheckFormat::Json => output::json(document),
        CheckFormat::Junit => junit::render(document),
        CheckFormat::Sarif => output::json(&sarif::render(document)),
    }
}

#[cfg(test)]
mod tests;
