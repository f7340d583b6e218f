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

use crate::args::{ConnectionArgs, PolicyArgs};
use crate::loaded_policy::LoadedPolicy;
use crate::look::{LookTimeouts, Looked, look_at_own};
use crate::policies::{self};

/// The policies that the arguments mean, and a look at the account that they are about.
async fn looked(
    connection: &ConnectionArgs,
    policy: &PolicyArgs,
) -> anyhow::Result<(Vec<LoadedPolicy>, Looked)> {
    let subject = policies::read(connection, policy).await?;
    let seen = look_at_own(&subject.connections, LookTimeouts::of(connection)).await?;
    Ok((subject.policies, seen))
}
