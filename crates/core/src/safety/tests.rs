use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::asset::AssetIx;
use crate::demand::SettledHome;
use crate::owner::{OwnerObject, StreamOwners};
use leeward_api::vocabulary::Remedy;

use crate::context::DecisionContext;
use crate::evaluate::{Verdict, evaluate};
use crate::fixtures::{
    asset, at, clients, consumer, context, ix, long_ago, policy, stream, stretched, supercluster, view,
};
use crate::history::{AssetHistory, History};
use crate::snapshot::AccountView;
use crate::topology::{Server, ServerIx, Topology, Version};

/// Everything that a verdict depends on; a test spoils it and puts it right again piece by piece.
struct Case {
    servers: Vec<Server>,
    view: AccountView,
    policy: Value,
    history: History,
    owners: StreamOwners,
    denied: BTreeSet<ActionType>,
    settled: bool,
}

impl Case {
    fn new(topology: Topology, leader: &str, others: [&str; 2], key: &Value) -> Self {
        let servers = topology.servers().to_vec();
        let home = topology
            .servers()
            .iter()
            .find(|server| server.name.as_str() == "us-east-0");
        let crowd = home.map_or(ix(&topology, servers[0].name.as_str()), |server| {
            ix(&topology, server.name.as_str())
        });
        let mut asset = stream(&topology, "S", &[leader, others[0], others[1]]);
        asset
            .consumers
            .push(consumer(&topology, "c", &[leader, others[0], others[1]]));
        let mut view = view(topology, vec![clients(crowd, 9)], vec![asset]);
        view.normalize();
        Self {
            servers,
            view,
            policy: json!({"mode": "Enforce", "topology": key}),
            history: History::default(),
            owners: StreamOwners::default(),
            denied: BTreeSet::new(),
            settled: true,
        }
    }

    /// Both assets have two peers in home.
    fn stretched() -> Self {
        let key = json!({"key": "ServerTag", "tagPrefix": "region:"});
        Self::new(stretched(), "n-3", ["n-0", "n-1"], &key)
    }

    /// The stream lies abroad.
    fn supercluster() -> Self {
        Self::new(
            supercluster(),
            "eu-west-0",
            ["eu-west-1", "eu-west-2"],
            &json!({"key": "Cluster"}),
        )
    }

    fn stream(&mut self) -> &mut Stream {
        &mut self.view.streams[0]
    }

    fn consumer(&mut self) -> &mut Consumer {
        &mut self.stream().consumers[0]
    }

    fn peer(&mut self, server: &str) -> &mut Peer {
        let server = ix(&self.view.topology, server);
        self.stream()
            .group
            .peers
            .iter_mut()
            .find(|peer| peer.server == server)
            .unwrap()
    }

    fn consumer_peer(&mut self, server: &str) -> &mut Peer {
        let server = ix(&self.view.topology, server);
        self.consumer()
            .group
            .peers
            .iter_mut()
            .find(|peer| peer.server == server)
            .unwrap()
    }

    fn tried(&mut self, name: &str, attempts: u32) {
        let past = AssetHistory {
            attempts,
            last: at(0),
            undone: 0,
            moved_to: None,
        };
        self.history.assets.insert(asset(name), past);
    }

    fn server(&mut self, name: &str, change: impl Fn(&mut Server)) {
        self.servers
            .iter_mut()
            .filter(|server| server.name.as_str() == name)
            .for_each(change);
        self.view.topology = Topology::new(self.servers.clone(), std::collections::BTreeMap::new()).into();
    }

    fn started(&mut self, name: &str, when: Option<Timestamp>) {
        self.server(name, |server| server.details.as_mut().unwrap().started = when);
    }

    fn verdict(&self, wanted: AssetIx) -> Option<Verdict> {
        let policy = policy(self.policy.clone());
        let mut history = self.history.clone();
        if self.settled {
            let location = if self.servers[0].name.as_str() == "n-0" {
                "region:us-east"
            } else {
                "us-east"
            };
            history.home.settled = Some(SettledHome {
                location: location.into(),
                since: at(0),
            });
        }
        let context = DecisionContext {
            owners: &self.owners,
            denied: &self.denied,
            ..context(&self.view, &policy, &history, at(60))
        };
        let evaluation = evaluate(&context);
        let found = evaluation.findings.iter().find(|finding| finding.asset == wanted);
        found.map(|finding| finding.verdict)
    }

