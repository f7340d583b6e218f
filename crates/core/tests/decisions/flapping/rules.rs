//! Who acts in the model: Leeward, exactly as its loop decides, and the naive rule that it is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason, Remedy};
use leeward_core::action::{Action, ActionKind, Move, Plan, StepDown, Successor};
use leeward_core::asset::asset_name;
use leeward_core::context::DecisionContext;
use leeward_core::evaluate::{Evaluation, Verdict, evaluate};
use leeward_core::history::{EndedOperation, History, MoveRecord};
use leeward_core::names::{AssetName, Location};
use leeward_core::plan::plan;

use super::estate::{Deployment, Estate, HAND_OVER, location};
use super::patterns::{Dice, LOCATIONS, Weather};
use crate::memory::status_of;
use crate::worlds::World;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    pub asset: AssetName,
    pub kind: ActionType,
    pub begun: Timestamp,
    /// Far away while it is under way.
    pub ended: Timestamp,
}

/// Leeward over an account.
pub struct Leeward {
    pub estate: Estate,
    pub world: World,
    /// Everything that was done, in order.
    pub acts: Vec<Act>,
    /// Every home that was settled, and when.
    pub homes: Vec<(Timestamp, Location)>,
    /// No act failed, and no server.
    pub undisturbed: bool,
    look: Duration,
    deployment: Deployment,
    /// The move under way, as its place in `acts`.
    moving: Option<(usize, Move)>,
    /// How many of a hundred acts succeed.
    luck: u32,
    dice: Dice,
}

impl Leeward {
    pub fn new(deployment: Deployment, world: World, look: Duration, luck: u32) -> Self {
        Self {
            estate: Estate::new(world.view.clone(), world.now),
            world,
            acts: Vec::new(),
            homes: Vec::new(),
            undisturbed: true,
            look,
            deployment,
            moving: None,
            luck,
            dice: Dice::new(1),
        }
    }

    /// Time passes, and one round of the loop is done (`leeward_engine::runner`).
    pub fn look(&mut self, weather: &Weather) {
        self.estate.pass(self.look, weather);
        self.undisturbed &= weather.down.is_none();
        self.land();
        let World { history, policy, .. } = &mut self.world;
        history.reset(policy.reset_token.as_deref());
        history.prune(&policy.disruption, self.estate.now);
        history.forget_deleted(&self.estate.view);
        let (evaluation, plan) = self.decide();
        self.settle(&evaluation);
        self.start(plan.actions);
    }

    /// The process is killed and starts anew: what it knows is in its policy's status. A move that is under way goes on
    /// without it, and counts as done now.
    pub fn restart(&mut self) {
        let moving = self.moving.take().map(|(at, _)| {
            let act = &mut self.acts[at];
            act.ended = self.estate.now;
            (act.asset.clone(), act.kind)
        });
        self.world.view.clone_from(&self.estate.view);
        let under_way: Vec<(AssetName, ActionType)> = moving.into_iter().collect();
        let status = status_of(&self.world, &under_way);
        // What the model had begun it has recorded to its end, and nothing is recorded before it has ended.
        let ends = self.acts.iter().map(|act| act.ended);
        let now = ends.fold(self.estate.now, Timestamp::max);
        self.world.history = History::restore(&status, None, now);
        self.homes_forgotten();
    }

    /// A home that was not stable is found anew, after the whole window.
    fn homes_forgotten(&mut self) {
        self.undisturbed &= self.world.history.home.settled.is_some();
    }

    fn decide(&mut self) -> (Evaluation, Plan) {
        self.world.now = self.estate.now;
        let context = self.context();
        let mut evaluation = evaluate(&context);
        let plan = plan(&context, &evaluation);
        evaluation.hold(&plan.held);
        (evaluation, plan)
    }

