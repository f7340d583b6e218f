//! One module for each command.

pub mod apply;
pub mod check;
mod drive;
pub mod explain;
pub mod loglevel;
pub mod plan;
pub mod report;
pub mod run;
pub mod shell;
pub mod switch;
pub mod watch;

use crate::args::CommonArgs;
use crate::exit::LookOutcome;
use crate::judge::Assessment;
use crate::loaded_policy::LoadedPolicy;
use crate::look::{LookTimeouts, Looked, look_at_own};
use crate::{policies, runtime};

/// The worst outcome under any policy.
fn worst(judged: &[Assessment<'_>]) -> LookOutcome {
    let found = judged.iter().map(Assessment::found);
    found.max().unwrap_or(LookOutcome::InPlace)
}

/// The policies that the arguments select, and a look at their account.
fn looked(args: &CommonArgs) -> anyhow::Result<(Vec<LoadedPolicy>, Looked)> {
    runtime::block_on(async {
        let subject = policies::read(&args.connection, &args.policy).await?;
        let seen = look_at_own(&subject.connections, LookTimeouts::of(&args.connection)).await?;
        Ok((subject.policies, seen))
    })
}
