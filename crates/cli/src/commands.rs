//! One module for each command.

pub mod apply;
pub mod check;
mod drive;
pub mod explain;
pub mod loglevel;
pub mod plan;
pub mod report;
pub mod review;
pub mod run;
pub mod shell;
pub mod switch;
mod usage;
pub mod watch;

use leeward_core::usage::Sampling;

use crate::args::CommonArgs;
use crate::exit::LookOutcome;
use crate::judge::Assessment;
use crate::loaded_policy::LoadedPolicy;
use crate::look::{LookTimeouts, Looked, look_and_sample};
use crate::{policies, runtime};

/// The worst outcome under any policy.
fn worst(judged: &[Assessment<'_>]) -> LookOutcome {
    let found = judged.iter().map(Assessment::found);
    found.max().unwrap_or(LookOutcome::InPlace)
}

/// The policies that the arguments select, and a look at their account, with samples of who uses the chosen streams.
fn looked(
    args: &CommonArgs,
    choose: impl Fn(&[LoadedPolicy], &Looked) -> Vec<Sampling>,
) -> anyhow::Result<(Vec<LoadedPolicy>, Looked)> {
    runtime::block_on(async {
        let subject = policies::read(&args.connection, &args.policy).await?;
        let timeouts = LookTimeouts::of(&args.connection);
        let choose = |seen: &Looked| choose(&subject.policies, seen);
        let seen = look_and_sample(&subject.connections, timeouts, choose).await?;
        Ok((subject.policies, seen))
    })
}