    pub fn context(&self) -> DecisionContext<'_> {
        DecisionContext {
            view: &self.estate.view,
            ..self.world.context()
        }
    }

    fn settle(&mut self, evaluation: &Evaluation) {
        let history = &mut self.world.history;
        let settled = |home: &leeward_core::demand::HomeHistory| {
            home.settled.as_ref().map(|settled| settled.location.clone())
        };
        let after = settled(&evaluation.home_history);
        let changed = after.filter(|after| Some(after) != settled(&history.home).as_ref());
        history.settle(evaluation.home_history.clone(), evaluation.asset_homes.clone());
        self.homes.extend(changed.map(|home| (self.estate.now, home)));
        let Some(home) = settled(&self.world.history.home).filter(|_| evaluation.conclusive()) else {
            return;
        };
        let reverted = reverted(&self.estate, evaluation, &home);
        let contested = self.world.history.notice_reverted(&reverted, self.estate.now);
        assert!(
            contested.is_empty(),
            "nobody else acts in the model: {contested:?}"
        );
    }

    /// Starts the queue in order, so many at a time, one per stream; what does not begin before the next look is planned
    /// anew.
    fn start(&mut self, queue: Vec<Action>) {
        let now = self.estate.now;
        let most = self.world.policy.disruption.max_concurrent - usize::from(self.moving.is_some());
        let mut lanes = vec![now; most];
        let mut streams: Vec<(AssetName, Timestamp)> = Vec::new();
        for action in queue {
            let whole = AssetName::stream(action.asset.stream.clone());
            let busy = streams
                .iter()
                .filter(|(stream, _)| *stream == whole)
                .map(|(_, until)| *until);
            let free = busy.max().unwrap_or(now);
            let Some(lane) = lanes.iter_mut().min() else {
                return;
            };
            let begun = free.max(*lane);
            match &action.kind {
                ActionKind::StepDown(_) if begun + HAND_OVER >= now + self.look => return,
                ActionKind::StepDown(step_down) => {
                    *lane = begun + HAND_OVER;
                    streams.push((whole, *lane));
                    self.transfer_leader(&action, step_down, begun);
                }
                // The system's limit: one at a time.
                ActionKind::Move(_) if self.something_moves() || begun > now => {}
                ActionKind::Move(moving) => {
                    *lane = now + self.look;
                    streams.push((whole, *lane));
                    self.begin_move(&action, moving);
                }
            }
        }
    }

    fn something_moves(&self) -> bool {
        self.estate.view.streams.iter().any(|stream| stream.moving)
    }

    fn transfer_leader(&mut self, action: &Action, step_down: &StepDown, begun: Timestamp) {
        let Successor::Peer(target) = &step_down.successor else {
            panic!("these servers take aim")
        };
        let ended = begun + HAND_OVER;
        self.world.history.begin(&action.asset, action.action_type());
        let result = self.chance(&[ActionResult::Missed, ActionResult::Failed, ActionResult::TimedOut]);
        if result == ActionResult::Succeeded {
            self.estate
                .transfer_leader(&action.asset, self.estate.server(target), ended);
        }
        self.acts.push(Act {
            asset: action.asset.clone(),
            kind: action.action_type(),
            begun,
            ended,
        });
        self.record(&action.asset, result, ended, None);
    }

    fn begin_move(&mut self, action: &Action, moving: &Move) {
        let stream = self
            .estate
            .view
            .streams
            .iter()
            .position(|stream| stream.name == action.asset.stream);
        let to = (0..LOCATIONS).find(|to| self.deployment.location(*to) == moving.target.location.as_str());
        self.estate.begin_move(stream.unwrap(), to.unwrap());
        self.world.history.begin(&action.asset, action.action_type());
        self.moving = Some((self.acts.len(), moving.clone()));
        self.acts.push(Act {
            asset: action.asset.clone(),
            kind: action.action_type(),
            begun: self.estate.now,
            ended: Timestamp::MAX,
        });
    }

    /// Takes in the end of a move.
    fn land(&mut self) {
        let Some((at, moving)) = self.moving.take() else {
            return;
        };
        let act = &mut self.acts[at];
        let stream = self.estate.view.stream(&act.asset.stream).unwrap();
        if stream.moving {
            self.moving = Some((at, moving));
            return;
        }
        act.ended = stream
            .group
            .leader_since
            .unwrap_or(self.estate.now)
            .max(act.begun);
        let moved = MoveRecord {
            to: moving.target.location.clone(),
            bytes: moving.bytes,
            took: Duration::try_from(act.ended.duration_since(act.begun)).unwrap(),
        };
        let (asset, ended) = (act.asset.clone(), act.ended);
        self.record(&asset, ActionResult::Succeeded, ended, Some(moved));
    }

    fn record(&mut self, asset: &AssetName, result: ActionResult, at: Timestamp, moved: Option<MoveRecord>) {
        let ended = EndedOperation {
            asset: asset.clone(),
            result,
            reason: None,
            attempts: 1,
            at,
            moved,
        };
        self.world.history.record(&ended, &self.world.policy.disruption);
    }

    fn chance(&mut self, bad: &[ActionResult]) -> ActionResult {
        if self.dice.below(100) < self.luck {
            return ActionResult::Succeeded;
        }
        self.undisturbed = false;
        let which = self.dice.below(u32::try_from(bad.len()).unwrap());
        bad[usize::try_from(which).unwrap()]
    }
}

