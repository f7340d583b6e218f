use std::collections::BTreeMap;

use leeward_api::vocabulary::FindingReason;
use serde_json::{Value, json};

use super::*;
use crate::asset::AssetIx;
use crate::evaluate::evaluate;
use crate::fixtures::{at, clients, consumer, context, policy, stream, stretched, view};
use crate::history::History;
use crate::owner::{OwnerObject, StreamOwners};
use crate::snapshot::{Placement, Stream};
use crate::topology::{JetStreamCapacity, Resource, ServerIx, Topology, Version};

struct Said {
    verdict: Verdict,
    policy: Value,
    owners: StreamOwners,
    topology: Topology,
    asset: AssetIx,
}

fn said(verdict: Verdict) -> Said {
    Said {
        verdict,
        policy: json!({}),
        owners: StreamOwners::default(),
        topology: stretched(),
        asset: AssetIx::Stream(0),
    }
}

impl Said {
    fn of(self, change: impl FnOnce(&mut Stream)) -> String {
        let topology = self.topology;
        let mut asset = stream(&topology, "S", &["n-3", "n-0", "n-1"]);
        change(&mut asset);
        let view = view(topology, vec![clients(ServerIx(0), 9)], vec![asset]);
        let mut spec = self.policy;
        spec["topology"] = json!({"key": "ServerTag", "tagPrefix": "region:"});
        let policy = policy(spec);
        let history = History::default();
        let context = DecisionContext {
            owners: &self.owners,
            ..context(&view, &policy, &history, at(0))
        };
        let evaluation = evaluate(&context);
        let finding = Finding {
            asset: self.asset,
            leader: Some(ServerIx(3)),
            verdict: self.verdict,
            gain: 0.0,
        };
        explain(&context, &evaluation, &finding)
    }
}

fn held(reason: FindingReason) -> Said {
    said(Verdict::Held(Remedy::StreamStepDown, reason))
}