    #[track_caller]
    fn held(&self, wanted: AssetIx, remedy: Remedy, reason: FindingReason) {
        assert_eq!(self.verdict(wanted), Some(Verdict::Held(remedy, reason)));
    }

    /// Of a stretched stream that home leads the consumer has one replica, elsewhere: on the server that is returned.
    fn single_replica_abroad(&mut self) -> ServerIx {
        let (home, abroad) = (ix(&stretched(), "n-0"), ix(&stretched(), "n-3"));
        self.stream().group.leader = Some(home);
        self.consumer().group.peers = Box::new([crate::fixtures::peer(abroad)]);
        abroad
    }
}

const STREAM: AssetIx = AssetIx::Stream(0);
const CONSUMER: AssetIx = AssetIx::Consumer(0, 0);

#[test]
fn reasons_against_a_streams_step_down_are_told_in_their_order() {
    let mut case = Case::stretched();
    let leader = case.stream().group.leader.take();
    case.stream().moving = true;
    case.policy["actions"] = json!({"streamStepDown": {"enabled": false}});
    case.denied.insert(ActionType::StreamStepDown);
    case.peer("n-0").offline = true;
    case.peer("n-1").lag = SMALL_LAG + 1;
    case.started("n-0", None);
    case.started("n-1", Some(at(1)));
    case.stream().group.leader_since = None;
    case.settled = false;
    case.tried("S", 3);

    case.held(STREAM, Remedy::StreamStepDown, FindingReason::NoLeader);
    case.stream().group.leader = leader;
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::MoveInProgress);
    case.stream().moving = false;
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::ActionDisabled);
    case.policy["actions"] = json!({});
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::PermissionDenied);
    case.denied.clear();
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::QuorumAtRisk);
    case.peer("n-0").offline = false;
    case.peer("n-0").current = false;
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::TargetLagging);
    case.peer("n-1").lag = SMALL_LAG;
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::ServerJustStarted);
    case.started("n-1", Some(long_ago()));
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::RecentlyElected);
    case.stream().group.leader_since = Some(at(0));
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::Stabilizing);
    case.settled = true;
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::AttemptsExhausted);
    case.tried("S", 2);
    case.held(STREAM, Remedy::StreamStepDown, FindingReason::CoolingDown);
    case.history = History::default();
    assert_eq!(
        case.verdict(STREAM),
        Some(Verdict::Misplaced(Remedy::StreamStepDown))
    );
}

#[test]
fn reasons_against_a_consumers_step_down_are_told_in_their_order() {
    let mut case = Case::stretched();
    let leader = case.consumer().group.leader.take();
    case.stream().moving = true;
    case.policy["actions"] = json!({"consumerStepDown": {"enabled": false}});
    case.denied.insert(ActionType::ConsumerStepDown);
    case.consumer_peer("n-0").offline = true;
    case.consumer_peer("n-1").current = false;
    case.peer("n-3").offline = true;
    case.started("n-0", Some(at(0)));
    case.consumer().group.leader_since = Some(at(1));
    case.consumer().pinned = true;
    case.consumer().ack_pending = 101;
    case.settled = false;
    case.tried("S/c", 3);

    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::NoLeader);
    case.consumer().group.leader = leader;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::StreamMoving);
    case.stream().moving = false;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::ActionDisabled);
    case.policy["actions"] = json!({});
    case.policy["disruption"] = json!({"gates": {"maxAckPending": 100}});
    case.held(
        CONSUMER,
        Remedy::ConsumerStepDown,
        FindingReason::PermissionDenied,
    );
    case.denied.clear();
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::PinnedClient);
    case.consumer().pinned = false;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::QuorumAtRisk);
    case.consumer_peer("n-0").offline = false;
    case.consumer_peer("n-0").current = false;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::QuorumAtRisk);
    case.peer("n-3").offline = false;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::TargetLagging);
    case.consumer_peer("n-0").current = true;
    case.held(
        CONSUMER,
        Remedy::ConsumerStepDown,
        FindingReason::ServerJustStarted,
    );
    case.started("n-0", Some(long_ago()));
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::RecentlyElected);
    case.consumer().group.leader_since = Some(at(0));
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::AckPendingHigh);
    case.consumer().ack_pending = 100;
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::Stabilizing);
    case.settled = true;
    case.held(
        CONSUMER,
        Remedy::ConsumerStepDown,
        FindingReason::AttemptsExhausted,
    );
    case.tried("S/c", 0);
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::CoolingDown);
    case.history = History::default();
    assert_eq!(
        case.verdict(CONSUMER),
        Some(Verdict::Misplaced(Remedy::ConsumerStepDown))
    );
}

