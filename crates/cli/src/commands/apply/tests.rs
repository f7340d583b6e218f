use insta::assert_snapshot;
use jiff::ToSpan as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{Memory, OperationStatus, RecentAction};
use leeward_api::vocabulary::{ActionResult, ActionType, DegradedReason, ObservedReason, ProgressingReason};
use leeward_core::forecast::ActionBatch;
use leeward_core::names::AssetName;
use serde_json::json;

use super::ask::{Consent, begins, is_yes, shown};
use super::execution::{ApplyStage, abandoned, held_up, requested, stage, stopping};
use super::*;
use crate::document::DonePart;
use crate::judge::fixtures::{edit_forecast, free, judged, loaded, noon, orders, seen};
use crate::look::Looked;
use crate::output::Format;
use crate::output::Screen;

const SCREEN: Screen = Screen {
    width: 100,
    colour: false,
};

/// With everything that can be done now, and once more ten minutes later.
fn planned_twice<'a>(loaded: &'a LoadedPolicy, seen: &'a Looked) -> Assessment<'a> {
    let mut judged = judged(loaded, seen);
    let actions = judged.decision.actions.clone();
    let wave = |at| ActionBatch {
        at,
        actions: actions.clone(),
    };
    edit_forecast(&mut judged, |waves| {
        *waves = vec![wave(noon()), wave(noon() + 10.minutes())];
    });
    judged
}

fn policy_state(judged: &Assessment<'_>) -> PolicyState {
    PolicyState {
        sequence: 1,
        generation: 1,
        evaluated_at: judged.now,
        view: Arc::clone(&judged.seen.view),
        report: Arc::new(judged.report.clone()),
        progressing: (ProgressingReason::Idle, "nothing to do".into()),
        degraded: (DegradedReason::Healthy, "no operation keeps failing".into()),
        denied: Vec::new(),
        operations: Vec::new(),
        settling: Vec::new(),
        waiting: 0,
        recent_actions: Vec::new(),
        limits: judged.limits.clone(),
        memory: Memory::default(),
        proposed: None,
    }
}

fn done(result: ActionResult, message: &str) -> DonePart {
    DonePart {
        action: RecentAction {
            time: Time(noon()),
            action: ActionType::StreamPlacement,
            stream: "ORDERS".into(),
            consumer: None,
            from: Some("eu-west-1".into()),
            to: Some("us-east".into()),
            result,
            reason: None,
            duration_milliseconds: 3210,
            proof: None,
        },
        requests: 1,
        message: message.into(),
    }
}

fn moving() -> OperationStatus {
    OperationStatus {
        action: ActionType::StreamPlacement,
        stream: "ORDERS".into(),
        consumer: None,
        from: None,
        to: None,
        start_time: Time(noon()),
        deadline: None,
        replaces: None,
    }
}

#[test]
fn only_what_may_begin_now_is_asked_about() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let plan = plan_of(std::slice::from_ref(&judged));
    assert_eq!(begins(&plan.plans[0], plan.time).len(), 1);
    assert_eq!(now(&judged).len(), 1);
    assert_snapshot!(shown(&plan, SCREEN));
}

#[test]
fn what_follows_at_once_is_asked_about_as_well() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let mut judged = planned_twice(&loaded, &seen);
    edit_forecast(&mut judged, |waves| waves[1].at = noon());
    let plan = plan_of(std::slice::from_ref(&judged));
    assert_eq!(begins(&plan.plans[0], plan.time).len(), 2);
    assert_eq!(now(&judged).len(), 2);
}

#[test]
fn a_wave_that_begins_later_is_not_applied() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let mut judged = planned_twice(&loaded, &seen);
    edit_forecast(&mut judged, |waves| {
        waves.remove(0);
    });
    let plan = plan_of(std::slice::from_ref(&judged));
    assert!(now(&judged).is_empty() && begins(&plan.plans[0], plan.time).is_empty());
    assert!(shown(&plan, SCREEN).contains("Nothing may be done now."));
}

#[test]
fn a_policy_that_is_outranked_begins_nothing() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let mut judged = planned_twice(&loaded, &seen);
    judged.outranked_by = Some("payments/first".into());
    let plan = plan_of(std::slice::from_ref(&judged));
    assert!(now(&judged).is_empty() && begins(&plan.plans[0], plan.time).is_empty());
}

#[test]
fn nobody_is_asked_where_there_is_nothing_to_do_or_not_everything_was_seen() {
    let consent = Consent {
        format: Format::Json,
        yes: true,
    };
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let mut plan = plan_of(std::slice::from_ref(&judged));
    assert!(consent.given(&plan, true).unwrap());
    assert!(!consent.given(&plan, false).unwrap());
    plan.plans[0].waves.clear();
    assert!(!consent.given(&plan, true).unwrap());
}

