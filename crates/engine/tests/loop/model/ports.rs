//! The fake system behind the ports.

use std::sync::Arc;

use leeward_core::action::Successor;
use leeward_core::names::{AccountId, AssetName, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::snapshot::AccountView;
use leeward_core::target::MoveTarget;
use leeward_core::usage::{Sampled, Sampling};
use leeward_engine::permit::Permit;
use leeward_engine::ports::{Act, ActError, Clock as _, Observe};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Behaviour, Call, Change, Confirms, FakeSystem};

/// What comes of a sampling.
pub type OnSample = fn(&Sampling) -> Result<Sampled, ActError>;

impl Observe for FakeSystem {
    fn watch(&self, _: &AccountId) -> watch::Receiver<Arc<AccountView>> {
        self.views.subscribe()
    }

    fn refresh(&self, _: &AccountId) {
        self.state().refreshes += 1;
        self.wanted.notify_one();
    }
}

impl Act for FakeSystem {
    async fn read(&self, asset: &AssetName) -> Result<ReadResult, ActError> {
        let read_result = self.call(Call::Read(asset.clone()), |state| {
            if state.failing_reads > 0 {
                state.failing_reads -= 1;
                return Err(ActError::Disconnected);
            }
            Ok(state.read(asset))
        });
        let read_result = read_result.await;
        let told = self.state().on_read;
        if let Some(told) = told {
            told(self);
        }
        read_result
    }

    async fn confirm(
        &self,
        _: &AssetName,
        reading: &AssetInfo,
        since: Instant,
    ) -> Result<Option<ReadResult>, ActError> {
        let mut reading = reading.clone();
        match self.state().confirms {
            None => return Ok(None),
            Some(Confirms::All) => {}
            Some(Confirms::LaterThan(stale)) if since >= stale => {}
            Some(Confirms::LaterThan(_)) => {
                let message = "another one led it then".to_owned();
                return Err(ActError::AnswersDiffer { message });
            }
            Some(Confirms::Lagging) => {
                for peer in &mut reading.peers {
                    (peer.current, peer.lag) = (false, 1_000_000);
                }
            }
            Some(Confirms::LedBy(server)) => {
                if reading.leader != Some(ServerName::from(server)) {
                    let message = format!("{server} leads it");
                    return Err(ActError::AnswersDiffer { message });
                }
            }
        }
        Ok(Some(ReadResult::Seen(reading)))
    }

    async fn elected(&self, asset: &AssetName, since: Instant) -> ServerName {
        loop {
            let elected = self.state().announced.since(asset, since);
            match elected {
                Ok(leader) => return leader,
                Err(Some(again)) => tokio::time::sleep(again).await,
                Err(None) => std::future::pending().await,
            }
        }
    }

    async fn sample_use(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        let mut state = self.state();
        state.samplings.push((self.clock.elapsed(), sampling.clone()));
        match state.on_sample {
            Some(answer) => answer(sampling),
            None => Ok(Sampled::default()),
        }
    }

    async fn step_down(
        &self,
        permit: Permit,
        asset: &AssetName,
        _: &ServerName,
        successor: &Successor,
    ) -> Result<(), ActError> {
        let at = self.clock.elapsed();
        assert!(
            !matches!(self.state().behaviour_of(asset), Behaviour::Panic),
            "the adapter breaks down, as scripted"
        );
        self.call(Call::Write(asset.clone()), |state| {
            if !permit.holds(self.clock.now()) {
                return Err(ActError::PermitExpired);
            }
            state.ask(asset, Some(successor), at, |state| {
                let elected = state.elected(asset, successor)?;
                let leader = state.truth.topology.get(elected)?.name.clone();
                state.announced.record(asset, leader);
                Some(Change::Lead(elected))
            })
        })
        .await
    }

    async fn place(&self, permit: Permit, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        let at = self.clock.elapsed();
        let asset = AssetName::stream(stream.clone());
        self.call(Call::Write(asset.clone()), |state| {
            if !permit.holds(self.clock.now()) {
                return Err(ActError::PermitExpired);
            }
            state.ask(&asset, None, at, |state| Some(state.begin_move(stream, target)))
        })
        .await
    }

    async fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        let asset = AssetName::stream(stream.clone());
        self.call(Call::Write(asset.clone()), |state| {
            if !permit.holds(self.clock.now()) {
                return Err(ActError::PermitExpired);
            }
            state.cancels.push(self.clock.elapsed());
            state.cancel_move(&asset, target)
        })
        .await
    }
}
