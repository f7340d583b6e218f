//! Checks the recording of a run against what Leeward promises. Pure: the recorder observes, this judges.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Time since the run began.
pub type Elapsed = Duration;

/// What the policy and its system allow.
#[derive(Clone, Copy, Debug)]
pub struct SoakRules {
    pub max_concurrent: usize,
    pub moves: usize,
    pub cooldown: Duration,
    pub budget: usize,
    pub per: Duration,
    /// Bytes.
    pub largest_status: usize,
}

/// A request of Leeward for a change, as the servers saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    pub at: Elapsed,
    pub account: String,
    /// Such as `$JS.API.STREAM.UPDATE.ORDERS`.
    pub subject: String,
    /// The first half of a repair, which removes a placement to set it again (nats-facts N21): it belongs to the
    /// second.
    pub first_half: bool,
}

/// A policy's status at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSeen {
    pub at: Elapsed,
    pub bytes: usize,
    pub operations: usize,
    /// Operations that are moves.
    pub moves: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Elapsed,
    pub to: Elapsed,
}

/// Everything that was recorded in a run.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The account that the policy is for.
    pub account: String,
    /// In the order in which they arrived.
    pub requests: Vec<RecordedRequest>,
    pub statuses: Vec<StatusSeen>,
    pub kills: Vec<Elapsed>,
    /// When there was no Kubernetes API to write a status to.
    pub without_kube: Vec<Span>,
    /// From when the status reports the policy as suspended until it is resumed.
    pub suspended: Vec<Span>,
    /// Since when everything was healthy and in place, with nothing left to do.
    pub done: Option<Elapsed>,
    /// Other violations, as the recorder saw them at once.
    pub seen: Vec<Violation>,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant of ARCHITECTURE.md.
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.what)
    }
}

/// What a killed operator did this shortly before may not have been recorded in the status.
const RECORD_DELAY: Duration = Duration::from_secs(5);
/// Leadership transfers are asked for this soon after the edit of the placement that they belong to, and so often of one leader.
const TRANSFERS: (Duration, usize) = (Duration::from_mins(1), 3);
/// A step-down is asked for again this soon where the leader stays, and so often in all.
const REPEATS: (Duration, usize) = (Duration::from_secs(6), 3);
/// A request arrives at most this much later than it was sent.
const UNDER_WAY: Duration = Duration::from_secs(2);

type InvariantCheck = fn(&Recording, &SoakRules) -> Vec<Violation>;

/// Every promise that can be checked from outside.
const CHECKS: [InvariantCheck; 8] = [
    nothing_while_suspended,
    nothing_once_in_place,
    within_the_budget,
    one_request_per_cooldown,
    few_operations_at_once,
    only_step_downs_and_placement_edits,
    only_in_its_account,
    small_status,
];

/// The violations; empty is good.
pub fn judge(evidence: &Recording, rules: &SoakRules) -> Vec<Violation> {
    let found = CHECKS.iter().flat_map(|check| check(evidence, rules));
    evidence.seen.iter().cloned().chain(found).collect()
}

fn nothing_while_suspended(evidence: &Recording, _: &SoakRules) -> Vec<Violation> {
    let during = |request: &&RecordedRequest| {
        let within = |span: &Span| span.from + UNDER_WAY < request.at && request.at < span.to;
        evidence.suspended.iter().any(within)
    };
    let requests = evidence.requests.iter().filter(during);
    let what = |request: &RecordedRequest| format!("{} while suspended", request.when());
    violations("P8", requests.map(what))
}

fn nothing_once_in_place(evidence: &Recording, _: &SoakRules) -> Vec<Violation> {
    let after = |request: &&RecordedRequest| evidence.done.is_some_and(|done| request.at > done);
    let requests = evidence.requests.iter().filter(after);
    let what = |request: &RecordedRequest| format!("{} although all was in place", request.when());
    violations("P2", requests.map(what))
}

/// Each request counts at least from when it is sent until its span is over.
fn within_the_budget(evidence: &Recording, rules: &SoakRules) -> Vec<Violation> {
    let span = rules.per.saturating_sub(UNDER_WAY);
    let over = evidence.requests.iter().filter_map(|last| {
        let from = last.at.saturating_sub(span);
        let counted = evidence
            .requests
            .iter()
            .filter(|request| request.at > from && request.at <= last.at && evidence.counts(request))
            .filter(|request| !evidence.record_lost(request.at, last.at))
            .count();
        (counted > rules.budget).then(|| {
            let within = rules.per.as_secs();
            format!("{counted} requests in the {within} s up to {}", seconds(last.at))
        })
    });
    violations("P3", over)
}

fn one_request_per_cooldown(evidence: &Recording, rules: &SoakRules) -> Vec<Violation> {
    let mut latest: BTreeMap<&str, Elapsed> = BTreeMap::new();
    let mut hasty = Vec::new();
    for request in evidence
        .requests
        .iter()
        .filter(|request| evidence.counts(request))
    {
        let Some(asset) = asset(&request.subject) else {
            continue;
        };
        if let Some(before) = latest.insert(asset, request.at) {
            let rested = request.at.saturating_sub(before);
            if rested + UNDER_WAY < rules.cooldown && !evidence.record_lost(before, request.at) {
                hasty.push(format!(
                    "{asset} was asked at {} and at {}, a cooldown is {} s",
                    seconds(before),
                    seconds(request.at),
                    rules.cooldown.as_secs()
                ));
            }
        }
    }
    violations("P5", hasty.into_iter())
}

