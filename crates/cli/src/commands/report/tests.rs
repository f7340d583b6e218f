use leeward_core::names::ConsumerName;
use leeward_core::snapshot::{Gap, Traffic};
use leeward_core::usage::{SampledClient, StreamSampling, UseKind, UseSample};
use serde_json::json;

use super::*;
use crate::judge::fixtures::{consumer, free, loaded, noon, orders, seen, stream};
use crate::output::Screen;

const ALL: FindingFilter = FindingFilter {
    sort: Sort::Gain,
    limit: 0,
};

fn screen(width: usize) -> Screen {
    Screen { width, colour: false }
}

/// The demo's account with a stream that cannot move, names as people give them, and traffic.
fn busy() -> Looked {
    let mut view = orders();
    let mut large = stream(&view, "AUDIT-EVENTS-2026", &["ap-south-0"]);
    large.bytes = 40 << 30;
    large.message_rate = Some(3.0);
    large.consumers = vec![consumer(&view, "archive-to-cold-storage", &["ap-south-0"])];
    view.streams.push(large);
    view.traffic = Some(Traffic {
        bytes: 10 << 20,
        gateway_bytes: 4 << 20,
        span_milliseconds: 2000,
    });
    view.normalize();
    seen(view)
}

fn limited() -> LoadedPolicy {
    let mut spec = free();
    spec["actions"]["streamPlacement"]["maxBytes"] = json!("10Gi");
    loaded("orders", spec)
}

fn reported(seen: &[Looked], wanted: FindingFilter) -> (ReportDocument, LookOutcome) {
    document(&[limited()], seen, wanted, noon())
}

#[test]
fn the_report_at_eighty_columns() {
    let (document, found) = reported(&[busy()], ALL);
    assert_eq!(found, LookOutcome::Findings);
    insta::assert_snapshot!(table::render(&document, screen(80)));
}

#[test]
fn the_report_at_a_hundred_and_forty_columns() {
    let (document, _) = reported(&[busy()], ALL);
    insta::assert_snapshot!(table::render(&document, screen(140)));
}

/// The busy account, with samples of two of its streams and a third that could not be sampled.
fn sampled() -> Looked {
    let mut seen = busy();
    let client = |server: &str, connection| SampledClient {
        server: server.into(),
        connection,
        user: None,
        name: None,
    };
    let sample = |kind, of: Option<&str>, messages, clients: &[(SampledClient, u32)]| UseSample {
        kind,
        consumer: of.map(ConsumerName::from),
        span: Duration::from_millis(160),
        messages,
        independent: messages,
        clients: clients.iter().cloned().collect(),
        asked: clients
            .iter()
            .map(|(client, requests)| (client.clone(), u64::from(*requests) * 100))
            .collect(),
        asked_by_all: u64::from(messages) * 100,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    };
    let orders = vec![
        sample(
            UseKind::Publish,
            None,
            16,
            &[(client("us-east-0", 1), 12), (client("eu-west-0", 2), 4)],
        ),
        sample(UseKind::Pull, Some("billing"), 4, &[(client("us-east-1", 3), 4)]),
    ];
    let unseen = vec![sample(UseKind::Publish, None, 3, &[])];
    let denied = "the account's user may not subscribe to PAYMENTS.>".to_owned();
    for (stream, samples, problem) in [
        ("ORDERS", orders, None),
        ("AUDIT-EVENTS-2026", unseen, None),
        ("PAYMENTS", Vec::new(), Some(denied)),
    ] {
        let sampling = StreamSampling {
            at: seen.view.observed_at,
            samples,
            problem,
            is_blind: false,
            skipped: 0,
            is_idle: false,
        };
        seen.usage.add(stream.into(), sampling);
    }
    seen
}

#[test]
fn the_use_of_streams_is_shown_by_location_with_how_much_of_their_traffic_it_explains() {
    let (document, _) = reported(&[sampled()], ALL);
    let text = table::render(&document, screen(120));
    let from = text.find("STREAM  ").unwrap();
    insta::assert_snapshot!(&text[from..from + text[from..].find("\n\n").unwrap()]);
}

