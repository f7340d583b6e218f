//! `leeward report`: where clients are, where leaders are, and which leaders are misplaced.

mod table;

use std::time::Duration;

use jiff::Timestamp;
use leeward_nats::SystemStatus;

use super::plan::table::most_rows;
use super::{usage, worst};
use crate::args::{CommonArgs, ReportArgs, Sort};
use crate::document::{
    ClusterPart, FindingPart, PolicyReport, ReasonText, ReportDocument, RoundTripPart, SystemPart,
};
use crate::exit::LookOutcome;
use crate::judge::{Assessment, judge, samplings};
use crate::loaded_policy::LoadedPolicy;
use crate::look::{AccountSelector, LookTimeouts, Looked, look, look_and_sample};
use crate::policies::FromFiles;
use crate::{connection, output, policies, runtime};

/// Which findings are shown, and in which order.
#[derive(Clone, Copy, Debug)]
struct FindingFilter {
    sort: Sort,
    limit: usize,
}

/// Runs the command.
pub fn run(args: &ReportArgs) -> anyhow::Result<LookOutcome> {
    let CommonArgs {
        connection,
        policy,
        output,
    } = &args.common;
    usage::refuse_unsampled(args.usage, connection)?;
    let selector = match &args.account {
        Some(name) => AccountSelector::Named(name.clone()),
        None if args.all_accounts => AccountSelector::All,
        None => AccountSelector::Own,
    };
    let (policies, seen) = runtime::block_on(async {
        let subject = match selector {
            AccountSelector::All | AccountSelector::Named(_) if policy.files.is_empty() => {
                FromFiles::defaults()?.with(connection::resolve(connection)?)?
            }
            AccountSelector::Own | AccountSelector::All | AccountSelector::Named(_) => {
                policies::read(connection, policy).await?
            }
        };
        let timeouts = LookTimeouts::of(connection);
        let choose = |seen: &Looked| {
            if !args.usage {
                samplings(&subject.policies, seen)
            } else if seen.usage.is_empty() {
                usage::busiest(&subject.policies, &seen.view, args.limit)
            } else {
                Vec::new()
            }
        };
        let seen = match selector {
            AccountSelector::Own => {
                vec![look_and_sample(&subject.connections, timeouts, choose).await?]
            }
            AccountSelector::Named(_) | AccountSelector::All => {
                look(&subject.connections, &selector, timeouts).await?
            }
        };
        Ok((subject.policies, seen))
    })?;
    let wanted = FindingFilter {
        sort: args.sort,
        limit: args.limit,
    };
    let (document, found) = document(&policies, &seen, wanted, Timestamp::now());
    output::print(output.format, &document, table::render)?;
    Ok(found)
}

/// All accounts, each judged by all policies. Of many accounts, those without a stream are only counted.
fn document(
    policies: &[LoadedPolicy],
    seen: &[Looked],
    wanted: FindingFilter,
    now: Timestamp,
) -> (ReportDocument, LookOutcome) {
    let empty = |seen: &&Looked| seen.view.streams.is_empty() && seen.view.gaps.is_empty();
    let left_out = match seen {
        [] | [_] => 0,
        several => several.iter().filter(empty).count(),
    };
    let shown = seen.iter().filter(|seen| left_out == 0 || !empty(seen));
    let judged: Vec<Assessment<'_>> = shown.flat_map(|seen| judge(policies, seen, now)).collect();
    let document = ReportDocument {
        time: now,
        system: seen.iter().find_map(|seen| seen.system.as_ref()).map(system),
        reports: judged
            .iter()
            .map(|judged| policy_report(judged, wanted))
            .collect(),
        accounts_without_streams: left_out,
    };
    (document, worst(&judged))
}

fn policy_report(judged: &Assessment<'_>, wanted: FindingFilter) -> PolicyReport {
    let mut findings = judged.findings();
    sort(&mut findings, wanted.sort);
    let limit = most_rows(wanted.limit);
    let findings_omitted = findings.len().saturating_sub(limit);
    findings.truncate(limit);
    let report = &judged.report;
    PolicyReport {
        about: judged.about(),
        in_place: ReasonText::of(&report.in_place),
        in_place_of: report.in_place_of.clone(),
        home: report.home.clone(),
        locations: report.locations.clone(),
        streams: report.streams,
        consumers: report.consumers,
        findings,
        findings_omitted,
        usage: usage::parts(judged),
        gateway: report.gateway.clone(),
        advice: report.advice.clone(),
    }
}

/// Findings come sorted by gain, greatest first; equal ones keep that order. What is about no stream is last.
fn sort(findings: &mut [FindingPart], by: Sort) {
    let general = |part: &FindingPart| part.finding.stream.is_none();
    match by {
        Sort::Gain => {}
        Sort::Name => findings.sort_by(|a, b| {
            let key = |part: &FindingPart| {
                let finding = &part.finding;
                (general(part), finding.stream.clone(), finding.consumer.clone())
            };
            key(a).cmp(&key(b))
        }),
        Sort::Location => findings.sort_by_key(|part| (general(part), part.finding.location.clone())),
        // Those without a reason come first.
        Sort::Reason => findings.sort_by_key(|part| (general(part), part.finding.reason)),
    }
}

fn system(status: &SystemStatus) -> SystemPart {
    let clusters = status.clusters.iter().map(|cluster| ClusterPart {
        name: cluster.name.to_string(),
        servers: cluster.servers,
        versions: cluster.versions.iter().map(ToString::to_string).collect(),
        connections: cluster.connections,
    });
    let round_trips = status.round_trips.iter().map(|((from, to), time)| RoundTripPart {
        from: from.to_string(),
        to: to.to_string(),
        milliseconds: rounded(*time),
    });
    SystemPart {
        servers_expected: status.servers_expected,
        servers_answered: status.servers_answered,
        servers_missing: status.servers_missing.iter().map(ToString::to_string).collect(),
        clusters: clusters.collect(),
        round_trips: round_trips.collect(),
    }
}

/// Milliseconds, to the microsecond.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
