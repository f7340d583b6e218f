//! The commit of the image, and the time stamp of everything in it.

use std::env;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::cargo::printed;

pub struct Origin {
    /// The commit; with `-dirty` where the checkout differs from it.
    pub revision: String,
    /// `SOURCE_DATE_EPOCH`, or the time of the commit.
    pub time: Timestamp,
}

impl Origin {
    /// Reads from git what is not given.
    pub fn find(revision: Option<String>) -> anyhow::Result<Self> {
        let revision = match revision {
            Some(revision) => revision,
            None => git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
                .context("cannot tell the commit; give it as --revision")?,
        };
        let seconds = match env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => git(&["log", "-1", "--format=%ct"])
                .context("cannot tell the time of the commit; give it in seconds as SOURCE_DATE_EPOCH")?,
        };
        let seconds = seconds.parse().with_context(|| {
            format!("SOURCE_DATE_EPOCH is `{seconds}`; it must be whole seconds since 1970")
        })?;
        let time = Timestamp::from_second(seconds).context("SOURCE_DATE_EPOCH is out of range")?;
        Ok(Self { revision, time })
    }
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let printed = printed("git".as_ref(), arguments)?;
    Ok(printed.trim().to_owned())
}