#[test]
fn a_policy_without_a_home_is_not_applied_and_keeps_the_others_from_nothing() {
    let mut homeless = free();
    homeless["streams"] = json!({"include": ["PAYMENTS"]});
    homeless["home"] = json!({"minConnections": 1000});
    let mut spec = free();
    spec["streams"] = json!({"include": ["ORDERS"]});
    let policies = [loaded("homeless", homeless), loaded("orders", spec)];
    let seen = seen(orders());
    let judged = judge(&policies, &seen, noon());
    assert!(
        judged
            .iter()
            .all(|judged| judged.decision.evaluation.conclusive())
    );
    assert_eq!(worst(&judged), LookOutcome::Incomplete);
    let begins: Vec<usize> = judged.iter().map(|judged| now(judged).len()).collect();
    assert_eq!(begins, [0, 1]);
    let plan = plan_of(&judged);
    let consent = Consent {
        format: Format::Json,
        yes: true,
    };
    assert!(consent.given(&plan, true).unwrap());
    let text = shown(&plan, SCREEN);
    assert!(
        text.contains("This policy is not applied: no location is home: "),
        "{text}"
    );
    assert!(!text.contains("Nothing to do."), "{text}");
}

#[test]
fn only_a_yes_is_a_yes() {
    assert!(["y\n", "Y", "yes\n", " YES "].into_iter().all(is_yes));
    assert!(!["", "\n", "n", "yep", "yes please"].into_iter().any(is_yes));
}

#[test]
fn suspended_policies_and_systems_are_refused_with_the_cure() {
    let rules = |suspended| SystemRules {
        suspended,
        ..SystemRules::default()
    };
    let refused = |policies: Vec<LoadedPolicy>, suspended| {
        let error = refuse_suspended(&policies, rules(suspended)).unwrap_err();
        error.to_string()
    };
    let suspended = loaded("orders", json!({"mode": "Enforce", "suspend": true}));
    let words = refused(vec![suspended.clone()], false);
    assert!(words.contains("set spec.suspend to false"), "{words}");
    let in_kubernetes = LoadedPolicy {
        origin: PolicyOrigin::Kubernetes,
        ..suspended
    };
    let words = refused(vec![in_kubernetes], false);
    assert!(words.contains("leeward resume payments/orders"), "{words}");
    let observing = loaded("orders", json!({"mode": "Observe"}));
    assert!(refused(vec![observing.clone()], true).contains("the NatsSystem is suspended"));
    refuse_suspended(&[observing], rules(false)).unwrap();
}

#[test]
fn it_is_over_once_a_complete_look_after_the_last_end_has_nothing_to_do() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let idle = policy_state(&judged(&loaded, &seen));
    let seen_at = idle.view.observed_at;
    assert_eq!(stage(None, None), ApplyStage::Looking);
    assert_eq!(stage(Some(&idle), None), ApplyStage::Over);
    assert_eq!(stage(Some(&idle), Some(seen_at - 1.second())), ApplyStage::Over);
    assert_eq!(stage(Some(&idle), Some(seen_at)), ApplyStage::Looking);
    let waiting = PolicyState {
        waiting: 1,
        ..idle.clone()
    };
    assert_eq!(stage(Some(&waiting), None), ApplyStage::Working);
    let busy = PolicyState {
        operations: vec![moving()],
        ..idle.clone()
    };
    assert_eq!(stage(Some(&busy), None), ApplyStage::Working);
    let mut blind = idle;
    Arc::make_mut(&mut blind.report).observed.0 = ObservedReason::ServersMissing;
    assert_eq!(stage(Some(&blind), None), ApplyStage::Looking);
}

#[test]
fn an_end_is_one_line() {
    let line = |result, message| progress::ended(&done(result, message));
    assert_eq!(
        line(ActionResult::Succeeded, "home"),
        "done StreamPlacement ORDERS eu-west-1 → us-east 3.2 s"
    );
    assert_eq!(
        line(
            ActionResult::Abandoned,
            "the account's user may not publish $JS.API.STREAM.UPDATE.ORDERS"
        ),
        "abandoned StreamPlacement ORDERS eu-west-1 → us-east 3.2 s: the account's user may not publish \
         $JS.API.STREAM.UPDATE.ORDERS"
    );
}

#[test]
fn a_stop_says_what_it_waits_for_and_what_is_left_to_the_servers() {
    let names = ["StreamPlacement ORDERS".to_owned()];
    assert!(stopping(&names).contains("after what is in flight: StreamPlacement ORDERS. Ctrl-C again"));
    assert_eq!(stopping(&[]), "Nothing else is begun.");
    assert!(abandoned(&names).contains("the servers go on with StreamPlacement ORDERS"));
}