fn few_operations_at_once(evidence: &Recording, rules: &SoakRules) -> Vec<Violation> {
    let over = |seen: &&StatusSeen| seen.operations > rules.max_concurrent || seen.moves > rules.moves;
    let what = |seen: &StatusSeen| {
        let (operations, moves, at) = (seen.operations, seen.moves, seconds(seen.at));
        format!("{operations} operations, {moves} of them moves, at {at}")
    };
    violations("P3", evidence.statuses.iter().filter(over).map(what))
}

fn only_step_downs_and_placement_edits(evidence: &Recording, _: &SoakRules) -> Vec<Violation> {
    let other = |request: &&RecordedRequest| !may_be_sent(&request.subject);
    let requests = evidence.requests.iter().filter(other);
    let what = |request: &RecordedRequest| format!("it asked for {}", request.subject);
    violations("P7", requests.map(what))
}

fn may_be_sent(subject: &str) -> bool {
    asset(subject).is_some() || subject.contains("CANCEL_MOVE")
}

fn only_in_its_account(evidence: &Recording, _: &SoakRules) -> Vec<Violation> {
    let foreign = |request: &&RecordedRequest| request.account != evidence.account;
    let requests = evidence.requests.iter().filter(foreign);
    let what = |request: &RecordedRequest| format!("{} in account {:?}", request.subject, request.account);
    violations("P11", requests.map(what))
}

fn small_status(evidence: &Recording, rules: &SoakRules) -> Vec<Violation> {
    let large = |seen: &&StatusSeen| seen.bytes > rules.largest_status;
    let what = |seen: &StatusSeen| format!("a status of {} bytes at {}", seen.bytes, seconds(seen.at));
    violations("P12", evidence.statuses.iter().filter(large).map(what))
}

impl RecordedRequest {
    fn when(&self) -> String {
        format!("{} at {}", self.subject, seconds(self.at))
    }
}

impl Recording {
    /// Whether it is an operation of its own.
    fn counts(&self, request: &RecordedRequest) -> bool {
        !request.first_half && !self.is_transfer(request) && !self.is_repeat(request)
    }

    /// Whether it is part of the attempt that an earlier request of the same process began. During a move there are no attempts
    /// but the move.
    fn is_repeat(&self, request: &RecordedRequest) -> bool {
        if stepped_down(&request.subject).is_none() || self.edit_before(request).is_some() {
            return false;
        }
        let (soon, most) = REPEATS;
        let others = self.requests.iter().rev();
        let earlier = others.skip_while(|other| !std::ptr::eq(*other, request)).skip(1);
        let earlier =
            earlier.filter(|other| (&other.account, &other.subject) == (&request.account, &request.subject));
        let mut since = request.at;
        let in_a_row = earlier.take_while(|other| {
            let is_soon = since.saturating_sub(other.at) <= soon;
            let was_killed = self.kills.iter().any(|kill| (other.at..=since).contains(kill));
            since = other.at;
            is_soon && !was_killed
        });
        in_a_row.count() % most != 0
    }

    /// Whether it is part of a move: a step-down of the moving stream or of one of its consumers.
    fn is_transfer(&self, request: &RecordedRequest) -> bool {
        let Some(moved) = self.edit_before(request) else {
            return false;
        };
        let since = self
            .requests
            .iter()
            .filter(|other| moved.at <= other.at && other.at <= request.at);
        let (_, most) = TRANSFERS;
        since.filter(|other| other.subject == request.subject).count() <= most
    }

    /// The edit that moved the stream of a step-down shortly before it.
    fn edit_before(&self, request: &RecordedRequest) -> Option<&RecordedRequest> {
        let asked = stepped_down(&request.subject)?;
        let stream = asked.split('.').next().unwrap_or(asked);
        let edit = format!("$JS.API.STREAM.UPDATE.{stream}");
        let (span, _) = TRANSFERS;
        let before = |other: &&RecordedRequest| other.at <= request.at && request.at <= other.at + span;
        let mut edits = self.requests.iter().filter(before);
        edits.rfind(|other| other.subject == edit)
    }

    /// Whether a killed operator lost its record of what it did at `at`, before `later`.
    fn record_lost(&self, at: Elapsed, later: Elapsed) -> bool {
        self.kills.iter().any(|kill| {
            let known_until = self.recorded_until(kill.saturating_sub(RECORD_DELAY));
            known_until <= at && at <= *kill && *kill <= later
        })
    }

    /// Nothing was recorded while there was no Kubernetes API, nor shortly before.
    fn recorded_until(&self, moment: Elapsed) -> Elapsed {
        let away = self
            .without_kube
            .iter()
            .find(|away| away.from <= moment && moment <= away.to + RECORD_DELAY);
        away.map_or(moment, |away| away.from.saturating_sub(RECORD_DELAY))
    }
}

/// The stream or consumer of a step-down.
fn stepped_down(subject: &str) -> Option<&str> {
    asset(subject).filter(|_| subject.contains(".LEADER.STEPDOWN."))
}

/// The stream (`STREAM`) or consumer (`STREAM.CONSUMER`) of a step-down or an edit.
pub fn asset(subject: &str) -> Option<&str> {
    [
        "$JS.API.STREAM.UPDATE.",
        "$JS.API.STREAM.LEADER.STEPDOWN.",
        "$JS.API.CONSUMER.LEADER.STEPDOWN.",
        "$JS.API.CONSUMER.PEER.EVACUATE.",
    ]
    .iter()
    .find_map(|prefix| subject.strip_prefix(prefix))
}

fn violations(invariant: &'static str, found: impl Iterator<Item = String>) -> Vec<Violation> {
    found.map(|what| Violation { invariant, what }).collect()
}

fn seconds(moment: Elapsed) -> String {
    format!("{:.1} s", moment.as_secs_f64())
}

#[cfg(test)]
mod tests;
