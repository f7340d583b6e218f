//! Leadership transfers while a stream moves: asked for as soon as its new peers are caught up, else left to the servers.
//!
//! They are part of the move: recorded with it, counted once, and whatever becomes of them, the servers finish the move.

use std::sync::Arc;

use futures::StreamExt as _;
use leeward_core::action::{Move, Successor};
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{AssetInfo, MOST_TRANSFERS, ReadResult, STEP_DOWN_LANDS, Transfer, transfer};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::refresh::MoveProgress;
use super::{AskedTransfer, StepContext};
use crate::ports::{Act, Clock};

/// Consumers that are looked at, and asked to hand over, together.
const AT_ONCE: usize = 8;

/// The requests for one asset.
#[derive(Debug, Default)]
pub(super) struct TransferTurns {
    /// Whose turn it is to take over, at first.
    turn: usize,
    requests: u32,
    last: Option<Instant>,
}

impl TransferTurns {
    fn beginning_with(turn: usize) -> Self {
        Self {
            turn,
            ..Self::default()
        }
    }
}

/// Whether more may have to be asked for an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asking {
    #[default]
    Open,
    Over,
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// Waits until the new leader of a stream that moves was seen, and has its consumers led from there, too.
    pub(super) async fn transfer_consumers(
        self,
        stream: &StreamName,
        moving: &Move,
        mut reached: watch::Receiver<MoveProgress>,
    ) {
        let led_there = |reach: &MoveProgress| !matches!(reach, MoveProgress::Away);
        if reached.wait_for(led_there).await.is_err() {
            return;
        }
        let asset = |name: &_| AssetName::consumer(stream.clone(), Clone::clone(name));
        // The first turn is the stream's.
        let mut open: Vec<(AssetName, TransferTurns)> = (1..)
            .zip(&moving.transfers.consumers)
            .map(|(turn, name)| (asset(name), TransferTurns::beginning_with(turn)))
            .collect();
        let mut pace = Backoff::of_transfers();
        while !open.is_empty() {
            let look = |(asset, mut asked)| async move {
                let asking = self.transfer_consumer(&asset, moving, &mut asked).await;
                (asking == Asking::Open).then_some((asset, asked))
            };
            let looks = futures::stream::iter(open).map(look).buffer_unordered(AT_ONCE);
            open = looks.filter_map(std::future::ready).collect().await;
            pace.rest().await;
        }
    }

    async fn transfer_consumer(self, asset: &AssetName, moving: &Move, asked: &mut TransferTurns) -> Asking {
        match self.act.read(asset).await {
            Ok(ReadResult::Seen(reading)) => self.transfer(asset, moving, &reading, asked).await,
            Ok(ReadResult::Gone) => Asking::Over,
            Ok(ReadResult::Unanswered) | Err(_) => Asking::Open,
        }
    }

    /// Asks the leader of an asset, as it was just read, to hand over to a peer of the target, if it is time to.
    pub(super) async fn transfer(
        self,
        asset: &AssetName,
        moving: &Move,
        reading: &AssetInfo,
        asked: &mut TransferTurns,
    ) -> Asking {
        let turn = usize::try_from(asked.requests)
            .unwrap_or(usize::MAX)
            .saturating_add(asked.turn);
        let successors = &moving.transfers.successors;
        let means = |reading: &AssetInfo| transfer(&moving.target, successors, reading, self.limits, turn);
        let is_awaited = asked.last.is_some_and(|last| last.elapsed() < STEP_DOWN_LANDS);
        match means(reading) {
            Transfer::Done => return Asking::Over,
            Transfer::Wait => return Asking::Open,
            Transfer::Ask { .. } if is_awaited => return Asking::Open,
            Transfer::Ask { .. } if asked.requests >= MOST_TRANSFERS => return Asking::Over,
            Transfer::Ask { .. } => {}
        }
        // Confirming costs the servers a listing of the account: no more often than requests are sent.
        asked.last = Some(Instant::now());
        let ReadResult::Seen(confirmed) = self.confirmed(asset, reading.clone()).await else {
            return Asking::Open;
        };
        let meant = means(&confirmed);
        let Transfer::Ask { from, to } = meant.clone() else {
            return Asking::Open;
        };
        // That may have taken a while, in which the servers got to it.
        match self.act.read(asset).await {
            Ok(ReadResult::Seen(now)) if means(&now) == meant => {}
            Ok(_) | Err(_) => return Asking::Open,
        }
        let Ok(permit) = self.authorizer.issue(self.clock.now()) else {
            return Asking::Over;
        };
        let successor = Successor::Peer(to.clone());
        let transfer = AskedTransfer {
            asset: asset.clone(),
            from: from.clone(),
            to,
            at: self.clock.now(),
            answer: None,
        };
        // On record before the answer, which may come when nobody waits for it any more.
        let sent = Arc::clone(self.sent);
        let permit = permit.reporting(move || sent.add_transfer(transfer.clone()));
        let answer = self.act.step_down(permit, asset, &from, &successor).await;
        self.sent.answered(asset, answer.clone());
        asked.requests = asked.requests.saturating_add(1);
        asked.last = Some(Instant::now());
        match answer {
            Err(error) if !error.is_passing() && !error.may_have_acted() => Asking::Over,
            Ok(()) | Err(_) => Asking::Open,
        }
    }
}