#[test]
fn the_servers_go_on_only_with_what_they_were_asked_for() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let action = now(&judged)[0].clone();
    let sent = [action.asset.clone()].into();
    let in_flight = vec![action];
    assert_eq!(requested(in_flight.clone(), &sent), in_flight);
    assert_eq!(requested(in_flight, &BTreeSet::new()), []);
}

#[test]
fn moves_that_wait_for_moves_of_others_say_so() {
    let mut view = orders();
    let payments = view
        .streams
        .iter_mut()
        .find(|one| one.name.as_str() == "PAYMENTS");
    payments.unwrap().moving = true;
    let (loaded, seen) = (loaded("orders", free()), seen(view));
    let judged = judged(&loaded, &seen);
    let waiting = PolicyState {
        waiting: 1,
        ..policy_state(&judged)
    };
    let approved = Proposal {
        actions: [(
            AssetName::stream("ORDERS".into()),
            ProposedAction {
                action: ActionType::StreamPlacement,
                from: None,
                to: "us-east".into(),
            },
        )]
        .into(),
    };
    let nothing = ApplyResult::default();
    let line = held_up(&waiting, &approved, &nothing, 1).unwrap();
    assert!(line.contains("PAYMENTS") && line.contains("at most 1 "), "{line}");
    assert_eq!(held_up(&waiting, &approved, &nothing, 2), None);
    assert_eq!(held_up(&waiting, &Proposal::default(), &nothing, 1), None);
    let moved_by_itself = ApplyResult {
        tried: [AssetName::stream("PAYMENTS".into())].into(),
        ..ApplyResult::default()
    };
    assert_eq!(held_up(&waiting, &approved, &moved_by_itself, 1), None);
    let by_itself = PolicyState {
        operations: vec![moving()],
        ..waiting.clone()
    };
    assert_eq!(held_up(&by_itself, &approved, &nothing, 1), None);
    let idle = PolicyState {
        waiting: 0,
        ..waiting
    };
    assert_eq!(held_up(&idle, &approved, &nothing, 1), None);
}

#[test]
fn the_result_says_what_was_done_what_is_left_and_why() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let ended = ApplyResult {
        done: vec![
            done(ActionResult::Succeeded, "home"),
            done(ActionResult::Failed, "the server refused it: no"),
        ],
        ..ApplyResult::default()
    };
    let document = ApplyDocument {
        time: noon(),
        applied: vec![applied(&judged, &judged, ended)],
    };
    assert_snapshot!(table::render(&document, SCREEN));
    let text = crate::output::json(&document).unwrap();
    assert_eq!(serde_json::from_str::<ApplyDocument>(&text).unwrap(), document);
}

#[test]
fn what_was_tried_is_not_left_and_what_was_not_watched_is_named() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let action = now(&judged)[0].clone();
    let left = |ended| applied(&judged, &judged, ended).left.len();
    assert_eq!(left(ApplyResult::default()), 1);
    let tried = ApplyResult {
        tried: [action.asset.clone()].into(),
        ..ApplyResult::default()
    };
    assert_eq!(left(tried), 0);
    let unwatched = ApplyResult {
        unwatched: vec![action],
        ..ApplyResult::default()
    };
    let part = applied(&judged, &judged, unwatched);
    assert_eq!((part.left.len(), part.unwatched.len()), (0, 1));
}

#[test]
fn what_failed_is_remembered_by_the_last_look() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = judged(&loaded, &seen);
    let mut policy_state = policy_state(&judged);
    policy_state.memory = serde_json::from_value(json!({
        "assets": [{"stream": "ORDERS", "time": noon(), "attempts": 1}],
    }))
    .unwrap();
    let after = LoadedPolicy {
        past: with_what_was_done(&judged, Some(&policy_state)),
        ..loaded.clone()
    };
    let after = judge(std::slice::from_ref(&after), &seen, noon());
    let words = format!("{:?}", after[0].report.findings);
    assert!(words.contains("CoolingDown"), "{words}");
}

#[test]
fn without_a_look_after_the_last_end_nothing_is_certain() {
    let ended = |seen| ApplyResult {
        seen,
        ..ApplyResult::default()
    };
    for found in [LookOutcome::InPlace, LookOutcome::Findings] {
        assert_eq!(found_after(&[ended(true), ended(true)], found), found);
        assert_eq!(
            found_after(&[ended(true), ended(false)], found),
            LookOutcome::Incomplete
        );
    }
}

#[test]
fn what_is_approved_is_what_was_shown_with_its_home() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = planned_twice(&loaded, &seen);
    let approval = approval(&judged);
    let action = now(&judged)[0];
    let home = judged.decision.evaluation.homes.account_location();
    let approved = ProposedAction {
        action: action.action_type(),
        from: None,
        to: home.unwrap().clone(),
    };
    assert_eq!(approval.actions, [(action.asset.clone(), approved)].into());
}
