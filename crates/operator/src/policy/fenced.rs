//! Acts that hang on the lease: every permit that passes through here ends with it (P8).

use std::sync::Arc;

use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{Reading, Sighting};
use leeward_core::plan::Aim;
use leeward_core::target::MoveTarget;
use leeward_engine::permit::{Fence, Permit};
use leeward_engine::ports::{Act, ActError};

/// Reads freely, and acts while a fence stands.
#[derive(Debug)]
pub struct Fenced<A> {
    act: Arc<A>,
    fence: Fence,
}

impl<A> Fenced<A> {
    /// Puts acts behind a fence.
    pub fn new(act: Arc<A>, fence: Fence) -> Self {
        Self { act, fence }
    }
}

impl<A: Act> Act for Fenced<A> {
    async fn read(&self, asset: &AssetName) -> Result<Sighting, ActError> {
        self.act.read(asset).await
    }

    async fn confirm(&self, asset: &AssetName, reading: &Reading) -> Result<Option<Sighting>, ActError> {
        self.act.confirm(asset, reading).await
    }

    async fn step_down(&self, permit: Permit, asset: &AssetName, aim: &Aim) -> Result<(), ActError> {
        self.act.step_down(permit.behind(&self.fence), asset, aim).await
    }

    async fn place(&self, permit: Permit, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        self.act.place(permit.behind(&self.fence), stream, target).await
    }

    async fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        self.act
            .cancel_move(permit.behind(&self.fence), stream, target)
            .await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use leeward_core::names::Location;
    use leeward_core::snapshot::Placement;
    use leeward_engine::permit::Authority;

    use super::*;

    /// Does what its permit allows.
    #[derive(Debug)]
    struct Obedient;

    fn obey(permit: &Permit) -> Result<(), ActError> {
        let holds = permit.holds(Timestamp::now());
        holds.then_some(()).ok_or(ActError::PermitExpired)
    }

    impl Act for Obedient {
        async fn read(&self, _: &AssetName) -> Result<Sighting, ActError> {
            Ok(Sighting::Gone)
        }

        async fn confirm(&self, _: &AssetName, _: &Reading) -> Result<Option<Sighting>, ActError> {
            Ok(Some(Sighting::Gone))
        }

        async fn step_down(&self, permit: Permit, _: &AssetName, _: &Aim) -> Result<(), ActError> {
            obey(&permit)
        }

        async fn place(&self, permit: Permit, _: &StreamName, _: &MoveTarget) -> Result<(), ActError> {
            obey(&permit)
        }

        async fn cancel_move(&self, permit: Permit, _: &StreamName, _: &MoveTarget) -> Result<(), ActError> {
            obey(&permit)
        }
    }

    #[tokio::test]
    async fn p8_every_act_needs_the_fence_and_no_look_does() {
        let fence = Fence::open();
        let fenced = Fenced::new(Arc::new(Obedient), fence.clone());
        let permit = || Authority::new([]).issue(Timestamp::now()).unwrap();
        let stream = StreamName::from("ORDERS");
        let asset = AssetName::stream(stream.clone());
        let target = MoveTarget {
            location: Location::from("home"),
            placement: Placement::default(),
            replaces: None,
            servers: Vec::new(),
        };
        for allowed in [Ok(()), Err(ActError::PermitExpired)] {
            assert_eq!(fenced.step_down(permit(), &asset, &Aim::Anyone).await, allowed);
            assert_eq!(fenced.place(permit(), &stream, &target).await, allowed);
            assert_eq!(fenced.cancel_move(permit(), &stream, &target).await, allowed);
            assert!(fenced.read(&asset).await.is_ok());
            fence.end();
        }
    }
}
