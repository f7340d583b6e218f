//! The report as people read it: what could not be seen first, then what is wrong, then what it was judged by.

use std::collections::BTreeSet;

use leeward_api::policy_status::{AssetCounts, LocationStatus};
use leeward_api::vocabulary::Check;

use crate::document::{FindingPart, PolicyReport, ReportDocument, SystemPart};
use crate::output::{Column, Emphasis, Page, Screen, Table, Text, amount, part};

/// Fewer columns for a finding in words are not worth the lines that it takes.
const MESSAGE: usize = 40;

/// The whole document.
pub fn render(document: &ReportDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    let accounts: BTreeSet<&str> = document
        .reports
        .iter()
        .map(|report| report.about.account.id.as_str())
        .collect();
    let many = accounts.len() > 1;
    if many {
        page.table(&summary(&document.reports));
    }
    for report in &document.reports {
        if !many || needs_a_look(report) {
            one(&mut page, report);
        }
    }
    page.blank();
    if document.reports.is_empty() {
        page.line("No account has a stream.");
    }
    if document.accounts_without_streams > 0 {
        let count = amount::counted(document.accounts_without_streams as u64, "account");
        page.line(Text::of(
            Emphasis::Dim,
            format!("{count} without a stream left out."),
        ));
    }
    if let Some(system) = &document.system {
        system_part(&mut page, system);
    }
    page.finish()
}

/// Many accounts, a line for each; those that need a look follow in full.
fn summary(reports: &[PolicyReport]) -> Table {
    let mut table = Table::new([
        Column::name("ACCOUNT"),
        Column::name("HOME"),
        Column::number("SHARE"),
        Column::number("CLIENTS"),
        Column::number("IN PLACE"),
        Column::number("MISPLACED"),
        Column::number("HELD"),
        Column::word("STATE"),
    ]);
    for report in reports {
        let home = report.home.as_ref();
        let clients: i64 = report.locations.iter().map(|location| location.connections).sum();
        let (misplaced, held) = (
            report.streams.misplaced + report.consumers.misplaced,
            report.streams.held + report.consumers.held,
        );
        let account = &report.about.account;
        table.row([
            Text::of(
                Emphasis::Strong,
                account.name.as_ref().unwrap_or(&account.id).as_str(),
            ),
            home.map_or_else(|| "-".into(), |home| home.location.as_str().into()),
            home.map_or_else(|| "-".into(), |home| amount::percent(home.percent).into()),
            clients.to_string().into(),
            report.in_place_of.as_deref().unwrap_or("-").into(),
            misplaced.to_string().into(),
            held.to_string().into(),
            state(report),
        ]);
    }
    table
}

fn needs_a_look(report: &PolicyReport) -> bool {
    let wrong = |counts: &AssetCounts| counts.misplaced + counts.held > 0;
    is_incomplete(report) || wrong(&report.streams) || wrong(&report.consumers)
}

fn is_incomplete(report: &PolicyReport) -> bool {
    report.about.observed.reason != "Complete"
}

/// The word of the condition that matters most, toned.
fn state(report: &PolicyReport) -> Text {
    if is_incomplete(report) {
        return Text::of(Emphasis::Bad, report.about.observed.reason.as_str());
    }
    let tone = match report.in_place.reason.as_str() {
        "AllInPlace" => Emphasis::Good,
        "Unfixable" | "Contested" => Emphasis::Bad,
        "NothingSelected" => Emphasis::Plain,
        _ => Emphasis::Warn,
    };
    Text::of(tone, report.in_place.reason.as_str())
}

fn one(page: &mut Page, report: &PolicyReport) {
    part::about(page, &report.about);
    part::home(page, report.home.as_ref(), report.about.home_from_this_look);
    let counted = report.in_place_of.as_ref().map(|of| format!("{of}  "));
    let in_place = Text::of(Emphasis::Plain, "IN PLACE ")
        .and(Emphasis::Strong, counted.unwrap_or_default())
        .joined(state(report))
        .and(Emphasis::Plain, format!(": {}", report.in_place.message));
    page.line(in_place);
    page.blank();
    page.table(&locations(report));
    findings(page, report);
    around(page, report);
}

fn locations(report: &PolicyReport) -> Table {
    let mut table = Table::new([
        Column::name("LOCATION"),
        Column::number("SERVERS"),
        Column::number("CLIENTS"),
        Column::number("SHARE"),
        Column::number("STREAM LEADERS"),
        Column::number("CONSUMER LEADERS"),
        Column::word("NOTE"),
    ]);
    let home = report.home.as_ref().map(|home| home.location.as_str());
    for location in &report.locations {
        let LocationStatus {
            name,
            servers,
            connections,
            percent,
            stream_leaders,
            consumer_leaders,
            no_local_leader,
        } = location;
        let note = match (home == Some(name.as_str()), no_local_leader) {
            (true, _) => Text::of(Emphasis::Good, "home"),
            (false, true) => Text::of(Emphasis::Warn, "NoLocalLeader"),
            (false, false) => Text::default(),
        };
        table.row([
            name.into(),
            servers.to_string().into(),
            connections.to_string().into(),
            amount::percent(*percent).into(),
            stream_leaders.to_string().into(),
            consumer_leaders.to_string().into(),
            note,
        ]);
    }
    table
}

