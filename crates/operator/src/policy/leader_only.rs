//! Acts of the leader only: every permit that passes through here ends with the lease (P8).

use std::sync::Arc;

use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::target::MoveTarget;
use leeward_core::usage::{Sampled, Sampling};
use leeward_engine::permit::Permit;
use leeward_engine::ports::{Act, ActError};
use leeward_lease::Deadline;
use tokio::time::Instant;

/// Reads freely, and acts only before a deadline.
#[derive(Debug)]
pub struct LeaderOnly<A> {
    act: Arc<A>,
    lease_deadline: Deadline,
}

impl<A> LeaderOnly<A> {
    /// Lets acts happen only before a deadline.
    pub fn new(act: Arc<A>, lease_deadline: Deadline) -> Self {
        Self { act, lease_deadline }
    }

    fn bounded(&self, permit: Permit) -> Permit {
        let lease_deadline = self.lease_deadline.clone();
        permit.only_while(move || lease_deadline.holds())
    }
}

impl<A: Act> Act for LeaderOnly<A> {
    async fn read(&self, asset: &AssetName) -> Result<ReadResult, ActError> {
        self.act.read(asset).await
    }

    async fn confirm(
        &self,
        asset: &AssetName,
        reading: &AssetInfo,
        since: Instant,
    ) -> Result<Option<ReadResult>, ActError> {
        self.act.confirm(asset, reading, since).await
    }

    async fn elected(&self, asset: &AssetName, since: Instant) -> ServerName {
        self.act.elected(asset, since).await
    }

    async fn sample_use(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        self.act.sample_use(sampling).await
    }

    async fn step_down(
        &self,
        permit: Permit,
        asset: &AssetName,
        from: &ServerName,
        successor: &Successor,
    ) -> Result<(), ActError> {
        self.act
            .step_down(self.bounded(permit), asset, from, successor)
            .await
    }

    async fn place(&self, permit: Permit, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        self.act.place(self.bounded(permit), stream, target).await
    }

    async fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        self.act.cancel_move(self.bounded(permit), stream, target).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use leeward_core::names::Location;
    use leeward_core::snapshot::Placement;
    use leeward_engine::permit::Authorizer;

    use super::*;

    #[test]
    fn p8_every_act_is_bounded_by_the_lease() {
        let (product, _) = include_str!("leader_only.rs").split_once("#[cfg(test)]").unwrap();
        let acts = product.matches("permit: Permit,").count();
        assert!(acts >= 3, "{acts} acts");
        assert_eq!(product.matches("(self.bounded(permit),").count(), acts);
    }

    /// Does what its permit allows.
    #[derive(Debug)]
    struct Obedient;

    fn obey(permit: &Permit) -> Result<(), ActError> {
        let holds = permit.holds(Timestamp::now());
        holds.then_some(()).ok_or(ActError::PermitExpired)
    }

    impl Act for Obedient {
        async fn read(&self, _: &AssetName) -> Result<ReadResult, ActError> {
            Ok(ReadResult::Gone)
        }

        async fn confirm(
            &self,
            _: &AssetName,
            _: &AssetInfo,
            _: Instant,
        ) -> Result<Option<ReadResult>, ActError> {
            Ok(Some(ReadResult::Gone))
        }

        async fn elected(&self, _: &AssetName, _: Instant) -> ServerName {
            std::future::pending().await
        }

        async fn sample_use(&self, _: &Sampling) -> Result<Sampled, ActError> {
            Ok(Sampled::default())
        }

        async fn step_down(
            &self,
            permit: Permit,
            _: &AssetName,
            _: &ServerName,
            _: &Successor,
        ) -> Result<(), ActError> {
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
    async fn p8_every_act_needs_the_deadline_and_no_read_does() {
        let lease_deadline = Deadline::open();
        let bounded = LeaderOnly::new(Arc::new(Obedient), lease_deadline.clone());
        let permit = || Authorizer::new([]).issue(Timestamp::now()).unwrap();
        let stream = StreamName::from("ORDERS");
        let asset = AssetName::stream(stream.clone());
        let target = MoveTarget {
            location: Location::from("home"),
            placement: Placement::default(),
            replaces: None,
            servers: Vec::new(),
            owner: None,
        };
        for allowed in [Ok(()), Err(ActError::PermitExpired)] {
            assert_eq!(
                bounded
                    .step_down(permit(), &asset, &ServerName::from("n0"), &Successor::Anyone)
                    .await,
                allowed
            );
            assert_eq!(bounded.place(permit(), &stream, &target).await, allowed);
            assert_eq!(bounded.cancel_move(permit(), &stream, &target).await, allowed);
            assert!(bounded.read(&asset).await.is_ok());
            lease_deadline.end();
        }
    }
}
