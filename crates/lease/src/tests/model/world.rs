//! All replicas and their store, step by step, and what must be true after each step.

use std::time::Duration;

use super::network::{Link, Network};
use super::replica::Replica;
use super::{Fault, Scenario};
use crate::LeaseEpoch;

const STEP: Duration = Duration::from_millis(50);
/// Once everything is reachable, shards are spread after this time at the latest.
const SETTLE_WITHIN: Duration = Duration::from_mins(1);
/// And stay so for this long.
const SETTLED_FOR: Duration = Duration::from_secs(4);

pub struct World {
    now: Duration,
    network: Network,
    replicas: Vec<Replica>,
    /// Counts the processes, by replica: one that is killed and started is another one.
    processes: Vec<usize>,
    rates: Vec<u32>,
    shards: u8,
    /// By shard: which process led last, and in which epoch.
    last: Vec<Option<(usize, usize, LeaseEpoch)>>,
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        fastrand::seed(scenario.seed);
        let rates = scenario.rates.clone();
        let network = Network::new(rates.len());
        let start = |(index, rate): (usize, &u32)| Replica::start(&network, index, scenario.shards, *rate);
        Self {
            now: Duration::ZERO,
            replicas: rates.iter().enumerate().map(start).collect(),
            processes: vec![0; rates.len()],
            network,
            rates,
            shards: scenario.shards,
            last: vec![None; usize::from(scenario.shards)],
        }
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while self.now < end {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        for replica in &self.replicas {
            replica.advance_clock(STEP);
        }
        let violations = self.network.advance(self.now);
        for replica in &self.replicas {
            replica.run();
        }
        for index in 0..self.replicas.len() {
            if self.replicas[index].has_left() {
                self.restart(index);
            }
        }
        self.check()?;
        violations.first().map_or(Ok(()), |problem| self.fail(problem))
    }

    fn restart(&mut self, index: usize) {
        self.processes[index] += 1;
        self.replicas[index] = Replica::start(&self.network, index, self.shards, self.rates[index]);
    }

    fn fail<T>(&self, problem: &str) -> Result<T, String> {
        Err(format!("after {} ms: {problem}", self.now.as_millis()))
    }

    /// No shard has two leaders, and its epochs grow.
    fn check(&mut self) -> Result<(), String> {
        for shard in 0..usize::from(self.shards) {
            let mut leaders = Vec::new();
            for (index, replica) in self.replicas.iter().enumerate() {
                let belief = replica.beliefs()[shard];
                if belief.may_act || belief.epoch.is_some() {
                    leaders.push((index, belief.epoch));
                }
            }
            match leaders[..] {
                [] | [(_, None)] => {}
                [(index, Some(epoch))] => self.check_epoch(shard, index, epoch)?,
                _ => return self.fail(&format!("shard {shard} has the leaders {leaders:?}")),
            }
        }
        Ok(())
    }

    fn check_epoch(&mut self, shard: usize, index: usize, epoch: LeaseEpoch) -> Result<(), String> {
        let process = self.processes[index];
        if let Some((last_index, last_process, last)) = self.last[shard] {
            let is_same = (last_index, last_process) == (index, process);
            if epoch < last || (epoch == last && !is_same) {
                let problem = format!("shard {shard} is led by {index} in {epoch:?} after {last:?}");
                return self.fail(&problem);
            }
        }
        self.last[shard] = Some((index, process, epoch));
        Ok(())
    }

    /// Lets something happen to a replica.
    pub fn apply(&mut self, index: usize, fault: Fault) {
        let link = Link::default();
        let link = match fault {
            Fault::Pause => {
                self.replicas[index].is_paused = true;
                return;
            }
            Fault::Kill => return self.restart(index),
            Fault::Leave => return self.replicas[index].leave(),
            Fault::Recover => {
                self.replicas[index].is_paused = false;
                link
            }
            Fault::DelayRequests(request_delay) => Link {
                request_delay,
                ..link
            },
            Fault::DelayAnswers(answer_delay) => Link { answer_delay, ..link },
            Fault::LoseRequests => Link {
                loses_requests: true,
                ..link
            },
            Fault::LoseAnswers => Link {
                loses_answers: true,
                ..link
            },
            Fault::FailRequests => Link { fails: true, ..link },
        };
        self.network.set_link(index, link);
    }

    /// The replica that leads the first shard.
    pub fn first_leader(&self) -> Option<usize> {
        self.replicas
            .iter()
            .position(|replica| replica.beliefs()[0].may_act)
    }

    /// Everything is reachable from now on: soon each shard has a leader, and the shards are spread evenly and stay so.
    pub fn recover_and_settle(&mut self) -> Result<(), String> {
        for index in 0..self.replicas.len() {
            self.apply(index, Fault::Recover);
        }
        let limit = self.now + SETTLE_WITHIN;
        let mut settled_at = None;
        while settled_at.is_none_or(|at| self.now < at + SETTLED_FOR) {
            if self.now > limit {
                return self.fail(&format!("the shards are spread as {:?}", self.led()));
            }
            self.step()?;
            settled_at = self.is_settled().then(|| settled_at.unwrap_or(self.now));
        }
        Ok(())
    }

    /// How many shards each replica leads.
    fn led(&self) -> Vec<usize> {
        let led = |replica: &Replica| replica.beliefs().iter().filter(|belief| belief.may_act).count();
        self.replicas.iter().map(led).collect()
    }

    fn is_settled(&self) -> bool {
        let led = self.led();
        let (least, most) = (led.iter().min().unwrap(), led.iter().max().unwrap());
        led.iter().sum::<usize>() == usize::from(self.shards) && most - least <= 1
    }
}
