//! How fast leaders come home, against today's practice and against a floor, in one run.
//!
//! R3 consumers of a stretched cluster, all led from outside their home. A script sends one aimed step-down per consumer, all
//! at once, and reads the leaders back; the floor sends the same, and nothing is checked before or after.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::json;

use super::field::{FieldSize, HOME, OUTSIDE_HOME, Testfield};
use super::runs::Runs;
use super::{LIMIT, NAMESPACE, apply_system, rest, until_misplaced};
use crate::folder::Folder;
use crate::kube::Kube;
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::print_line;

const HUNDRED: FieldSize = FieldSize {
    streams: 10,
    consumers_each: 10,
};
const THOUSAND: FieldSize = FieldSize {
    streams: 20,
    consumers_each: 50,
};

/// Leeward may do as many at once as a policy can say, as the floor does all at once.
const AT_ONCE: u32 = 100;

pub(super) async fn run(runs: usize) -> anyhow::Result<()> {
    print_line("\ntimes in seconds: median of the runs (shortest-longest)");
    let folder = Folder::temporary()?;
    let mut bench = Box::pin(ConvergeBench::start(folder.path(), HUNDRED)).await?;
    let by_command = bench.by_command().await?;
    print_line(format!(
        "\nnats consumer cluster step-down  {by_command:>20}  (100 consumers, once)"
    ));
    let leeward = bench.compare(runs).await?;
    let faster = by_command.ratio(&leeward);
    print_line(format!("leeward is {faster:.1} x faster than the loop (aim: 20)"));
    let reaction = bench.reaction(runs).await?;
    print_line(format!(
        "all clients move to the other region: leaders are there after {reaction} (aim: 5)"
    ));
    print_line(rest::measure(bench.operator.id()).await?);
    bench.operator.stop().await?;
    drop(bench);

    let folder = Folder::temporary()?;
    let mut bench = Box::pin(ConvergeBench::start(folder.path(), THOUSAND)).await?;
    bench.compare(runs).await?;
    bench.operator.stop().await?;
    Ok(())
}

struct ConvergeBench {
    operator: Operator,
    kube: Kube,
    size: FieldSize,
    field: Testfield,
}

impl ConvergeBench {
    async fn start(folder: &Path, size: FieldSize) -> anyhow::Result<Self> {
        let (field, kube) = tokio::try_join!(Testfield::start(folder, size), kube_for(NAMESPACE, folder))?;
        let operator = operator_in(NAMESPACE, &kube, folder).await?;
        let limits = json!({"stepDowns": AT_ONCE});
        apply_system(&kube, field.system(), json!({"limits": limits})).await?;
        Ok(Self {
            operator,
            kube,
            size,
            field,
        })
    }

    /// Today's practice, once: it takes long.
    async fn by_command(&self) -> anyhow::Result<Runs> {
        let mut runs = Runs::default();
        runs.time(self.field.loop_over_the_nats_command()).await?;
        self.field.lead_outside_home().await?;
        Ok(runs)
    }

    /// The floor, a script and Leeward in turns. Leaders are home afterwards.
    async fn compare(&self, runs: usize) -> anyhow::Result<Runs> {
        let (mut floor, mut script, mut leeward) = (Runs::default(), Runs::default(), Runs::default());
        for _ in 0..runs {
            self.apply("Observe").await?;
            self.field.lead_outside_home().await?;
            floor.time(self.field.floor()).await?;
            self.field.lead_outside_home().await?;
            script.add(self.field.script_until_announced().await?);
            self.field.lead_outside_home().await?;
            self.leeward(&mut leeward).await?;
        }
        print_line(format!(
            "\nconverge {} R3 consumers, aimed step-downs\n\
             leeward                          {leeward:>20}\n\
             script: all at once, read back   {script:>20}\n\
             floor: all at once, unchecked    {floor:>20}\n\
             leeward takes {:.2} x the script (aim: 1.2) and {:.2} x the floor",
            self.size.consumers(),
            leeward.ratio(&script),
            leeward.ratio(&floor),
        ));
        Ok(leeward)
    }

    /// From the moment when the policy may act until the servers report every leader at home.
    async fn leeward(&self, runs: &mut Runs) -> anyhow::Result<()> {
        until_misplaced(&self.operator, "", self.size.consumers()).await?;
        let before = self.field.step_downs_by_leeward();
        let converged = async {
            self.apply("Enforce").await?;
            self.until_led_from(HOME).await
        };
        runs.time(converged).await?;
        let asked = self.field.step_downs_by_leeward() - before;
        let needed = u64::try_from(self.size.consumers())?;
        ensure!(asked <= needed * 2, "{asked} step-downs for {needed} consumers");
        Ok(())
    }

    /// From the moment when all clients are elsewhere until every leader is there, too.
    async fn reaction(&mut self, runs: usize) -> anyhow::Result<Runs> {
        let mut reaction = Runs::default();
        for (_, to) in (0..runs).zip([OUTSIDE_HOME, HOME].into_iter().cycle()) {
            self.field.move_clients(to).await?;
            reaction.time(self.until_led_from(to)).await?;
        }
        Ok(reaction)
    }

    async fn until_led_from(&self, location: &str) -> anyhow::Result<()> {
        let led = self.field.until_led_from(location, LIMIT).await;
        led.with_context(|| self.operator.log_tail(10))
    }

    async fn apply(&self, mode: &str) -> anyhow::Result<()> {
        let spec = json!({
            "mode": mode,
            "topology": {"key": "ServerTag", "tagPrefix": "region:"},
            "disruption": {"maxConcurrent": AT_ONCE, "cooldown": "0s"},
            "streams": {"include": ["s-*"]},
        });
        let policy = manifests::placement_policy(NAMESPACE, "bench", spec);
        self.kube.apply(&policy.to_string()).await?;
        Ok(())
    }
}
