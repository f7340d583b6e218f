//! The disturbances of a testbed: chosen and timed by a seed, one after the other, each healed before the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::testbed::{EAST, Testbed, WEST};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    KillServer,
    CutLink,
    MoveClients,
    KillOperator,
    KillKube,
    Suspend,
}

/// The operator sees within this time that clients have moved, unless its view is incomplete.
const SEEN: Duration = Duration::from_secs(15);

const ALL: [Disturbance; 6] = [
    Disturbance::KillServer,
    Disturbance::CutLink,
    Disturbance::MoveClients,
    Disturbance::KillOperator,
    Disturbance::KillKube,
    Disturbance::Suspend,
];

impl Disturbance {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KillServer => "servers killed",
            Self::CutLink => "links cut",
            Self::MoveClients => "clients moved",
            Self::KillOperator => "operator killed",
            Self::KillKube => "kube-apiserver killed",
            Self::Suspend => "policy suspended",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SoakPace {
    /// All kinds in a new order in every round, until the time is over; each kind at least once.
    Until(Duration),
    /// A few of each kind, shortly after each other.
    Once,
}

impl SoakPace {
    /// How long an outage lasts, in milliseconds.
    fn outage(self) -> (u64, u64) {
        match self {
            Self::Until(_) => (1000, 12_000),
            Self::Once => (1000, 2500),
        }
    }

    fn pause(self) -> (u64, u64) {
        match self {
            Self::Until(_) => (1000, 15_000),
            Self::Once => (200, 1500),
        }
    }
}

pub(super) struct Driver<'a> {
    pub site: &'a mut Testbed,
    pub rng: Rng,
    pub pace: SoakPace,
    pub done: BTreeMap<Disturbance, u64>,
}

impl Driver<'_> {
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        match self.pace {
            SoakPace::Until(time) => self.rounds(time).await,
            SoakPace::Once => self.once().await,
        }
    }

    /// Servers count a killed one for minutes beside its successor, and an operator that starts then cannot distinguish
    /// it from a missing one, and does nothing: operators are killed before servers, so that there is something to see.
    async fn rounds(&mut self, time: Duration) -> anyhow::Result<()> {
        self.part(time / 2, Disturbance::KillServer).await?;
        self.part(time / 2, Disturbance::KillOperator).await
    }

    /// All kinds but one, in a new order in every round; each kind at least once.
    async fn part(&mut self, time: Duration, except: Disturbance) -> anyhow::Result<()> {
        let (begin, mut first) = (Instant::now(), true);
        let mut kinds = ALL.to_vec();
        kinds.retain(|kind| *kind != except);
        while first || begin.elapsed() < time {
            self.rng.shuffle(&mut kinds);
            for kind in kinds.clone() {
                if first || begin.elapsed() < time {
                    self.next(kind).await?;
                }
            }
            first = false;
        }
        Ok(())
    }

    /// In the order of [`Self::rounds`].
    async fn once(&mut self) -> anyhow::Result<()> {
        use Disturbance::{CutLink, KillKube, KillOperator, KillServer, MoveClients, Suspend};
        let mut before = [KillOperator, MoveClients, KillKube, Suspend, CutLink];
        let mut after = [KillServer, KillServer, MoveClients];
        self.rng.shuffle(&mut before);
        self.rng.shuffle(&mut after);
        for disturbance in before.into_iter().chain(after) {
            self.next(disturbance).await?;
        }
        Ok(())
    }

    async fn next(&mut self, disturbance: Disturbance) -> anyhow::Result<()> {
        tokio::time::sleep(self.some(self.pace.pause())).await;
        Box::pin(self.disturb(disturbance)).await?;
        *self.done.entry(disturbance).or_default() += 1;
        Ok(())
    }

    async fn disturb(&mut self, disturbance: Disturbance) -> anyhow::Result<()> {
        match disturbance {
            Disturbance::KillServer => self.kill_server().await,
            Disturbance::CutLink => self.cut_link().await,
            Disturbance::MoveClients => self.move_clients().await,
            Disturbance::KillOperator => self.kill_operator().await,
            Disturbance::KillKube => self.kill_kube().await,
            Disturbance::Suspend => self.suspend().await,
        }
    }

    /// One at a time: that is a minority of every group.
    async fn kill_server(&mut self) -> anyhow::Result<()> {
        let servers = self.site.system.server_names();
        let server = &servers[self.rng.usize(..servers.len())];
        let outage = self.outage(&format!("{server} is killed"));
        self.site.system.kill(server).await?;
        tokio::time::sleep(outage).await;
        self.site.system.restart(server).await?;
        self.site.until_whole().await
    }

    async fn cut_link(&mut self) -> anyhow::Result<()> {
        let outage = self.outage("the link is cut");
        self.site.system.wan().cut(EAST, WEST)?;
        tokio::time::sleep(outage).await;
        self.site.system.wan().heal(EAST, WEST)?;
        self.site.until_whole().await
    }

    async fn move_clients(&mut self) -> anyhow::Result<()> {
        let to = if self.site.idle.location() == EAST {
            WEST
        } else {
            EAST
        };
        self.site.log(&format!("clients move to {to}"));
        self.site.idle.move_to(to).await
    }

    async fn kill_operator(&mut self) -> anyhow::Result<()> {
        let outage = self.outage("the operator is killed");
        self.site.operator.kill().await?;
        self.site.witness.killed();
        tokio::time::sleep(outage).await;
        self.site.operator.restart().await
    }

    async fn kill_kube(&mut self) -> anyhow::Result<()> {
        let outage = self.outage("the kube-apiserver is killed");
        let from = self.site.witness.now();
        self.site.kube.stop_apiserver().await?;
        tokio::time::sleep(outage).await;
        self.site.kube.start_apiserver().await?;
        self.site.witness.was_without_kube(from);
        Ok(())
    }

    /// While suspended there is work to do, since the clients move.
    async fn suspend(&mut self) -> anyhow::Result<()> {
        let outage = self.outage("the policy is suspended");
        self.site.apply_policy(true).await?;
        self.site.until_judged().await?;
        let from = self.site.witness.now();
        self.move_clients().await?;
        self.site.until_seen_elsewhere(SEEN).await;
        tokio::time::sleep(outage).await;
        self.site.witness.was_suspended(from);
        self.site.apply_policy(false).await
    }

    fn outage(&mut self, what: &str) -> Duration {
        let outage = self.some(self.pace.outage());
        self.site
            .log(&format!("{what} for {:.1} s", outage.as_secs_f64()));
        outage
    }

    fn some(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(self.rng.u64(least..=most))
    }
}
