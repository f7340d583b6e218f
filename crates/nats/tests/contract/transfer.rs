//! Leaders of a stream that moves hand over to its new peers as soon as these are caught up.

use std::time::Duration;

use anyhow::bail;
use leeward_core::action::Successor;
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{Transfer, VerifyLimits, transfer};
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{NatsVersion, eventually};

use crate::act::{consumer_asset, seen, stream_asset};
use crate::cancel::{clusters, create, placement, target};
use crate::support::{LIMIT, permit};

const LIMITS: VerifyLimits = VerifyLimits {
    move_timeout: Duration::from_mins(5),
    max_requests: 3,
    max_lag: 0,
    max_ack_pending: None,
    refresh_dependents: true,
};

#[tokio::test(flavor = "multi_thread")]
async fn leaders_of_a_stream_that_moves_hand_over_to_new_peers_that_are_caught_up() {
    let (_system, client, account, _observer) = clusters(NatsVersion::Newest).await;
    let before = placement("us-east");
    create(&client, Some(before.clone())).await;
    let target = target(Some(before));
    account
        .place(permit(), &StreamName::from("S"), &target)
        .await
        .unwrap();
    let led_there = |asset: AssetName| {
        let (account, target) = (&account, &target);
        async move {
            let reading = seen(account, &asset).await?;
            match transfer(target, &target.servers, &reading, &LIMITS, 0) {
                Transfer::Done => Ok(()),
                Transfer::Wait => bail!("{reading:?}"),
                Transfer::Ask { from, to } => {
                    account
                        .step_down(permit(), &asset, &from, &Successor::Peer(to))
                        .await?;
                    bail!("{asset} was asked to hand over")
                }
            }
        }
    };
    for asset in [stream_asset("S"), consumer_asset("S", "C")] {
        eventually(LIMIT, "it is led from its target", || led_there(asset.clone()))
            .await
            .unwrap();
    }
    eventually(LIMIT, "the old peers are gone", || async {
        let reading = seen(&account, &stream_asset("S")).await?;
        anyhow::ensure!(!reading.is_moving(), "{reading:?}");
        let there = reading
            .peers
            .iter()
            .all(|peer| target.servers.contains(&peer.server));
        anyhow::ensure!(there, "{reading:?}");
        Ok(())
    })
    .await
    .unwrap();
}
