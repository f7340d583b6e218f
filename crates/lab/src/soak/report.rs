//! The result of a soak, for display.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::disturb::Disturbance;
use super::judge::Violation;

/// Operations that ended, by action and result, as operators logged them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionCounts(BTreeMap<(String, String), u64>);

#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SoakReport {
    pub site: String,
    pub published: u64,
    pub acknowledged: u64,
    /// By all consumers.
    pub delivered: u64,
    /// Acknowledged and not in the stream, or not delivered.
    pub lost: u64,
    /// In a stream more than once.
    pub doubled: u64,
    pub publish_stall: Duration,
    pub actions: ActionCounts,
    /// Requests of Leeward that the servers saw.
    pub requests: usize,
    pub largest_status: usize,
    pub disturbances: BTreeMap<Disturbance, u64>,
    pub violations: Vec<Violation>,
    /// The policy's final status.
    pub ended: String,
}

impl SoakReport {
    /// Nothing lost, nothing doubled, every promise kept; and there was something to check.
    pub fn is_clean(&self) -> bool {
        let kept = self.lost == 0 && self.doubled == 0 && self.violations.is_empty();
        kept && self.acknowledged > 0 && self.requests > 0
    }
}

impl ActionCounts {
    /// Of every operator that wrote to this log.
    pub(super) fn in_log(lines: &[Value]) -> Self {
        let mut actions = BTreeMap::<_, u64>::new();
        for line in lines.iter().filter(|line| line["message"] == "operation ended") {
            let word = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            *actions.entry((word("action"), word("result"))).or_default() += 1;
        }
        Self(actions)
    }
}

impl fmt::Display for ActionCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        let each: Vec<String> = self
            .0
            .iter()
            .map(|((action, result), count)| format!("{action} {result} {count}"))
            .collect();
        formatter.write_str(&each.join(", "))
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disturbances: Vec<String> = self
            .disturbances
            .iter()
            .map(|(disturbance, count)| format!("{} {count}", disturbance.name()))
            .collect();
        let stall = format!("{:.1} s", self.publish_stall.as_secs_f64());
        let rows: [(&str, &dyn fmt::Display); 11] = [
            ("published", &self.published),
            ("acknowledged", &self.acknowledged),
            ("delivered", &self.delivered),
            ("lost", &format!("{} (must be 0)", self.lost)),
            ("doubled", &format!("{} (must be 0)", self.doubled)),
            ("worst publish stall", &stall),
            ("actions", &self.actions),
            ("requests to servers", &self.requests),
            ("largest status", &format!("{} bytes", self.largest_status)),
            ("disturbances", &disturbances.join(", ")),
            ("in the end", &self.ended),
        ];
        writeln!(formatter, "{}", self.site)?;
        for (label, value) in rows {
            writeln!(formatter, "  {label:<20}  {value}")?;
        }
        let violations = self.violations.len();
        write!(
            formatter,
            "  {:<20}  {violations} (must be 0)",
            "invariant violations"
        )?;
        for violation in &self.violations {
            write!(formatter, "\n    {violation}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_are_counted_by_action_and_result() {
        let ended = |action: &str, result: &str| json!({"message": "operation ended", "action": action, "result": result});
        let log = [
            ended("StreamPlacement", "Succeeded"),
            json!({"message": "operation started", "action": "StreamPlacement"}),
            ended("StreamPlacement", "TimedOut"),
            ended("StreamPlacement", "Succeeded"),
        ];
        assert_eq!(
            ActionCounts::in_log(&log).to_string(),
            "StreamPlacement Succeeded 2, StreamPlacement TimedOut 1"
        );
        assert_eq!(ActionCounts::default().to_string(), "none");
    }

    #[test]
    fn a_loss_a_double_and_a_violation_are_not_clean() {
        let clean = SoakReport {
            acknowledged: 1,
            requests: 1,
            ..SoakReport::default()
        };
        assert!(clean.is_clean() && !SoakReport::default().is_clean());
        assert!(
            !SoakReport {
                lost: 1,
                ..clean.clone()
            }
            .is_clean()
        );
        assert!(
            !SoakReport {
                doubled: 1,
                ..clean.clone()
            }
            .is_clean()
        );
        let violation = Violation {
            invariant: "P8",
            what: String::new(),
        };
        let violations = vec![violation];
        assert!(!SoakReport { violations, ..clean }.is_clean());
    }
}