#[test]
fn the_busiest_streams_that_a_policy_selects_are_sampled() {
    let view = busy().view;
    let names = |policies: &[LoadedPolicy], limit| -> Vec<String> {
        let names = usage::busiest(policies, &view, limit);
        names.iter().map(|sampling| sampling.stream.to_string()).collect()
    };
    let all = names(&[limited()], 0);
    assert!(all.len() > 2 && all[0] == "ORDERS", "{all:?}");
    assert_eq!(names(&[limited()], 1), ["ORDERS"]);
    let mut spec = free();
    spec["streams"] = json!({"include": ["AUDIT-*"]});
    assert_eq!(names(&[loaded("audit", spec)], 0), ["AUDIT-EVENTS-2026"]);
    assert_eq!(names(&[], 0), [""; 0]);
}

#[test]
fn what_is_missing_is_said_first() {
    let mut view = orders();
    view.gaps.push(Gap::ServerMissing {
        server: "eu-west-0".into(),
    });
    let (document, found) = reported(&[seen(view)], ALL);
    assert_eq!(found, LookOutcome::Incomplete);
    let text = table::render(&document, screen(80));
    let second = text.lines().nth(1).unwrap();
    assert!(
        second.starts_with("INCOMPLETE (ServersMissing): server eu-west-0"),
        "{text}"
    );
}

#[test]
fn of_many_accounts_each_has_a_line_and_those_that_need_a_look_follow() {
    let mut fine = orders();
    fine.account = "fine".into();
    fine.streams.retain(|stream| stream.name.as_str() == "PAYMENTS");
    let mut empty = orders();
    empty.account = "empty".into();
    empty.streams.clear();
    let (document, found) = reported(&[busy(), seen(empty), seen(fine)], ALL);
    assert_eq!(found, LookOutcome::Findings);
    assert_eq!(document.accounts_without_streams, 1);
    insta::assert_snapshot!(table::render(&document, screen(80)));
}

#[test]
fn findings_are_sorted_and_limited_as_asked_and_the_rest_is_counted() {
    let names = |wanted: FindingFilter| -> Vec<String> {
        let (document, _) = reported(&[busy()], wanted);
        let findings = document.reports[0].findings.iter();
        findings
            .map(|part| {
                let finding = &part.finding;
                let of = finding.stream.as_deref().unwrap_or(finding.check.as_ref());
                format!("{of}/{}", finding.consumer.as_deref().unwrap_or("-"))
            })
            .collect()
    };
    let by = |sort| names(FindingFilter { sort, limit: 0 });
    assert_eq!(
        by(Sort::Gain),
        [
            "ORDERS/-",
            "AUDIT-EVENTS-2026/archive-to-cold-storage",
            "ORDERS/billing",
            "ORDERS/mail",
            "AUDIT-EVENTS-2026/-",
            "HighGatewayShare/-",
        ]
    );
    assert_eq!(by(Sort::Name)[0], "AUDIT-EVENTS-2026/-");
    assert_eq!(by(Sort::Location)[0], "AUDIT-EVENTS-2026/archive-to-cold-storage");
    assert_eq!(by(Sort::Reason)[0], "ORDERS/-");
    assert_eq!(by(Sort::Reason)[5], "HighGatewayShare/-");
    let two = FindingFilter {
        sort: Sort::Gain,
        limit: 2,
    };
    assert_eq!(names(two).len(), 2);
    let (document, _) = reported(&[busy()], two);
    assert_eq!(document.reports[0].findings_omitted, 4);
    assert!(table::render(&document, screen(80)).contains("4 more findings: --limit 0 shows all"));
}

#[test]
fn json_and_yaml_say_the_same_and_can_be_read_again() {
    let (document, _) = reported(&[busy()], ALL);
    let json = output::json(&document).unwrap();
    let again: ReportDocument = serde_json::from_str(&json).unwrap();
    assert_eq!(again, document);
    let yaml = output::yaml(&document).unwrap();
    let again: ReportDocument = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(again, document);
    assert!(
        json.contains("\"gain\": 14040.0") || json.contains("\"gain\": 7800.0"),
        "{json}"
    );
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let mut view = orders();
    let name = "a-stream-with-a-name-that-nobody-would-type-twice-".repeat(5);
    let mut long = stream(&view, &name, &["eu-west-0"]);
    long.consumers = vec![consumer(&view, &"日本語の消費者".repeat(9), &["eu-west-0"])];
    view.streams.push(long);
    view.normalize();
    let (document, _) = reported(&[seen(view)], ALL);
    for width in [40, 64, 80, 100, 140, 200] {
        for line in table::render(&document, screen(width)).lines() {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} at {width}: {line}");
        }
    }
}
