//! `cargo xtask image`: the container image as an OCI archive, made without Docker.
//!
//! Promises: the same commit, with the same Rust and C compilers, gives the same bytes wherever they and the checkout
//! are. The written archive is read back: digests, user, a static binary that runs. Not done here: pushing, signing,
//! and multi-architecture images.

mod archive;
mod binary;
mod build;
mod content;
mod origin;
mod paths;
mod proof;
mod reference;
mod tarball;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::digest::Digest;
use crate::{generated::repository, sbom};
use archive::Image;
use build::{Built, Platform};
use origin::Origin;
use paths::Paths;
use reference::Reference;

const DESCRIPTION: &str = "Keeps NATS JetStream leaders next to the clients that use them";

#[derive(clap::Args)]
pub struct ImageArgs {
    /// Cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// The archive; the SBOM is written beside it, with the ending .cdx.json [default: target/image/leeward.tar].
    #[arg(long)]
    output: Option<PathBuf>,
    /// Name and tag of the image [default: leeward:VERSION].
    #[arg(long)]
    tag: Option<Reference>,
    /// Where the source code is, for the label org.opencontainers.image.source.
    #[arg(long)]
    source: Option<String>,
    /// The commit, for the label org.opencontainers.image.revision [default: what git says].
    #[arg(long)]
    revision: Option<String>,
    /// Write the files of the image into this folder and no archive, as the Dockerfile does.
    #[arg(long, conflicts_with_all = ["output", "tag", "source", "revision"])]
    files: Option<PathBuf>,
}

/// Builds the binary, then writes the archive and its SBOM, or the files alone.
pub fn run(args: &ImageArgs) -> anyhow::Result<()> {
    let platform = Platform::of_this_machine()?;
    let paths = Paths::of_this_machine()?;
    let built = build::build(&platform, &args.profile, &paths)?;
    let executable =
        fs::read(&built.executable).with_context(|| format!("cannot read {}", built.executable.display()))?;
    if let Some(reason) = binary::why_unfit(&executable, &paths.folders()) {
        bail!("{}: {reason}", built.executable.display());
    }
    match &args.files {
        Some(folder) => content::write(folder, &content::files(executable)),
        None => write_archive(args, platform, &built, executable),
    }
}

fn write_archive(
    args: &ImageArgs,
    platform: Platform,
    built: &Built,
    executable: Vec<u8>,
) -> anyhow::Result<()> {
    let origin = Origin::find(args.revision.clone())?;
    let output = match &args.output {
        Some(path) => path.clone(),
        None => repository().join("target/image/leeward.tar"),
    };
    let folder = output.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let bom = sbom::of_build(platform.triple, &built.packages, &executable, origin.time)?;
    let image = Image {
        reference: match &args.tag {
            Some(reference) => reference.clone(),
            None => format!("leeward:{}", env!("CARGO_PKG_VERSION")).parse()?,
        },
        labels: labels(&origin, args.source.as_deref()),
        architecture: platform.architecture,
        time: origin.time,
        files: content::files(executable),
    };
    let bytes = archive::pack(&image)?;
    proof::prove(&bytes, &image)?;

    write(&output, &bytes)?;
    let bom_path = output.with_extension("cdx.json");
    write(&bom_path, bom.as_bytes())?;
    summarise(&[(&output, &bytes), (&bom_path, bom.as_bytes())])?;
    Ok(())
}

/// The labels, by the names that the OCI image specification reserves.
fn labels(origin: &Origin, source: Option<&str>) -> BTreeMap<String, String> {
    let time = origin.time.to_string();
    [
        ("created", Some(time.as_str())),
        ("description", Some(DESCRIPTION)),
        ("licenses", Some(env!("CARGO_PKG_LICENSE"))),
        ("revision", Some(&origin.revision)),
        ("source", source),
        ("title", Some("leeward")),
        ("version", Some(env!("CARGO_PKG_VERSION"))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?.to_owned())))
    .collect()
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn summarise(written: &[(&PathBuf, &[u8])]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (path, bytes) in written {
        let digest = Digest::of(bytes);
        writeln!(stdout, "{digest}  {} bytes  {}", bytes.len(), path.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod recipes;
#[cfg(test)]
mod tests;
