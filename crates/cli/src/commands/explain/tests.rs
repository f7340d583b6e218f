use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{Account, RecentAction};
use leeward_api::vocabulary::runbook::Explained;
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason};
use leeward_core::snapshot::{AccountView, Gap};
use leeward_core::usage::{Sampled, SampledClient, StreamSampling, UseKind, UseSample};
use serde_json::json;

use super::*;
use crate::judge::fixtures::{consumer, free, loaded, noon, orders, seen, stream};
use crate::output::Screen;

fn explained(
    policies: &[LoadedPolicy],
    view: AccountView,
    name: &str,
) -> anyhow::Result<(ExplainDocument, LookOutcome)> {
    document(policies, &seen(view), &parse(name).unwrap(), noon())
}

fn answer(name: &str) -> (ExplainDocument, LookOutcome) {
    explained(&[loaded("orders", free())], orders(), name).unwrap()
}

fn text(document: &ExplainDocument, width: usize) -> String {
    table::render(document, Screen { width, colour: false })
}

fn earlier(seconds: u64) -> Timestamp {
    noon() - std::time::Duration::from_secs(seconds)
}

#[test]
fn a_misplaced_stream_with_what_its_move_costs() {
    let mut view = orders();
    view.streams[1].upstreams = vec!["ORDERS".into()];
    let mut loaded = loaded("orders", free());
    loaded.past.account = Some(Account {
        id: "orders".into(),
        name: None,
    });
    loaded.past.recent_actions = vec![RecentAction {
        time: Time(earlier(7200)),
        action: ActionType::StreamPlacement,
        stream: "ORDERS".into(),
        consumer: None,
        from: Some("ap-south-0".into()),
        to: Some("eu-west".into()),
        result: ActionResult::Succeeded,
        reason: None,
        duration_milliseconds: 12_000,
        proof: None,
    }];
    let (document, found) = explained(&[loaded], view, "ORDERS").unwrap();
    assert_eq!(found, LookOutcome::Findings);
    insta::assert_snapshot!(text(&document, 80));
}

#[test]
fn a_consumer_that_follows_its_stream() {
    let (document, found) = answer("ORDERS/billing");
    assert_eq!(found, LookOutcome::Findings);
    assert_eq!(document.decision.action.as_ref().unwrap().stream, "ORDERS");
    insta::assert_snapshot!(text(&document, 140));
}

#[test]
fn what_is_in_place_says_so() {
    let (document, found) = answer("PAYMENTS");
    assert_eq!(
        (document.decision.verdict.as_str(), found),
        ("InPlace", LookOutcome::InPlace)
    );
    insta::assert_snapshot!(text(&document, 80));
}

#[test]
fn what_is_used_from_elsewhere_is_shown_its_own_home_beside_the_accounts() {
    let mut looked = seen(orders());
    let client = SampledClient {
        server: "eu-west-0".into(),
        connection: 1,
        user: None,
        name: None,
    };
    let published = UseSample {
        kind: UseKind::Publish,
        consumer: None,
        span: std::time::Duration::from_millis(240),
        messages: 24,
        independent: 24,
        clients: [(client, 24)].into(),
        asked: [].into(),
        asked_by_all: 0,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    };
    let sampled = Sampled {
        samples: vec![published],
        ..Sampled::default()
    };
    let at = looked.view.observed_at;
    let sampling = StreamSampling::new(at, sampled, false);
    looked.usage.add("ORDERS".into(), sampling);
    let mut spec = free();
    spec["home"]["scope"] = json!("Stream");
    let policies = [loaded("orders", spec)];
    let (document, _) = document(&policies, &looked, &parse("ORDERS").unwrap(), noon()).unwrap();
    assert_eq!(document.decision.verdict, "InPlace");
    assert_eq!(document.decision.own_home.as_deref(), Some("eu-west"));
    let text = text(&document, 100);
    let home = "HOME eu-west  by its own clients; the account's home is us-east\n";
    assert!(text.contains(home), "{text}");
}

#[test]
fn what_is_held_says_what_to_do_about_its_reason() {
    let mut spec = free();
    spec["actions"]["streamPlacement"]["enabled"] = json!(false);
    let (document, _) = explained(&[loaded("orders", spec)], orders(), "ORDERS").unwrap();
    let decision = &document.decision;
    assert_eq!(decision.verdict, "Held");
    assert_eq!(decision.reason.as_deref(), Some("ActionDisabled"));
    assert!(decision.action.is_none());
    assert_eq!(decision.changes[0], FindingReason::ActionDisabled.runbook().act);
}

#[test]
fn what_a_budget_holds_back_is_told_the_time_that_the_forecast_gives_it() {
    let mut view = orders();
    let second = stream(&view, "ZEBRA", &["eu-west-1", "eu-west-0", "eu-west-2"]);
    view.streams.push(second);
    let mut spec = free();
    spec["disruption"] = json!({"budgets": [{"name": "one", "max": 1, "per": "10m"}]});
    let (document, found) = explained(&[loaded("orders", spec)], view, "ZEBRA").unwrap();
    assert_eq!(found, LookOutcome::Findings);
    let decision = &document.decision;
    assert_eq!(decision.reason.as_deref(), Some("BudgetExhausted"));
    assert!(decision.action_time.unwrap() > noon());
    assert!(
        decision.changes[0].starts_with("Time: in "),
        "{:?}",
        decision.changes
    );
}

