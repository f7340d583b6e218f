//! Servers that lie, to the commands: none panics, hangs, is killed, steers a terminal or takes much memory.

mod operator;

use std::time::Duration;

use anyhow::{bail, ensure};
use futures::StreamExt as _;
use leeward_lab::hostile::mutation::{Audience, Mutation};
use leeward_lab::hostile::trial::{Looking, Trial};
use leeward_lab::hostile::{Liar, Script, scenarios};
use leeward_lab::leeward::binary;

/// The most that a command may ever take.
const MOST_MEMORY: u64 = 256 << 20;
/// Commands that run at a time.
const COMMANDS_AT_ONCE: usize = 8;
/// Lies made by chance that are told.
const BY_CHANCE: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn report_and_plan_end_in_order_whatever_servers_say() {
    leeward_e2e::build().await.unwrap();
    let trial = Trial {
        binary: binary().unwrap(),
        wait: Duration::from_secs(4),
        limit: Duration::from_mins(2),
        memory: MOST_MEMORY,
    };
    let named = scenarios::all()
        .into_iter()
        .filter(|lie| lie.heavy || lie.name.contains("-escape"));
    let named = named.map(|lie| {
        let looking = if lie.is_of_tenants() {
            Looking::Tenant
        } else {
            Looking::System
        };
        (lie.name.to_owned(), lie.script, looking)
    });
    let by_chance = (0..BY_CHANCE).map(Mutation::of).map(|lie| {
        let looking = match lie.audience {
            Audience::System => Looking::System,
            Audience::Tenant => Looking::Tenant,
        };
        (
            format!("seed {} ({})", lie.seed, lie.describes),
            lie.script,
            looking,
        )
    });
    let faults: Vec<String> = futures::stream::iter(named.chain(by_chance).enumerate())
        .map(|(number, (name, script, looking))| {
            let trial = &trial;
            async move {
                let command = if number % 2 == 0 { "report" } else { "plan" };
                let tried = attempt(trial, script, looking, command).await;
                tried.err().map(|error| format!("{command}, {name}: {error:#}"))
            }
        })
        .buffer_unordered(COMMANDS_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn attempt(trial: &Trial, script: Script, looking: Looking, command: &str) -> anyhow::Result<()> {
    let liar = Liar::start(script).await?;
    let ended = trial.run(&liar, looking, &[command]).await?;
    if let Some(fault) = ended.fault(MOST_MEMORY) {
        bail!("{fault}: {}", ended.last_output());
    }
    ensure!(
        liar.redirected_connections() == 0,
        "credentials went to a server that nobody named"
    );
    Ok(())
}