fn findings(page: &mut Page, report: &PolicyReport) {
    let all = report.findings.iter();
    // The share of traffic that crosses gateways has a line of its own.
    let (assets, general): (Vec<&FindingPart>, Vec<&FindingPart>) = all
        .filter(|part| part.finding.check != Check::HighGatewayShare)
        .partition(|part| part.finding.stream.is_some());
    let table = assets_table(&assets);
    if !table.is_empty() {
        page.blank();
        page.table(&table);
        let hint = match assets.as_slice() {
            [only] => format!("leeward explain {}", asset(only)),
            _ => "leeward explain STREAM[/CONSUMER]".to_owned(),
        };
        let what = if table.leaves_out(page.screen()) {
            "Why, and what to do"
        } else {
            "What to do"
        };
        page.line(Text::of(Emphasis::Dim, format!("{what}: {hint}")));
    }
    if report.findings_omitted > 0 {
        let more = amount::counted(report.findings_omitted as u64, "more finding");
        page.line(format!("{more}: --limit 0 shows all"));
    }
    if !general.is_empty() {
        page.blank();
    }
    for part in general {
        let finding = &part.finding;
        let place = finding.location.as_ref().map(|place| format!(" {place}"));
        let text = Text::of(Emphasis::Warn, finding.check.as_ref()).and(
            Emphasis::Plain,
            format!("{}: {}", place.unwrap_or_default(), finding.message),
        );
        page.line(text);
    }
}

fn asset(part: &FindingPart) -> String {
    let stream = part.finding.stream.as_deref().unwrap_or_default();
    match &part.finding.consumer {
        Some(consumer) => format!("{stream}/{consumer}"),
        None => stream.to_owned(),
    }
}

fn assets_table(parts: &[&FindingPart]) -> Table {
    let mut table = Table::new([
        Column::name("STREAM/CONSUMER"),
        Column::name("LOCATION"),
        Column::name("LEADER").spare(),
        Column::number("GAIN"),
        Column::word("REMEDY"),
        Column::word("REASON"),
        Column::text("MESSAGE").at_least(MESSAGE),
    ]);
    for part in parts {
        let finding = &part.finding;
        let reason = match finding.reason {
            Some(reason) => Text::of(Emphasis::Warn, reason.as_ref()),
            None => Text::default(),
        };
        table.row([
            asset(part).into(),
            finding.location.as_deref().unwrap_or("-").into(),
            finding.leader.as_deref().unwrap_or("-").into(),
            part.gain
                .map_or_else(|| "-".into(), |gain| amount::gain(gain).into()),
            finding.remedy.as_ref().into(),
            reason,
            finding.message.as_str().into(),
        ]);
    }
    table
}

/// What is around the account: its traffic, and what else could help.
fn around(page: &mut Page, report: &PolicyReport) {
    if report.gateway.is_none() && report.advice.is_empty() {
        return;
    }
    page.blank();
    if let Some(gateway) = &report.gateway {
        let rate = u64::try_from(gateway.bytes_per_second).unwrap_or(0);
        let share = format!(
            "GATEWAYS {} of the account's bytes cross gateways, {}  ",
            amount::percent(gateway.percent),
            amount::rate_of_bytes(rate)
        );
        let high = |part: &&FindingPart| part.finding.check == Check::HighGatewayShare;
        let check = report.findings.iter().find(high);
        let word = check.map_or("", |part| part.finding.check.as_ref());
        page.line(Text::of(Emphasis::Plain, share).and(Emphasis::Warn, word));
    }
    for advice in &report.advice {
        page.line(format!("ADVICE {}: {}", advice.kind, advice.message));
    }
}

fn system_part(page: &mut Page, system: &SystemPart) {
    page.blank();
    let all = system.servers_answered >= system.servers_expected;
    let (tone, missing) = if all {
        (Emphasis::Plain, String::new())
    } else if system.servers_missing.is_empty() {
        (Emphasis::Bad, ", the others did not answer".to_owned())
    } else {
        (
            Emphasis::Bad,
            format!(", missing: {}", system.servers_missing.join(", ")),
        )
    };
    let servers = format!(
        "{} of {} servers answered{missing}",
        system.servers_answered, system.servers_expected
    );
    page.line(Text::of(Emphasis::Plain, "SYSTEM ").and(tone, servers));
    let mut clusters = Table::new([
        Column::name("CLUSTER"),
        Column::number("SERVERS"),
        Column::number("CLIENTS"),
        Column::name("VERSION"),
    ]);
    for cluster in &system.clusters {
        clusters.row([
            cluster.name.clone(),
            cluster.servers.to_string(),
            cluster.connections.to_string(),
            cluster.versions.join(", "),
        ]);
    }
    page.table(&clusters);
    if system.round_trips.is_empty() {
        return;
    }
    page.blank();
    let mut trips = Table::new([
        Column::name("FROM"),
        Column::name("TO"),
        Column::number("ROUND TRIP"),
    ]);
    for trip in &system.round_trips {
        trips.row([
            trip.from.clone(),
            trip.to.clone(),
            amount::milliseconds(trip.milliseconds),
        ]);
    }
    page.table(&trips);
}
