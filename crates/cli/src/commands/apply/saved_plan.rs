//! A plan that `leeward plan` wrote, read again as what was approved, and what of it was not begun.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use leeward_core::names::{AccountId, AssetName};
use leeward_core::proposal::ProposedAction;
use leeward_core::propose::{ProposalChange, ProposedState, states};

use crate::document::{LeftOutPart, LeftOutState, PlanDocument, PolicyPlan, ProposedPart};
use crate::judge::Assessment;
use crate::loaded_policy::{LoadedPolicy, name_of};
use crate::output::amount;

/// A larger file is no plan: one of 20,000 actions has some ten megabytes.
const MOST_BYTES: u64 = 64 << 20;

/// Plans as they were saved.
#[derive(Debug)]
pub(super) struct SavedPlan {
    file: String,
    document: PlanDocument,
}

impl SavedPlan {
    /// Reads a file; one that was edited is refused.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display().to_string();
        let document = parse(&text(path).with_context(|| format!("{file} cannot be read"))?)
            .with_context(|| format!("{file} is not a plan: write one with `leeward plan -o json`"))?;
        for plan in &document.plans {
            let by = plan.identity.as_deref().unwrap_or(&plan.about.policy);
            let (proposal, account) = (plan.proposal(), AccountId::from(plan.about.account.id.as_str()));
            let is_as_written = match &plan.id {
                Some(id) => proposal.may_have(id, by, &account),
                None => proposal.actions.is_empty(),
            };
            if !is_as_written {
                bail!(
                    "{file}: the plan of policy {} was changed after it was made: its id is {}, what it proposes has {}. \
                     Apply it as `leeward plan -o json` wrote it, or make a new one",
                    plan.about.policy,
                    plan.id.as_deref().unwrap_or("missing"),
                    proposal.id(by, &account, &[]).as_deref().unwrap_or("none"),
                );
            }
        }
        Ok(Self { file, document })
    }

    /// Lets the policies do what was approved of each, and nothing else.
    pub(super) fn approve(&self, policies: &mut [LoadedPolicy]) -> anyhow::Result<()> {
        let saved: BTreeSet<&str> = self
            .document
            .plans
            .iter()
            .map(|plan| plan.about.policy.as_str())
            .collect();
        if saved.len() != self.document.plans.len() {
            bail!("{} has two plans of one policy: make a new one", self.file);
        }
        let given: BTreeSet<String> = policies.iter().map(name_of).collect();
        if saved.iter().any(|name| !given.contains(*name)) || given.len() != saved.len() {
            bail!(
                "{} has plans of {}, but {} was given: give the policies that it was made with",
                self.file,
                amount::names(&saved, MOST_NAMED),
                amount::names(&given, MOST_NAMED),
            );
        }
        for loaded in policies {
            let name = name_of(loaded);
            let plan = self.document.plans.iter().find(|plan| plan.about.policy == name);
            loaded.approved = plan.map(PolicyPlan::proposal);
            loaded.approved_id = plan.and_then(|plan| plan.id.clone());
        }
        Ok(())
    }

    /// An error if the plan is of another account than the one that was seen.
    pub(super) fn require_account(&self, judged: &[Assessment<'_>]) -> anyhow::Result<()> {
        for judged in judged {
            let seen = &judged.seen.account;
            let other = self
                .document
                .plans
                .iter()
                .find(|plan| plan.about.account.id != seen.id.as_str());
            if let Some(plan) = other {
                bail!(
                    "{} is a plan of account {}, but this connection is of account {}: connect as it was made",
                    self.file,
                    plan.about.account.id,
                    seen.id,
                );
            }
        }
        Ok(())
    }
}

/// Policies named at most.
const MOST_NAMED: usize = 5;

fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        bail!("it has more than {} MiB", MOST_BYTES >> 20);
    }
    Ok(text)
}

fn parse(text: &str) -> anyhow::Result<PlanDocument> {
    if text.trim_start().starts_with('{') {
        Ok(serde_json::from_str(text)?)
    } else {
        Ok(serde_saphyr::from_str(text)?)
    }
}

/// What was approved and not begun, as the last look shows it.
pub(super) fn left_out(after: &Assessment<'_>, begun: impl Fn(&AssetName) -> bool) -> Vec<LeftOutPart> {
    let Some(approved) = &after.loaded.approved else {
        return Vec::new();
    };
    let states = states(approved, &after.context(), &after.decision.evaluation);
    let part = |(asset, proposed): (&AssetName, &ProposedAction)| {
        let (state, reason, message) = left_out_state(*states.get(asset)?, proposed)?;
        (!begun(asset)).then(|| LeftOutPart {
            proposed: ProposedPart::new(asset, proposed),
            state,
            reason,
            message,
        })
    };
    approved.actions.iter().filter_map(part).collect()
}

/// Whether all that was approved is done, as the last look shows it.
pub(super) fn is_done(after: &Assessment<'_>) -> bool {
    after.loaded.approved.as_ref().is_none_or(|approved| {
        let states = states(approved, &after.context(), &after.decision.evaluation);
        states.values().all(|state| *state == ProposedState::Done)
    })
}

/// `None` for what may begin: it is listed with what is left.
fn left_out_state(
    state: ProposedState,
    proposed: &ProposedAction,
) -> Option<(LeftOutState, Option<String>, String)> {
    let to = &proposed.to;
    let changed = |change: ProposalChange, message: String| {
        let word: &'static str = change.into();
        Some((LeftOutState::Changed, Some(word.to_owned()), message))
    };
    match state {
        ProposedState::Due => None,
        ProposedState::Done => Some((LeftOutState::Done, None, format!("{to} leads it already"))),
        ProposedState::Waits(reason) => Some((
            LeftOutState::Waits,
            Some(reason.to_string()),
            reason.explanation().to_owned(),
        )),
        ProposedState::Changed(ProposalChange::Held(reason)) => Some((
            LeftOutState::Changed,
            Some(reason.to_string()),
            reason.explanation().to_owned(),
        )),
        ProposedState::Changed(change @ ProposalChange::Gone) => {
            changed(change, "it does not exist any more".to_owned())
        }
        ProposedState::Changed(change @ ProposalChange::NotSelected) => changed(
            change,
            "the policy does not select it any more, or its owner opted out".to_owned(),
        ),
        ProposedState::Changed(change @ ProposalChange::HomeChanged) => {
            changed(change, format!("{to} is not its home any more"))
        }
        ProposedState::Changed(change @ ProposalChange::LeaderChanged) => changed(
            change,
            format!(
                "it is not led from {} any more",
                proposed
                    .from
                    .as_ref()
                    .map_or("where it was", |from| from.as_str())
            ),
        ),
        ProposedState::Changed(change @ ProposalChange::ActionChanged) => {
            changed(change, "another action would bring it home now".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
