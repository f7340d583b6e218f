//! `leeward-lab demo`: the main job on real servers, from misplaced leaders to a table of before and after.
//!
//! Two locations with 40 ms between them, and an account with most of its clients in us-east. Four streams are used from
//! there and led from eu-west. Two are used from eu-west: one is led from us-east and one from eu-west, where it has to stay.
//! Besides, load that accounts for every message, a Kubernetes API, and the built operator.

mod scene;
mod table;
mod watch;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;

use crate::folder::Folder;
use crate::kube::Kube;
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, Layout};
use crate::print_line;
use scene::{AWAY, ClientCount, DemoScene, GROUPS, HOME};
use table::DemoOutcome;

const NAMESPACE: &str = "leeward-demo";
/// How long load runs for each of the two measurements.
const MEASURED: Duration = Duration::from_secs(8);
/// The end of the home's specification in the examples, and what the demo adds: the default of 200 messages a minute is for
/// windows of minutes.
const WINDOW: &str = "\n    stabilizationWindow: 10s\n";
const SAMPLING: &str = "    sampling: {messagesPerMinute: 2000}\n";

/// What shape the system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Two clusters joined by gateways: streams move.
    Supercluster,
    /// One cluster over two regions: leaders step down.
    Stretched,
}

impl Shape {
    /// Servers in these locations, with this many in each.
    pub fn layout(self, locations: &[(&str, usize)]) -> Layout {
        match self {
            Self::Supercluster => Layout::supercluster(locations),
            Self::Stretched => Layout::stretched(locations),
        }
    }
}

/// Plays the demo; with `keep` everything stays until the future is dropped.
pub async fn play(shape: Shape, keep: bool) -> anyhow::Result<()> {
    let folder = Folder::temporary()?;
    print_line(format!(
        "starting {} NATS servers and a Kubernetes API …",
        scene::SERVERS * 2
    ));
    let (scene, kube) = tokio::try_join!(
        DemoScene::start(shape, folder.path()),
        kube_for(NAMESPACE, folder.path())
    )?;
    let mut scene = scene;
    print_line(describe(&scene).await?);
    let leaders_before = scene.leaders().await?;
    print_line(format!("measuring for {} s as it is …", MEASURED.as_secs()));
    let before = scene.measure(MEASURED).await;

    let mut operator = operator_in(NAMESPACE, &kube, folder.path()).await?;
    let began = Instant::now();
    apply_example(shape, &kube, &scene).await?;
    watch::until_in_place(&kube, NAMESPACE, &scene, began)
        .await
        .with_context(|| format!("the operator's log ends:\n{}", operator.log_tail(15)))?;
    let converged = began.elapsed();
    // The time in which leaders moved belongs to neither measurement.
    let moving = scene.cut_phase();
    print_line(format!("measuring for {} s again …", MEASURED.as_secs()));
    let after = scene.measure(MEASURED).await;
    let leaders_after = scene.leaders().await?;
    let (_, metrics) = operator.get("/metrics").await?;
    let totals = scene.stop_load().await?;
    let outcome = DemoOutcome {
        leaders_before,
        leaders_after,
        before,
        moving,
        after,
        totals,
        metrics,
        converged,
    };
    table::print(&outcome)?;
    if keep {
        print_line(look_around(&kube, &scene, &operator, folder.path())?);
        std::future::pending::<()>().await;
    }
    operator.stop().await?;
    scene.end().await;
    if outcome.totals.lost > 0 {
        bail!("{} acknowledged messages were lost", outcome.totals.lost);
    }
    scene::next_to_their_users(&outcome.leaders_after)
}

async fn describe(scene: &DemoScene) -> anyhow::Result<String> {
    let ClientCount { home, away } = scene.clients();
    let mut text = format!(
        "account {DEFAULT_ACCOUNT}: {home} clients in {HOME}, {away} in {AWAY}; {:.0} ms between them",
        scene.round_trip().await?.as_secs_f64() * 1000.0
    );
    for group in &GROUPS {
        let (used, led) = (group.used_from, group.led_from);
        let _ = write!(text, "\n  {}: used from {used}, led from {led}", group.name());
    }
    Ok(text)
}

/// Applies the Secrets and the example, with the lab's server addresses instead of the example's.
async fn apply_example(shape: Shape, kube: &Kube, scene: &DemoScene) -> anyhow::Result<()> {
    let system = scene.system();
    let account = system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?;
    let secrets = [
        manifests::credentials(NAMESPACE, "nats-system", system.system_credentials()?),
        manifests::credentials(NAMESPACE, "orders-nats", account),
    ];
    for secret in secrets {
        kube.apply(&secret.to_string()).await?;
    }
    let (name, example) = match shape {
        Shape::Supercluster => (
            "quickstart.yaml",
            include_str!("../../../../examples/quickstart.yaml"),
        ),
        Shape::Stretched => (
            "stretched.yaml",
            include_str!("../../../../examples/stretched.yaml"),
        ),
    };
    let urls = system
        .server_names()
        .iter()
        .map(|server| system.url(server))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut example = example.replace("nats://127.0.0.1:4222", &urls.join("\", \""));
    if !example.contains("\n  disruption:") {
        // The policy comes last, and JSON is YAML.
        example = format!("{example}  disruption: {}\n", manifests::without_limits());
    }
    ensure!(example.contains(WINDOW), "examples/{name} has no line {WINDOW}");
    example = example.replace(WINDOW, &format!("{WINDOW}{SAMPLING}"));
    print_line(format!(
        "applying examples/{name}, with ten times the samples that a policy takes by default, and without its budget and quiet \
         times …\n"
    ));
    let path = scene.folder().join(name);
    std::fs::write(&path, example)?;
    let path = path.display().to_string();
    kube.kubectl(&["apply", "--namespace", NAMESPACE, "--filename", &path])
        .await?;
    Ok(())
}

fn look_around(kube: &Kube, scene: &DemoScene, operator: &Operator, folder: &Path) -> anyhow::Result<String> {
    let system = scene.system();
    let context = system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, HOME)?;
    let kubectl = crate::tools::tool(crate::tools::Tool::Kubectl)?;
    let nats = crate::tools::tool(crate::tools::Tool::Nats)?;
    Ok(format!(
        "\neverything goes on running; Ctrl-C ends it. Look around:\n\n  \
         export KUBECONFIG={kubeconfig} XDG_CONFIG_HOME={config}\n  \
         {kubectl} --namespace {NAMESPACE} get natssystems,placementpolicies --output wide\n  \
         {kubectl} --namespace {NAMESPACE} describe placementpolicy orders\n  \
         {nats} --context {context} stream report\n  \
         curl http://{address}/metrics\n  \
         tail -f {log}\n",
        kubeconfig = kube.admin_kubeconfig().display(),
        config = system.config_home().display(),
        kubectl = kubectl.display(),
        nats = nats.display(),
        address = operator.metrics(),
        log = folder.join("operator.log").display(),
    ))
}
