//! What a person does about each value: how to see it, what to do. Data beside the values, for the manual and the
//! command line.
//!
//! A value without a runbook does not compile: every vocabulary that people look up is matched exhaustively. What a
//! value means is its own `explanation()`; the layout of the texts is up to the reader.

mod events;
mod findings;
mod plans;
mod policy;
mod system;

use super::{
    AcceptedReason, ActionResult, ActionType, AdviceKind, ApprovedBy, ApprovedReason, Check, ConditionReason,
    ConnectedReason, DegradedReason, EventReason, FindingReason, InPlaceReason, ObservedReason,
    PlanCondition, PlanState, PolicyCondition, ProgressingReason, ReasonClass, Remedy, ResolvedRefsReason,
    ReviewDecision, SkipReason, SystemCondition, VocabularyValue,
};
/// What to do where all is well.
const NOTHING: &str = "Nothing.";

/// What a person does about a value. Both texts are Markdown, in one paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runbook {
    /// How to see it: where it is shown, and what NATS shows for it.
    pub see: &'static str,
    /// What to do.
    pub act: &'static str,
}

/// A value that people look up.
pub trait Explained: VocabularyValue {
    /// What to do about it.
    fn runbook(self) -> Runbook;
}

/// The values of one vocabulary, each with its runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// What the values are.
    pub title: &'static str,
    /// The type of the values, such as `ProgressingReason`.
    pub vocabulary: &'static str,
    /// Where they are shown.
    pub shown: &'static str,
    /// What distinguishes these values from equal ones of another chapter, such as `Progressing`; none where people
    /// look first.
    pub qualifier: Option<&'static str>,
    /// In the vocabulary's order.
    pub entries: Vec<Entry>,
}

/// Everything about one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub word: &'static str,
    /// What kind of value it is, in a few words of its own; empty where there is only one kind.
    pub kind: String,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub runbook: Runbook,
}

/// The values of a vocabulary that need no runbook, each with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glossary {
    /// What the values are.
    pub title: &'static str,
    /// Where they are shown.
    pub shown: &'static str,
    /// Value and meaning, in the vocabulary's order.
    pub words: Vec<(&'static str, &'static str)>,
}

/// Everything that people look up, what they meet first at the beginning.
pub fn chapters() -> Vec<Chapter> {
    let mut chapters = vec![findings(), checks()];
    chapters.extend(conditions());
    chapters.extend([results(), plans(), events()]);
    chapters
}

fn findings() -> Chapter {
    Chapter {
        title: "Reasons of findings",
        vocabulary: FindingReason::VOCABULARY,
        shown: "In `status.findings[].reason` of a PlacementPolicy, counted in the message of its condition `InPlace`, \
                and in `status.recentActions[].reason`. The first word of each paragraph is its class: *fine*; *soft*, it \
                passes by itself; *policy*, a person's choice stands against it; *hard*, it cannot be done as the system \
                is now.",
        qualifier: None,
        entries: entries(|reason: FindingReason| reason.class().as_ref().to_lowercase()),
    }
}

fn checks() -> Chapter {
    Chapter {
        title: "Checks",
        vocabulary: Check::VOCABULARY,
        shown: "In `status.findings[].check` of a PlacementPolicy: what a finding is about.",
        qualifier: None,
        entries: entries(|_: Check| String::new()),
    }
}

fn conditions() -> [Chapter; 8] {
    [
        condition::<AcceptedReason>(PolicyCondition::Accepted, "Reasons of Accepted"),
        condition::<ResolvedRefsReason>(PolicyCondition::ResolvedRefs, "Reasons of ResolvedRefs"),
        Chapter {
            shown: "In the condition `Observed` of a PlacementPolicy and of a NatsSystem.",
            ..condition::<ObservedReason>(PolicyCondition::Observed, "Reasons of Observed")
        },
        condition::<InPlaceReason>(PolicyCondition::InPlace, "Reasons of InPlace"),
        Chapter {
            shown: "In the condition `Approved` of a PlacementPolicy of mode `Propose`, and of a PlacementPlan.",
            ..condition::<ApprovedReason>(PolicyCondition::Approved, "Reasons of Approved")
        },
        condition::<ProgressingReason>(PolicyCondition::Progressing, "Reasons of Progressing"),
        condition::<DegradedReason>(PolicyCondition::Degraded, "Reasons of Degraded"),
        Chapter {
            shown: "In the condition `Connected` of a NatsSystem.",
            ..condition::<ConnectedReason>(SystemCondition::Connected, "Reasons of Connected")
        },
    ]
}