#[test]
fn what_is_not_leewards_to_judge_says_why() {
    let mut view = orders();
    let mut temporary = consumer(&view, "temporary", &["eu-west-0"]);
    temporary.durable = false;
    view.streams[0].consumers.push(temporary);
    view.streams[1]
        .metadata
        .insert("leeward.dev/ignore".into(), "true".into());
    let policies = [loaded("orders", free())];
    let verdict = |name: &str| {
        let (document, found) = explained(&policies, view.clone(), name).unwrap();
        assert_eq!(found, LookOutcome::InPlace);
        let decision = document.decision;
        (decision.verdict, decision.reason.unwrap_or_default())
    };
    let ignored = |reason: &str| ("Ignored".to_owned(), reason.to_owned());
    assert_eq!(verdict("ORDERS/temporary"), ignored("Ephemeral"));
    assert_eq!(verdict("PAYMENTS"), ignored("OptedOut"));
    assert_eq!(verdict("PAYMENTS/ledger"), ignored("OptedOut"));
}

#[test]
fn the_policy_that_selects_it_answers_and_where_none_does_all_are_named() {
    let mut others = free();
    others["streams"] = json!({"include": ["PAY*"]});
    let mut mine = free();
    mine["streams"] = json!({"include": ["ORD*"]});
    mine["consumers"] = json!({"exclude": ["mail"]});
    let policies = [loaded("others", others), loaded("mine", mine)];
    let (document, _) = explained(&policies, orders(), "ORDERS").unwrap();
    assert_eq!(document.about.policy, "payments/mine");
    let (document, _) = explained(&policies, orders(), "ORDERS/mail").unwrap();
    assert_eq!(document.decision.verdict, "NotSelected");
    assert_eq!(
        document.decision.because,
        "none of the policies selects it: payments/others, payments/mine"
    );
}

#[test]
fn p6_nothing_is_decided_from_what_was_not_seen() {
    let mut view = orders();
    view.gaps.push(Gap::ServerMissing {
        server: "us-east-2".into(),
    });
    let (document, found) = explained(&[loaded("orders", free())], view, "ORDERS").unwrap();
    assert_eq!(
        (document.decision.verdict.as_str(), found),
        ("Undecided", LookOutcome::Incomplete)
    );
    assert!(document.decision.because.contains("us-east-2"));
}

#[test]
fn p6_what_may_only_not_have_been_seen_is_not_denied() {
    let mut view = orders();
    view.gaps.push(Gap::WithoutJetStream {
        server: "us-east-2".into(),
    });
    for name in ["ONE", "ORDERS/other"] {
        let error = explained(&[loaded("orders", free())], view.clone(), name).unwrap_err();
        let unseen = error.downcast_ref::<crate::exit::NotSeen>().unwrap();
        assert!(unseen.message.contains("was not seen") && unseen.message.contains("us-east-2"));
    }
    let error = explained(&[loaded("orders", free())], orders(), "ONE").unwrap_err();
    assert!(error.downcast_ref::<crate::exit::NotSeen>().is_none());
}

#[test]
fn p6_nothing_is_decided_without_a_home() {
    let mut view = orders();
    view.clients.clear();
    let (document, found) = explained(&[loaded("orders", free())], view, "ORDERS").unwrap();
    assert_eq!(
        (document.decision.verdict.as_str(), found),
        ("Undecided", LookOutcome::Incomplete)
    );
    assert!(document.decision.because.contains("no location is home"));
}

#[test]
fn a_gain_that_is_not_known_is_a_dash_and_absent_from_json() {
    let mut view = orders();
    view.streams[0].message_rate = None;
    let (document, _) = explained(&[loaded("orders", free())], view, "ORDERS").unwrap();
    let text = text(&document, 80);
    let gain = text.lines().find(|line| line.trim_start().starts_with("Gain"));
    assert!(gain.unwrap().ends_with(" -"), "{text}");
    let json = serde_json::to_value(&document.decision).unwrap();
    assert!(json.get("gain").is_none(), "{json}");
}

#[test]
fn a_name_that_is_unknown_gets_near_ones() {
    let said = |name: &str| {
        let error = explained(&[loaded("orders", free())], orders(), name);
        error.unwrap_err().to_string()
    };
    assert_eq!(
        said("ORDRES"),
        "account orders has no stream ORDRES: did you mean ORDERS?"
    );
    assert_eq!(
        said("INVENTORY"),
        "account orders has no stream INVENTORY: none of its 2 streams has a name like it"
    );
    assert_eq!(
        said("ORDERS/biling"),
        "stream ORDERS has no consumer biling: did you mean billing?"
    );
    assert_eq!(
        said("ORDRES/billing"),
        "account orders has no stream ORDRES: did you mean ORDERS?"
    );
    assert!(parse("ORDERS/").is_err());
    assert!(parse("/billing").is_err());
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let mut view = orders();
    let name = "日本語のストリーム-with-a-long-name-".repeat(6);
    let mut long = stream(&view, &name, &["eu-west-0"]);
    long.consumers = vec![consumer(&view, &"c".repeat(250), &["eu-west-0"])];
    view.streams.push(long);
    view.normalize();
    let (document, _) = explained(&[loaded("orders", free())], view, &name).unwrap();
    for width in [40, 64, 80, 100, 140] {
        for line in text(&document, width).lines() {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} at {width}: {line}");
        }
    }
}

#[test]
fn json_can_be_read_again() {
    let (document, _) = answer("ORDERS");
    let json = output::json(&document).unwrap();
    assert_eq!(serde_json::from_str::<ExplainDocument>(&json).unwrap(), document);
}
