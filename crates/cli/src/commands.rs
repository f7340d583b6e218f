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
mod usage;
pub mod watch;

use leeward_core::names::StreamName;
use leeward_core::snapshot::AccountView;

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

/// The policies that the arguments select, and a look at their account, with a sample of who uses a stream.
fn looked(args: &CommonArgs, sampled: Option<&StreamName>) -> anyhow::Result<(Vec<LoadedPolicy>, Looked)> {
    runtime::block_on(async {
        let subject = policies::read(&args.connection, &args.policy).await?;
        let choose = |_: &AccountView| sampled.into_iter().cloned().collect();
        let timeouts = LookTimeouts::of(&args.connection);
        let seen = look_and_sample(&subject.connections, timeouts, choose).await?;
        Ok((subject.policies, seen))
    })
}