#[test]
fn a_cure_is_told_with_the_home_it_leads_to() {
    for (verdict, part) in [
        (Verdict::InPlace, "led from region:us-east"),
        (
            Verdict::Misplaced(Remedy::StreamStepDown),
            "a caught-up peer in region:us-east can take over",
        ),
        (
            Verdict::Misplaced(Remedy::StreamPlacement),
            "no peer in region:us-east",
        ),
        (
            Verdict::Misplaced(Remedy::FollowsStream),
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
    let owned = |on_managed: &str| {
        let mut owned = held(FindingReason::ManagedElsewhere);
        let orders = OwnerObject {
            name: "Stream apps/orders".to_owned(),
            not_patched: Some("is applied by Argo CD".to_owned()),
        };
        owned.owners = StreamOwners::Known(BTreeMap::from([("S".into(), orders)]));
        owned.policy = json!({"actions": {"streamPlacement": {"onManagedStream": on_managed}}});
        owned
    };
    let belongs = "its configuration belongs to Stream apps/orders";
    let write = r#"write {"cluster":"c1","tags":["region:us-east"]} into its spec.placement. "#;
    let text = owned("Skip").of(|_| ());
    assert!(text.starts_with(&format!("{belongs}: {write}")), "{text}");
    let text = owned("PatchOwner").of(|_| ());
    let not_patched = format!("{belongs}, which is applied by Argo CD: {write}");
    assert!(text.starts_with(&not_patched), "{text}");
    let text = owned("PatchOwner").of(|stream| {
        stream.placement = Some(Placement {
            cluster: Some("c1".into()),
            tags: vec!["region:us-east".into()],
        });
    });
    assert!(
        text.contains("remove its spec.placement and write it again"),
        "{text}"
    );
    let text = held(FindingReason::ManagedElsewhere).of(|stream| {
        let key = "jetstream.nats-operator.io/owner".to_owned();
        stream.metadata.insert(key, "shop/orders".to_owned());
    });
    assert!(
        text.starts_with("its configuration belongs to nats-operator, as shop/orders. "),
        "{text}"
    );
    let mut unknown = held(FindingReason::ManagedElsewhere);
    unknown.owners = StreamOwners::Unknown("forbidden".to_owned());
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

fn held_move(reason: FindingReason) -> Said {
    said(Verdict::Held(Remedy::StreamPlacement, reason))
}

fn changed(change: impl Fn(&mut crate::topology::ServerDetails)) -> Topology {
    let mut servers = stretched().servers().to_vec();
    for server in &mut servers {
        change(server.details.as_mut().unwrap());
    }
    Topology::new(servers, BTreeMap::new())
}

fn abroad(stream: &mut Stream) {
    let topology = stretched();
    stream.group = crate::fixtures::group(&topology, &["n-3", "n-4", "n-5"]);
}

#[test]
fn a_move_is_told_with_its_cost_and_on_old_servers_with_its_stall() {
    let large = |stream: &mut Stream| stream.bytes = 100 << 20;
    let text = said(Verdict::Misplaced(Remedy::StreamPlacement)).of(large);
    assert!(text.ends_with("; a move copies 300 MiB in about 15 s"), "{text}");
    let mut old = said(Verdict::Misplaced(Remedy::StreamPlacement));
    old.topology = changed(|details| details.version = Version::new(2, 14, 5));
    let text = old.of(large);
    assert!(
        text.ends_with("in about 15 s, and blocks writes for about 10 s (servers before 2.15)"),
        "{text}"
    );
    let mut old = held_move(FindingReason::StallTooLong);
    old.topology = changed(|details| details.version = Version::new(2, 14, 5));
    let text = old.of(|stream| stream.bytes = 300 << 20);
    let part =
        "blocks writes for about 30 s (servers before 2.15), actions.streamPlacement.maxStall is 10 s. ";
    assert!(text.contains(part), "{text}");
}

#[test]
fn gates_are_told_with_what_was_seen_and_what_they_ask() {
    let mut pending = held(FindingReason::AckPendingHigh);
    pending.policy = json!({"disruption": {"gates": {"maxAckPending": 10}}});
    let text = pending.of(|stream| {
        for (name, ack_pending) in [("a", 11), ("b", 12), ("c", 10)] {
            let mut consumer = consumer(&stretched(), name, &["n-3"]);
            consumer.ack_pending = ack_pending;
            stream.consumers.push(consumer);
        }
    });
    assert!(
        text.starts_with(
            "12 messages wait for consumer b's acknowledgement, disruption.gates.maxAckPending is 10. "
        ),
        "{text}"
    );
    let text = held(FindingReason::PinnedClient).of(|stream| {
        let mut pinned = consumer(&stretched(), "c", &["n-3"]);
        pinned.pinned = true;
        stream.consumers.push(pinned);
    });
    assert!(text.starts_with("a client is pinned to consumer c. "), "{text}");
    let elected = |since| {
        held(FindingReason::RecentlyElected).of(|stream: &mut Stream| stream.group.leader_since = since)
    };
    let text = elected(Some(at(0)));
    let part =
        "its leader leads since 2026-01-01T12:00:00Z, disruption.gates.quietAfterLeaderChange is 60 s. ";
    assert!(text.starts_with(part), "{text}");
    let text = elected(None);
    assert!(
        text.starts_with("since when its leader leads was not seen, "),
        "{text}"
    );
}

#[test]
fn servers_that_just_started_are_named_among_the_peers_or_for_a_move_in_all_of_home() {
    let young = || changed(|details| details.started = Some(at(0)));
    let mut stays = held(FindingReason::ServerJustStarted);
    stays.topology = young();
    let text = stays.of(|_| ());
    assert!(
        text.starts_with("started a moment ago: n-0, n-1; disruption.gates.quietAfterServerStart is 2 min. "),
        "{text}"
    );
    let mut moves = held_move(FindingReason::ServerJustStarted);
    moves.topology = young();
    let text = moves.of(abroad);
    assert!(
        text.starts_with("started a moment ago: n-0, n-1, n-2; "),
        "{text}"
    );
}

#[test]
fn missing_room_is_told_by_server_with_what_it_lacks() {
    let room = |file: u64, ha_assets: u64| JetStreamCapacity {
        file: Resource {
            limit: file,
            used: 0,
            reserved: 0,
        },
        ha_assets,
        max_ha_assets: Some(10),
        ..JetStreamCapacity::default()
    };
    let of = |topology: Topology| {
        let mut full = held_move(FindingReason::NoCapacity);
        full.topology = topology;
        full.of(|stream| {
            abroad(stream);
            stream.bytes = 3 << 20;
        })
    };
    let text = of(changed(|details| details.room = Some(room(1 << 20, 0))));
    let part =
        "0 of 3 replicas find room: n-0 lacks 2 MiB of the 3 MiB of file storage that it takes; n-1 lacks";
    assert!(text.starts_with(part), "{text}");
    let text = of(changed(|details| details.room = Some(room(9 << 20, 10))));
    assert!(
        text.contains("n-0 holds 10 of at most 10 replicated assets, 1 would come"),
        "{text}"
    );
    let text = of(stretched());
    assert!(
        text.starts_with("what moves before it takes the room. "),
        "{text}"
    );
}

#[test]
fn too_few_servers_are_counted() {
    let mut few = held_move(FindingReason::NotEnoughServers);
    few.topology = changed(|details| {
        details.room = Some(JetStreamCapacity {
            unique_tag: Some("rack:".to_owned()),
            ..JetStreamCapacity::default()
        });
    });
    let text = few.of(abroad);
    assert!(
        text.starts_with("0 servers of different \"rack:\" tags can take a replica, it has 3 (unique_tag of one of the servers). "),
        "{text}"
    );
}

#[test]
fn a_consumer_is_told_of_itself_or_where_it_follows_of_its_stream() {
    let lagging = |stream: &mut Stream| {
        stream.group.peers[0].lag = 300;
        stream
            .consumers
            .push(consumer(&stretched(), "c", &["n-3", "n-0", "n-1"]));
        stream.consumers[0].group.peers[1].current = false;
    };
    let of = |cure| {
        let mut said = said(Verdict::Held(cure, FindingReason::TargetLagging));
        said.asset = AssetIx::Consumer(0, 0);
        said.of(lagging)
    };
    // n-3 is the stream's first peer and leads: its own lag says nothing.
    assert!(
        of(Remedy::StreamStepDown).starts_with("not caught up: n-0. "),
        "{}",
        of(Remedy::StreamStepDown)
    );
    assert_eq!(
        of(Remedy::FollowsStream),
        FindingReason::TargetLagging.explanation()
    );
}