#[test]
fn reasons_against_a_move_are_told_in_their_order() {
    let mut case = Case::supercluster();
    let leader = case.stream().group.leader.take();
    let extra = crate::fixtures::peer(ix(&supercluster(), "us-east-2"));
    case.stream().replicas = 2;
    case.policy["actions"] = json!({"streamPlacement": {"enabled": false}});
    case.denied.insert(ActionType::StreamPlacement);
    case.owners = StreamOwners::Unknown("no right to list".to_owned());
    case.server("us-east-1", |server| {
        server.details.as_mut().unwrap().version = Version::new(2, 9, 21);
    });
    case.peer("eu-west-1").offline = true;
    case.peer("eu-west-2").lag = 257;
    case.stream().bytes = 2_000_000;
    case.consumer().pinned = true;
    case.server("us-east-0", |server| {
        server.details.as_mut().unwrap().jetstream = false;
    });
    case.settled = false;
    case.tried("S", 3);

    case.held(STREAM, Remedy::StreamPlacement, FindingReason::NoLeader);
    case.stream().group.leader = leader;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::MoveInProgress);
    case.held(CONSUMER, Remedy::FollowsStream, FindingReason::StreamMoving);
    case.stream().replicas = 3;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ActionDisabled);
    case.policy["actions"] = json!({"streamPlacement": {"maxBytes": "1M"}});
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::PermissionDenied);
    case.denied.clear();
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ManagedElsewhere);
    case.held(CONSUMER, Remedy::FollowsStream, FindingReason::ManagedElsewhere);
    // An unknown owner cannot be patched; to override it nobody needs to know it.
    case.policy["actions"]["streamPlacement"]["onManagedStream"] = json!("PatchOwner");
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ManagedElsewhere);
    case.policy["actions"]["streamPlacement"]["onManagedStream"] = json!("Override");
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ServerTooOld);
    let mut orders = OwnerObject {
        name: "Stream apps/orders".to_owned(),
        not_patched: Some("is applied by Flux".to_owned()),
    };
    case.policy["actions"]["streamPlacement"]["onManagedStream"] = json!("PatchOwner");
    case.owners = StreamOwners::Known([("S".into(), orders.clone())].into());
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ManagedElsewhere);
    orders.not_patched = None;
    case.owners = StreamOwners::Known([("S".into(), orders)].into());
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ServerTooOld);
    case.owners = StreamOwners::default();
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::ServerTooOld);
    case.server("us-east-1", |server| {
        server.details.as_mut().unwrap().version = Version::new(2, 15, 0);
    });
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::MixedVersions);
    case.server("us-east-1", |server| {
        server.details.as_mut().unwrap().version = Version::new(2, 15, 1);
    });
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::PinnedClient);
    case.consumer().pinned = false;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::QuorumAtRisk);
    case.peer("eu-west-1").offline = false;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::TargetLagging);
    case.peer("eu-west-2").lag = 0;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::BytesOverLimit);
    case.stream().bytes = 1_000_000;
    // Nobody uses it.
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::NotWorthIt);
    case.stream().message_rate = Some(1.0);
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::NotEnoughServers);
    case.server("us-east-0", |server| {
        server.details.as_mut().unwrap().jetstream = true;
    });
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::Stabilizing);
    case.settled = true;
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::AttemptsExhausted);
    case.tried("S", 1);
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::CoolingDown);
    case.held(CONSUMER, Remedy::FollowsStream, FindingReason::CoolingDown);
    case.history = History::default();
    assert_eq!(
        case.verdict(STREAM),
        Some(Verdict::Misplaced(Remedy::StreamPlacement))
    );
    assert_eq!(
        case.verdict(CONSUMER),
        Some(Verdict::Misplaced(Remedy::FollowsStream))
    );

    let mut peers = case.stream().group.peers.to_vec();
    peers.push(extra);
    case.stream().group.peers = peers.into();
    assert!(is_moving(case.stream()), "more peers than replicas");
}

