//! The report as people read it: what could not be seen first, then what is wrong, then what it was judged by.

use itertools::Itertools as _;
use leeward_api::policy_status::{AssetCounts, LocationStatus};
use leeward_api::vocabulary::Check;

use crate::commands::plan::table::gain;
use crate::commands::usage;
use crate::document::{FindingPart, PolicyReport, ReportDocument, SystemPart};
use crate::output::{Emphasis, Page, Screen, Table, Text, amount, part};

/// A finding's message in fewer columns takes too many lines.
const MESSAGE: usize = 40;

/// The whole document.
pub fn render(document: &ReportDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    let mut accounts = document.reports.iter().map(|report| &report.about.account.id);
    let many = !accounts.all_equal();
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
        let count = amount::counted(document.accounts_without_streams, "account");
        page.dim(format!("{count} without a stream left out."));
    }
    if let Some(system) = &document.system {
        system_part(&mut page, system);
    }
    page.finish()
}

/// Many accounts, a line for each; those that need a look follow in full.
fn summary(reports: &[PolicyReport]) -> Table<'_, PolicyReport> {
    Table::of(reports)
        .name("ACCOUNT", |report| {
            let account = &report.about.account;
            let name = account.name.as_ref().unwrap_or(&account.id);
            Text::of(Emphasis::Strong, name.as_str())
        })
        .name("HOME", |report| {
            report.home.as_ref().map_or("-", |home| home.location.as_str())
        })
        .number("SHARE", |report| {
            let home = report.home.as_ref();
            home.map_or_else(|| "-".to_owned(), |home| amount::percent(home.percent))
        })
        .number("CLIENTS", |report| {
            let clients: i64 = report.locations.iter().map(|location| location.connections).sum();
            clients.to_string()
        })
        .number("IN PLACE", |report| report.in_place_of.as_deref().unwrap_or("-"))
        .number("MISPLACED", |report| {
            (report.streams.misplaced + report.consumers.misplaced).to_string()
        })
        .number("HELD", |report| {
            (report.streams.held + report.consumers.held).to_string()
        })
        .word("STATE", state)
}

fn needs_a_look(report: &PolicyReport) -> bool {
    let wrong = |counts: &AssetCounts| counts.misplaced + counts.held > 0;
    is_incomplete(report) || wrong(&report.streams) || wrong(&report.consumers)
}

fn is_incomplete(report: &PolicyReport) -> bool {
    report.about.observed.reason != "Complete"
}

/// The reason of the most important condition, coloured.
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
    if !report.usage.is_empty() {
        page.blank();
        usage::lines(page, &report.usage);
    }
    findings(page, report);
    around(page, report);
}

fn locations(report: &PolicyReport) -> Table<'_, LocationStatus> {
    let home = report.home.as_ref().map(|home| home.location.as_str());
    Table::of(&report.locations)
        .name("LOCATION", |location| location.name.as_str())
        .number("SERVERS", |location| location.servers.to_string())
        .number("CLIENTS", |location| location.connections.to_string())
        .number("SHARE", |location| amount::percent(location.percent))
        .number("STREAM LEADERS", |location| location.stream_leaders.to_string())
        .number("CONSUMER LEADERS", |location| {
            location.consumer_leaders.to_string()
        })
        .word("NOTE", |location| {
            match (home == Some(location.name.as_str()), location.no_local_leader) {
                (true, _) => Text::of(Emphasis::Good, "home"),
                (false, true) => Text::of(Emphasis::Warn, "NoLocalLeader"),
                (false, false) => Text::default(),
            }
        })
}

fn findings(page: &mut Page, report: &PolicyReport) {
    let all = report.findings.iter();
    // The share of traffic that crosses gateways has a line of its own.
    let (assets, general): (Vec<&FindingPart>, Vec<&FindingPart>) = all
        .filter(|part| part.finding.check != Check::HighGatewayShare)
        .partition(|part| part.finding.stream.is_some());
    let of_account = report.home.as_ref().map_or("-", |home| home.location.as_str());
    let table = assets_table(&assets, of_account);
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
        page.dim(format!("{what}: {hint}"));
    }
    if report.findings_omitted > 0 {
        let more = amount::counted(report.findings_omitted, "more finding");
        page.line(format!("{more}: --limit 0 shows all"));
    }
    if !general.is_empty() {
        page.blank();
    }
    for part in general {
        let finding = &part.finding;
        let place = finding.location.as_ref().map(|place| format!(" {place}"));
        let message = format!("{}: {}", place.unwrap_or_default(), finding.message);
        page.line(Text::of(Emphasis::Warn, finding.check.as_ref()).and(Emphasis::Plain, message));
    }
}

fn asset(part: &FindingPart) -> String {
    let finding = &part.finding;
    let stream = finding.stream.as_deref().unwrap_or_default();
    amount::asset(stream, finding.consumer.as_deref())
}

fn assets_table<'p>(parts: &'p [&FindingPart], of_account: &'p str) -> Table<'p, &'p FindingPart> {
    Table::of(parts)
        .name("STREAM/CONSUMER", |part| asset(part))
        .name("LOCATION", |part| part.finding.location.as_deref().unwrap_or("-"))
        .spare_name("HOME", |part| part.finding.home.as_deref().unwrap_or(of_account))
        .spare_name("LEADER", |part| part.finding.leader.as_deref().unwrap_or("-"))
        .number("GAIN", |part| gain(part.gain))
        .word("REMEDY", |part| part.finding.remedy.as_ref())
        .word("REASON", |part| {
            let reason = part.finding.reason.as_ref();
            Text::of(Emphasis::Warn, reason.map_or("", AsRef::as_ref))
        })
        .text("MESSAGE", MESSAGE, |part| part.finding.message.as_str())
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
    let (tone, missing) = if system.servers_answered >= system.servers_expected {
        (Emphasis::Plain, String::new())
    } else if system.servers_missing.is_empty() {
        (Emphasis::Bad, ", the others did not answer".to_owned())
    } else {
        let names = system.servers_missing.join(", ");
        (Emphasis::Bad, format!(", missing: {names}"))
    };
    let servers = format!(
        "{} of {} servers answered{missing}",
        system.servers_answered, system.servers_expected
    );
    page.line(Text::of(Emphasis::Plain, "SYSTEM ").and(tone, servers));
    let clusters = Table::of(&system.clusters)
        .name("CLUSTER", |cluster| cluster.name.as_str())
        .number("SERVERS", |cluster| cluster.servers.to_string())
        .number("CLIENTS", |cluster| cluster.connections.to_string())
        .name("VERSION", |cluster| cluster.versions.join(", "));
    page.table(&clusters);
    if system.round_trips.is_empty() {
        return;
    }
    page.blank();
    let trips = Table::of(&system.round_trips)
        .name("FROM", |trip| trip.from.as_str())
        .name("TO", |trip| trip.to.as_str())
        .number("ROUND TRIP", |trip| amount::milliseconds(trip.milliseconds));
    page.table(&trips);
}
