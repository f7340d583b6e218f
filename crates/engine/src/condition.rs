//! Kubernetes conditions: from typed reasons, with a transition time that changes only with the status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use leeward_api::vocabulary::ConditionReason;

/// Longer messages are cut; people read them.
const MAX_MESSAGE: usize = 1024;

/// A reason of the vocabulary and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonMessage<R> {
    /// The reason; it decides the condition's status.
    pub reason: R,
    /// For people: the state, and what to do.
    pub message: String,
}

impl<R: ConditionReason> ReasonMessage<R> {
    /// A verdict.
    pub fn new(reason: R, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Whether the condition holds.
    pub fn holds(&self) -> bool {
        self.reason.status() == leeward_api::vocabulary::ConditionStatus::True
    }
}

/// Builds the conditions of one object.
#[derive(Debug)]
pub struct Conditions<'a> {
    previous: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    built: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts from the conditions in the status so far.
    pub fn new(previous: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self {
            previous,
            generation,
            now,
            built: Vec::new(),
        }
    }

    /// Adds a condition.
    pub fn add<R: ConditionReason>(&mut self, kind: impl AsRef<str>, verdict: &ReasonMessage<R>) {
        let kind = kind.as_ref();
        let status = verdict.reason.status().to_string();
        let before = self.previous.iter().find(|before| before.type_ == kind);
        let since = before
            .filter(|before| before.status == status)
            .map_or(Time(self.now), |before| before.last_transition_time.clone());
        self.built.push(Condition {
            last_transition_time: since,
            message: cut(&verdict.message),
            observed_generation: self.generation,
            reason: verdict.reason.as_ref().to_owned(),
            status,
            type_: kind.to_owned(),
        });
    }

    /// What was added, in that order.
    pub fn finish(self) -> Vec<Condition> {
        self.built
    }
}

fn cut(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let kept: String = message.chars().take(MAX_MESSAGE - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use leeward_api::vocabulary::{ObservedReason, PolicyCondition};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn observed(previous: &[Condition], reason: ObservedReason, now: i64) -> Vec<Condition> {
        let mut conditions = Conditions::new(previous, Some(3), at(now));
        conditions.add(PolicyCondition::Observed, &ReasonMessage::new(reason, "text"));
        conditions.finish()
    }

    #[test]
    fn the_transition_time_changes_with_the_status_and_not_with_the_reason() {
        let first = observed(&[], ObservedReason::WarmingUp, 10);
        assert_eq!(first[0].status, "False");
        assert_eq!(first[0].last_transition_time.0, at(10));
        let other_reason = observed(&first, ObservedReason::Stale, 20);
        assert_eq!(other_reason[0].reason, "Stale");
        assert_eq!(other_reason[0].last_transition_time.0, at(10));
        let other_status = observed(&other_reason, ObservedReason::Complete, 30);
        assert_eq!(other_status[0].last_transition_time.0, at(30));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let verdict = ReasonMessage::new(ObservedReason::Stale, "ü".repeat(5000));
        let mut conditions = Conditions::new(&[], None, at(0));
        conditions.add(PolicyCondition::Observed, &verdict);
        assert_eq!(conditions.finish()[0].message.chars().count(), MAX_MESSAGE);
    }
}
