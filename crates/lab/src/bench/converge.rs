//! How fast leaders come home, against today's practice and against a floor, in one run.
//!
//! 100 R3 consumers on 10 streams of a stretched cluster, all led from outside their home. The floor sends one aimed
//! step-down per consumer, all at once, and reads the leaders back: nothing that checks before acting can be faster.

use std::time::Instant;

use anyhow::Context;
use serde_json::json;

use super::field::{self, Testfield};
use super::{LIMIT, NAMESPACE, apply_system, rest, until_misplaced};
use crate::folder::Folder;
use crate::kube::Kube;
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::print_line;

pub(super) async fn run() -> anyhow::Result<()> {
    let folder = Folder::temporary()?;
    print_line("starting a stretched cluster of six servers and a Kubernetes API …");
    let (field, kube) = tokio::try_join!(
        Testfield::start(folder.path()),
        kube_for(NAMESPACE, folder.path())
    )?;
    let floor = timed(field.floor()).await?;
    field.lead_outside_home().await?;
    let by_hand = timed(field.loop_over_the_nats_command()).await?;
    field.lead_outside_home().await?;
    let mut operator = operator_in(NAMESPACE, &kube, folder.path()).await?;
    let leeward = timed_leeward(&field, &kube, &operator).await?;
    print_line(format!(
        "\nconverge {} R3 consumers          seconds   step-downs\n\
         nats consumer cluster step-down  {:8.2}   {:8}\n\
         leeward                          {:8.2}   {:8}\n\
         floor: aimed, all at once        {:8.2}   {:8}\n\
         leeward is {:.1} x faster than the loop (aim: 20), {:.1} x slower than the floor",
        field::CONSUMERS,
        by_hand.took,
        by_hand.step_downs,
        leeward.took,
        leeward.step_downs,
        floor.took,
        floor.step_downs,
        by_hand.took / leeward.took,
        leeward.took / floor.took,
    ));
    print_line(rest::measure(operator.id()).await?);
    operator.stop().await?;
    Ok(())
}

struct ConvergeRun {
    took: f64,
    step_downs: u64,
}

async fn timed(run: impl Future<Output = anyhow::Result<u64>>) -> anyhow::Result<ConvergeRun> {
    let began = Instant::now();
    let step_downs = run.await?;
    Ok(ConvergeRun {
        took: began.elapsed().as_secs_f64(),
        step_downs,
    })
}

/// From the moment when the policy may act until the servers report every leader at home.
async fn timed_leeward(field: &Testfield, kube: &Kube, operator: &Operator) -> anyhow::Result<ConvergeRun> {
    apply_system(kube, field.system()).await?;
    let policy = |mode: &str| {
        let spec = json!({
            "mode": mode,
            "topology": {"key": "ServerTag", "tagPrefix": "region:"},
            "disruption": {"maxConcurrent": 16, "cooldown": "0s"},
            "streams": {"include": ["s-*"]},
        });
        manifests::placement_policy(NAMESPACE, "bench", spec).to_string()
    };
    kube.apply(&policy("Observe")).await?;
    until_misplaced(operator, "", field::CONSUMERS).await?;
    let before = field.step_downs_by_leeward();
    kube.apply(&policy("Enforce")).await?;
    let began = Instant::now();
    field
        .until_home(LIMIT)
        .await
        .with_context(|| operator.log_tail(10))?;
    Ok(ConvergeRun {
        took: began.elapsed().as_secs_f64(),
        step_downs: field.step_downs_by_leeward() - before,
    })
}