fn condition<W: Explained + ConditionReason>(
    condition: impl Into<&'static str>,
    title: &'static str,
) -> Chapter {
    let condition: &'static str = condition.into();
    Chapter {
        title,
        vocabulary: W::VOCABULARY,
        shown: "In the condition of that name of a PlacementPolicy.",
        qualifier: Some(condition),
        entries: entries(|reason: W| format!("{condition} is {}", reason.status())),
    }
}

fn results() -> Chapter {
    Chapter {
        title: "Results of actions",
        vocabulary: ActionResult::VOCABULARY,
        shown: "In `status.recentActions[].result` of a PlacementPolicy, and in the label `result` of the metric \
                `leeward_actions_total`.",
        qualifier: Some("Result"),
        entries: entries(|_: ActionResult| String::new()),
    }
}

fn plans() -> Chapter {
    Chapter {
        title: "States of plans",
        vocabulary: PlanState::VOCABULARY,
        shown: "In `status.state` of a PlacementPlan, as the reason of its condition `Complete`, and in `status.approval.state` \
                of its PlacementPolicy.",
        qualifier: Some("Plan"),
        entries: entries(|state: PlanState| if state.has_ended() { "Ended" } else { "" }.to_owned()),
    }
}

fn events() -> Chapter {
    Chapter {
        title: "Events",
        vocabulary: EventReason::VOCABULARY,
        shown: "In `kubectl describe plp NAME` and `kubectl events --for placementpolicy/NAME`.",
        qualifier: Some("Event"),
        entries: entries(|event: EventReason| if event.warning() { "Warning" } else { "Normal" }.to_owned()),
    }
}

/// The values that need no more than their meaning.
pub fn glossaries() -> Vec<Glossary> {
    vec![
        glossary::<ReasonClass>("Classes of reasons", "Each reason of a finding belongs to one."),
        glossary::<Remedy>("Remedies", "In `status.findings[].remedy` of a PlacementPolicy."),
        glossary::<ActionType>(
            "Actions",
            "In `status.operations[].type` and `status.recentActions[].type` of a PlacementPolicy, and in `actions` of \
             its budgets and windows.",
        ),
        glossary::<AdviceKind>("Advice", "In `status.advice[].kind` of a PlacementPolicy."),
        glossary::<ReviewDecision>(
            "Reviews",
            "In `spec.review.decision` of a PlacementPlan: what a person writes.",
        ),
        glossary::<ApprovedBy>("Approvals", "In `status.approval.through` of a PlacementPlan."),
        glossary::<SkipReason>(
            "Skipped actions",
            "In `status.actions[].skipped` of a PlacementPlan.",
        ),
        glossary::<PlanCondition>(
            "Conditions of a PlacementPlan",
            "In its `status.conditions[].type`.",
        ),
        glossary::<PolicyCondition>(
            "Conditions of a PlacementPolicy",
            "In its `status.conditions[].type`.",
        ),
        glossary::<SystemCondition>("Conditions of a NatsSystem", "In its `status.conditions[].type`."),
    ]
}

fn entries<W: Explained>(kind: impl Fn(W) -> String) -> Vec<Entry> {
    W::iter()
        .map(|word| Entry {
            word: word.into(),
            kind: kind(word),
            meaning: word.meaning(),
            runbook: word.runbook(),
        })
        .collect()
}

fn glossary<W: VocabularyValue>(title: &'static str, shown: &'static str) -> Glossary {
    Glossary {
        title,
        shown,
        words: W::iter().map(|word| (word.into(), word.meaning())).collect(),
    }
}

#[cfg(test)]
mod tests;