#[test]
fn where_only_a_move_could_help_and_moves_are_disabled_a_single_peer_is_what_is_told() {
    let mut case = Case::supercluster();
    case.policy["actions"] = json!({"streamPlacement": {"enabled": false}});
    let leader = case.stream().group.leader.unwrap();
    case.stream().replicas = 1;
    case.stream().group.peers = Box::new([crate::fixtures::peer(leader)]);
    case.held(STREAM, Remedy::StreamPlacement, FindingReason::SinglePeer);
}

#[test]
fn a_consumer_of_a_stream_at_home_that_has_no_peer_there_says_so() {
    let mut case = Case::stretched();
    let abroad = case.single_replica_abroad();
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::SinglePeer);
    let both = [abroad, ix(&stretched(), "n-4")].map(crate::fixtures::peer);
    case.consumer().group.peers = Box::new(both);
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::NoPeerInHome);
    assert_eq!(case.verdict(STREAM), None, "the stream is in place");
}

#[test]
fn reasons_against_an_evacuation_are_told_in_their_order() {
    let mut case = Case::stretched();
    case.single_replica_abroad();
    case.held(CONSUMER, Remedy::ConsumerStepDown, FindingReason::SinglePeer);
    let allowed = json!({"consumerEvacuation": {"enabled": true}});
    case.policy["actions"] = allowed;
    let leader = case.consumer().group.leader.take();
    case.stream().moving = true;
    case.denied.insert(ActionType::ConsumerEvacuation);
    case.consumer().pinned = true;
    case.peer("n-3").offline = true;
    case.peer("n-0").current = false;
    case.started("n-3", Some(at(0)));
    case.consumer().ack_pending = 101;
    case.settled = false;
    case.tried("S/c", 3);

    let remedy = Remedy::ConsumerEvacuation;
    case.held(CONSUMER, remedy, FindingReason::NoLeader);
    case.consumer().group.leader = leader;
    case.held(CONSUMER, remedy, FindingReason::StreamMoving);
    case.stream().moving = false;
    case.held(CONSUMER, remedy, FindingReason::PermissionDenied);
    case.denied.clear();
    case.held(CONSUMER, remedy, FindingReason::PinnedClient);
    case.consumer().pinned = false;
    case.held(CONSUMER, remedy, FindingReason::QuorumAtRisk);
    case.peer("n-3").offline = false;
    case.peer("n-3").current = false;
    case.held(CONSUMER, remedy, FindingReason::TargetLagging);
    case.peer("n-3").current = true;
    case.held(CONSUMER, remedy, FindingReason::ServerJustStarted);
    case.started("n-3", Some(long_ago()));
    case.policy["disruption"] = json!({"gates": {"maxAckPending": 100}});
    case.held(CONSUMER, remedy, FindingReason::AckPendingHigh);
    case.consumer().ack_pending = 100;
    case.held(CONSUMER, remedy, FindingReason::Stabilizing);
    case.settled = true;
    case.held(CONSUMER, remedy, FindingReason::AttemptsExhausted);
    case.history = History::default();
    assert_eq!(case.verdict(CONSUMER), Some(Verdict::Misplaced(remedy)));
}

#[test]
fn a_moving_streams_consumers_are_held_for_that_and_other_reasons_are_passed_on() {
    assert_eq!(
        while_stream_held(FindingReason::MoveInProgress),
        FindingReason::StreamMoving
    );
    assert_eq!(
        while_stream_held(FindingReason::NoServersMatch),
        FindingReason::NoServersMatch
    );
}

#[test]
fn a_peer_is_healthy_when_it_is_up_and_nearly_caught_up() {
    let healthy_with = |change: fn(&mut Peer)| {
        let mut peer = crate::fixtures::peer(ServerIx(0));
        change(&mut peer);
        let gates = policy(json!({})).disruption.gates;
        healthy(&peer, &gates)
    };
    assert!(healthy_with(|_| ()));
    assert!(healthy_with(|peer| peer.lag = SMALL_LAG));
    assert!(!healthy_with(|peer| peer.lag = SMALL_LAG + 1));
    assert!(!healthy_with(|peer| peer.current = false));
    assert!(!healthy_with(|peer| peer.offline = true));
}