/// Streams that lie elsewhere than home, as the loop finds them.
fn reverted(estate: &Estate, evaluation: &Evaluation, home: &Location) -> BTreeMap<AssetName, Location> {
    let lies = |verdict: Verdict| match verdict {
        Verdict::Misplaced(remedy) => remedy == Remedy::StreamPlacement,
        Verdict::Held(remedy, reason) => {
            remedy == Remedy::StreamPlacement && reason != FindingReason::MoveInProgress
        }
        Verdict::InPlace | Verdict::Ignored(_) => false,
    };
    let findings = evaluation.findings.iter().filter(|finding| lies(finding.verdict));
    findings
        .filter_map(|finding| Some((asset_name(&estate.view, finding.asset)?, home.clone())))
        .collect()
}

/// The rule that Leeward is compared with: home is where the most clients are now, and everything that is not there is
/// brought there at once.
pub struct Naive {
    pub estate: Estate,
    /// How often something was done.
    pub acts: usize,
    look: Duration,
}

impl Naive {
    pub fn new(world: &World, look: Duration) -> Self {
        Self {
            estate: Estate::new(world.view.clone(), world.now),
            acts: 0,
            look,
        }
    }

    pub fn look(&mut self, weather: &Weather) {
        self.estate.pass(self.look, weather);
        let Some(home) = weather.most() else { return };
        let now = self.estate.now;
        for at in 0..self.estate.view.streams.len() {
            let stream = &self.estate.view.streams[at];
            let name = || AssetName::stream(stream.name.clone());
            let consumers = stream.consumers.iter();
            let all: Vec<_> = std::iter::once((name(), stream.group.clone()))
                .chain(consumers.map(|consumer| {
                    let asset = AssetName::consumer(stream.name.clone(), consumer.name.clone());
                    (asset, consumer.group.clone())
                }))
                .filter(|(_, group)| group.leader.is_some_and(|leader| location(leader) != home))
                .collect();
            let moving = stream.moving;
            for (asset, group) in all {
                let here = |server| location(server) == home;
                let peer = group.peers.iter().find(|peer| here(peer.server) && !peer.offline);
                match (peer, &asset.consumer) {
                    (Some(peer), _) => self.estate.transfer_leader(&asset, peer.server, now),
                    (None, None) if !moving => drop(self.estate.begin_move(at, home)),
                    (None, _) => continue,
                }
                self.acts += 1;
            }
        }
    }
}
