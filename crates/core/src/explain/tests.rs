use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::evaluate::{AssetIx, Managed, evaluate};
use crate::fixtures::{at, clients, policy, stream, stretched, view};
use crate::history::History;
use crate::topology::ServerIx;

struct Said {
    verdict: Verdict,
    policy: Value,
    managed: Managed,
}

fn said(verdict: Verdict) -> Said {
    Said {
        verdict,
        policy: json!({}),
        managed: Managed::default(),
    }
}

impl Said {
    fn of(self, change: impl FnOnce(&mut Stream)) -> String {
        let topology = stretched();
        let mut asset = stream(&topology, "S", &["n-3", "n-0", "n-1"]);
        change(&mut asset);
        let view = view(topology, vec![clients(ServerIx(0), 9)], vec![asset]);
        let mut spec = self.policy;
        spec["topology"] = json!({"key": "ServerTag", "tagPrefix": "region:"});
        let policy = policy(spec);
        let circumstances = Circumstances {
            now: at(0),
            stale_after: Duration::from_secs(90),
            history: &History::default(),
            managed: &self.managed,
            denied: &BTreeSet::new(),
        };
        let evaluation = evaluate(&view, &policy, &circumstances);
        let finding = Finding {
            asset: AssetIx::Stream(0),
            leader: Some(ServerIx(3)),
            verdict: self.verdict,
            gain: 0.0,
        };
        explain(&view, &policy, &circumstances, &evaluation, &finding)
    }
}

fn held(reason: FindingReason) -> Said {
    said(Verdict::Held(Cure::StepDown, reason))
}

#[test]
fn a_cure_is_told_with_the_home_it_leads_to() {
    for (verdict, part) in [
        (Verdict::InPlace, "led from region:us-east"),
        (
            Verdict::Misplaced(Cure::StepDown),
            "a caught-up peer in region:us-east can take over",
        ),
        (Verdict::Misplaced(Cure::Move), "no peer in region:us-east"),
        (
            Verdict::Misplaced(Cure::FollowStream),
            "moves to region:us-east with its stream",
        ),
        (Verdict::Ignored(FindingReason::OptedOut), "leeward.dev/ignore"),
    ] {
        let text = said(verdict).of(|_| ());
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn peers_that_stand_against_it_are_named_and_the_leader_is_not_among_them() {
    let lagging = held(FindingReason::TargetLagging).of(|stream| {
        stream.group.peers[0].current = false;
        stream.group.peers[1].lag = 300;
    });
    assert!(lagging.starts_with("not caught up: n-0. "), "{lagging}");
    let offline = held(FindingReason::QuorumAtRisk).of(|stream| stream.group.peers[2].offline = true);
    assert!(offline.starts_with("offline: n-1. "), "{offline}");
    let nobody = held(FindingReason::QuorumAtRisk).of(|_| ());
    assert_eq!(nobody, FindingReason::QuorumAtRisk.explanation());
}

#[test]
fn owners_limits_and_the_end_of_the_window_are_named() {
    let mut owned = held(FindingReason::ManagedElsewhere);
    owned.managed = Managed::Streams(BTreeMap::from([("S".into(), "Stream apps/orders".to_owned())]));
    let text = owned.of(|_| ());
    assert!(
        text.starts_with("its configuration belongs to Stream apps/orders. "),
        "{text}"
    );
    let mut unknown = held(FindingReason::ManagedElsewhere);
    unknown.managed = Managed::Unknown("forbidden".to_owned());
    assert!(unknown.of(|_| ()).contains("somebody unknown (forbidden)"));

    let mut large = held(FindingReason::BytesOverLimit);
    large.policy = json!({"actions": {"streamPlacement": {"maxBytes": "1k"}}});
    let text = large.of(|stream| stream.bytes = 5000);
    assert!(
        text.starts_with("5000 bytes stored, actions.streamPlacement.maxBytes is 1000. "),
        "{text}"
    );

    let text = held(FindingReason::Stabilizing).of(|_| ());
    assert!(
        text.starts_with("region:us-east becomes home at 2026-01-01T12:10:00Z"),
        "{text}"
    );
}

#[test]
fn a_reason_without_details_is_explained_by_its_meaning() {
    for reason in [
        FindingReason::CoolingDown,
        FindingReason::NoLeader,
        FindingReason::MixedVersions,
    ] {
        assert_eq!(held(reason).of(|_| ()), reason.explanation());
    }
}

#[test]
fn every_gap_says_what_is_missing() {
    for (gap, part) in [
        (
            Gap::Disconnected {
                message: "refused".to_owned(),
            },
            "refused",
        ),
        (Gap::WarmingUp, "first observation"),
        (Gap::ServerMissing { server: "n-7".into() }, "n-7"),
        (
            Gap::ServersUncounted {
                expected: 9,
                answered: 7,
            },
            "7 servers answered, 9 are active",
        ),
        (
            Gap::Denied {
                subject: "$SYS.REQ.X".to_owned(),
            },
            "$SYS.REQ.X: grant it",
        ),
        (
            Gap::Unreadable {
                message: "page 3 was cut".to_owned(),
            },
            "page 3 was cut",
        ),
    ] {
        assert!(gap_text(&gap).contains(part), "{}", gap_text(&gap));
    }
}
