//! Leeward's verdicts on streams, against who really uses them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command;

use super::scene::{BUSY, HOME, UseScene, Users, streams};
use crate::folder::write_file;
use crate::leeward::{binary, manifests};
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, SYSTEM_ACCOUNT, SYSTEM_USER};

/// What a policy needs by default to let a stream's own clients decide.
const COVERAGE_PERCENT: u64 = 80;

/// Verdicts on the streams of one kind of users.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdicts {
    pub(super) streams: usize,
    /// Enough is known of who uses them.
    pub(super) covered: usize,
    /// In place next to their users, or to be moved there.
    pub(super) right: usize,
    /// Of those that are covered.
    pub(super) right_of_covered: usize,
    /// In place far from their users.
    pub(super) left: usize,
    /// To be moved away from their users.
    pub(super) away: usize,
    /// They stay for a reason, wherever they are.
    pub(super) held: usize,
}

#[derive(Debug, Default)]
pub(super) struct VerdictsByUsers {
    pub(super) by_users: BTreeMap<Users, Verdicts>,
    pub(super) reasons: BTreeMap<String, usize>,
    /// Of each stream that would be moved away from its users: what was seen of its use.
    pub(super) mistakes: Vec<String>,
}

impl VerdictsByUsers {
    pub(super) fn total(&self) -> Verdicts {
        let mut total = Verdicts::default();
        for verdicts in self.by_users.values() {
            total.streams += verdicts.streams;
            total.covered += verdicts.covered;
            total.right += verdicts.right;
            total.right_of_covered += verdicts.right_of_covered;
            total.left += verdicts.left;
            total.away += verdicts.away;
            total.held += verdicts.held;
        }
        total
    }
}

/// What `leeward report` said under a policy without limits.
pub(super) struct TimedReport {
    document: Value,
    pub(super) took: Duration,
}

impl TimedReport {
    fn list(&self, name: &str) -> &[Value] {
        let list = self.document["reports"][0][name].as_array();
        list.map_or(&[], Vec::as_slice)
    }
}

/// The verdicts of a report on the busy streams that are used; which of them are covered is in the report that shows use.
pub(super) fn verdicts(report: &TimedReport, shows_use: &TimedReport) -> VerdictsByUsers {
    let mut all = VerdictsByUsers::default();
    let (findings, used) = (report.list("findings"), shows_use.list("use"));
    for known in streams().take(BUSY) {
        let Some(belongs) = known.users.majority() else {
            continue;
        };
        let row = all.by_users.entry(known.users).or_default();
        let of_it = |one: &&Value| one["stream"] == known.name.as_str();
        let coverage = used
            .iter()
            .find(of_it)
            .and_then(|one| one["coveragePercent"].as_u64());
        let is_covered = coverage.is_some_and(|percent| percent >= COVERAGE_PERCENT);
        let is_leader = |one: &&Value| of_it(one) && one["check"] == "StreamLeaderMisplaced";
        let finding = findings.iter().find(is_leader);
        row.streams += 1;
        row.covered += usize::from(is_covered);
        let is_next_to_users = known.led_from == belongs;
        let destination = match finding {
            None => known.led_from,
            Some(finding) => {
                if let Some(reason) = finding["reason"].as_str() {
                    row.held += 1;
                    *all.reasons.entry(reason.to_owned()).or_default() += 1;
                    continue;
                }
                finding["home"].as_str().unwrap_or(HOME)
            }
        };
        let is_right = destination == belongs;
        row.right += usize::from(is_right);
        row.right_of_covered += usize::from(is_right && is_covered);
        row.left += usize::from(!is_right && finding.is_none());
        if !is_right && is_next_to_users {
            row.away += 1;
            let seen = used.iter().find(of_it).unwrap_or(&Value::Null);
            all.mistakes
                .push(format!("{} to {destination}: {seen}", known.name));
        }
    }
    all
}

/// One look with homes of this scope; where streams have their own, with samples of all that are busy.
pub(super) async fn report(scene: &UseScene, scope: &str) -> anyhow::Result<TimedReport> {
    let began = Instant::now();
    let system = scene.system();
    let spec = json!({"home": {"scope": scope}, "streams": {"include": ["busy-*"]}});
    let policy = manifests::placement_policy("bench", "bench", spec);
    let file = system.config_home().join(format!("{scope}.yaml"));
    write_file(&file, &policy.to_string())?;
    let account = system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, HOME)?;
    let system_account = system.nats_context(SYSTEM_ACCOUNT, SYSTEM_USER, HOME)?;
    let mut command = Command::new(binary()?);
    command
        .args(["report", "--output", "json", "--limit", "0", "--sample", "10s"])
        .args(["--context", &account, "--system-context", &system_account])
        .arg("--filename")
        .arg(&file)
        .env_clear()
        .env("XDG_CONFIG_HOME", system.config_home())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if scope == "Stream" {
        command.arg("--use");
    }
    let output = command.output().await.context("cannot run leeward report")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let document = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("leeward report ended with {}: {stderr}", output.status))?;
    Ok(TimedReport {
        document,
        took: began.elapsed(),
    })
}
