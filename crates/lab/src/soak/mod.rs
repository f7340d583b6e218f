//! `leeward-lab soak`: Leeward unattended while servers, links, clients, operator and Kubernetes API come and go.
//!
//! Publishers and consumers account for every message, a recorder sees every request of Leeward at the servers, and a
//! judge checks both against what Leeward promises. In the end everything is healed and has to come home again.

mod disturb;
pub mod judge;
mod recorder;
mod report;
mod testbed;

use std::time::Duration;

use anyhow::{Context, ensure};
use fastrand::Rng;

use crate::demo::Shape;
use crate::folder::Folder;
use crate::print_line;
pub use disturb::Disturbance;
use disturb::{Driver, SoakPace};
use judge::SoakRules;
pub use report::{ActionCounts, SoakReport};
use testbed::{Testbed, condition};

/// The approximate time to start a testbed and to end it.
const START_AND_END: Duration = Duration::from_secs(75);

#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed chooses the same disturbances.
    pub seed: u64,
    pub shapes: Vec<Shape>,
    pace: SoakPace,
    cooldown: Duration,
    budget: usize,
}

impl Options {
    /// These shapes, one after the other, about this long in all.
    pub fn long(shapes: Vec<Shape>, in_all: Duration, seed: u64) -> Self {
        let parts = u32::try_from(shapes.len()).unwrap_or(u32::MAX).max(1);
        let each = (in_all / parts).saturating_sub(START_AND_END).max(START_AND_END);
        Self {
            seed,
            shapes,
            pace: SoakPace::Until(each),
            cooldown: Duration::from_secs(20),
            budget: 12,
        }
    }

    /// A minute on the supercluster, with a few disturbances of each kind.
    pub fn short(seed: u64) -> Self {
        Self {
            seed,
            shapes: vec![Shape::Supercluster],
            pace: SoakPace::Once,
            cooldown: Duration::from_secs(8),
            budget: 20,
        }
    }

    fn rules(&self) -> SoakRules {
        SoakRules {
            max_concurrent: 3,
            moves: 2,
            cooldown: self.cooldown,
            budget: self.budget,
            per: Duration::from_mins(1),
            largest_status: 256 << 10,
        }
    }
}

/// Soaks every shape; an error where one is not clean.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    print_line(format!("seed {}", options.seed));
    let mut reports = Vec::new();
    for shape in &options.shapes {
        reports.push(Box::pin(soak(*shape, options)).await?);
    }
    for report in &reports {
        print_line(format!("\n{report}"));
    }
    ensure!(
        reports.iter().all(SoakReport::is_clean),
        "the soak of seed {} found losses or broken promises",
        options.seed
    );
    Ok(())
}

/// Soaks one shape. An error means that it did not get far enough to be judged.
pub async fn soak(shape: Shape, options: &Options) -> anyhow::Result<SoakReport> {
    let folder = Folder::temporary()?;
    let site = match shape {
        Shape::Supercluster => "supercluster of 2 x 3 servers",
        Shape::Stretched => "stretched cluster of 2 x 3 servers",
    };
    print_line(format!("starting a {site} and a Kubernetes API …"));
    let mut place = Box::pin(Testbed::start(shape, options.rules(), folder.path())).await?;
    place
        .until_in_place()
        .await
        .context("nothing has been disturbed yet")?;
    let mut driver = Driver {
        site: &mut place,
        rng: Rng::with_seed(options.seed),
        pace: options.pace,
        done: std::collections::BTreeMap::new(),
    };
    Box::pin(driver.run())
        .await
        .context("a disturbance did not end")?;
    let disturbances = driver.done;
    let report = SoakReport {
        site: site.to_owned(),
        disturbances,
        ..SoakReport::default()
    };
    Box::pin(finish(place, options, report)).await
}

/// Everything is healthy again: all leaders come home, nothing more is done, and every message is accounted for.
async fn finish(mut place: Testbed, options: &Options, mut report: SoakReport) -> anyhow::Result<SoakReport> {
    place.log("no more disturbances");
    place.until_whole().await?;
    until_quiet(&place).await?;
    report.actions = ActionCounts::in_log(&place.operator.log()?);
    let status = place.policy().await?["status"].take();
    let (reason, message) = condition(&status, "InPlace").context("a condition")?;
    report.ended = format!("{reason}: {message}");
    account(&mut place, &mut report).await?;
    let evidence = place.witness.evidence();
    report.requests = place.witness.requests();
    let sizes = evidence.statuses.iter().map(|seen| seen.bytes);
    report.largest_status = sizes.max().unwrap_or_default();
    report.violations = judge::judge(&evidence, &options.rules());
    place.operator.stop().await?;
    Ok(report)
}

/// Waits until nothing more is done. A leader that changes by itself on a busy machine is brought back, which is fine;
/// if that never ends, the judge sees requests after everything was in place.
async fn until_quiet(place: &Testbed) -> anyhow::Result<()> {
    /// Two full looks of the operator.
    const QUIET: Duration = Duration::from_secs(11);
    for _ in 0..3 {
        place.until_in_place().await?;
        let before = place.witness.requests();
        place.witness.all_done();
        place.log("all is in place");
        tokio::time::sleep(QUIET).await;
        if place.witness.requests() == before {
            break;
        }
    }
    Ok(())
}

async fn account(place: &mut Testbed, report: &mut SoakReport) -> anyhow::Result<()> {
    let ended = place.load.stop().await;
    let summary = ended.summary;
    report.published = summary.published();
    report.acknowledged = summary.acknowledged();
    report.delivered = summary.delivered();
    report.lost = summary.outstanding();
    let stall = ended.phases.total().publish.quantiles().max_micros;
    report.publish_stall = Duration::from_micros(stall);
    for stream in Testbed::loaded() {
        let check = place.load.verify_stream(&place.admin, stream).await?;
        if !check.is_exact() {
            print_line(format!("{stream}: {check}"));
        }
        report.lost += check.missing;
        report.doubled += check.doubled;
    }
    Ok(())
}
