//! Generated files: written, or compared with what is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

/// A file as it should be.
#[derive(Clone)]
pub struct Generated {
    /// Relative to the repository.
    pub path: PathBuf,
    pub text: String,
}

pub fn write(files: &[Generated]) -> anyhow::Result<()> {
    for Generated { path, text } in files {
        fs::write(repository().join(path), text)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Fails with the paths of the files that are missing or differ, and the `task` that writes them.
pub fn check(files: &[Generated], task: &str) -> anyhow::Result<()> {
    let stale: Vec<String> = files
        .iter()
        .filter(|file| {
            fs::read_to_string(repository().join(&file.path)).ok().as_deref() != Some(file.text.as_str())
        })
        .map(|file| file.path.display().to_string())
        .collect();
    ensure!(
        stale.is_empty(),
        "stale, run `cargo xtask {task}`: {}",
        stale.join(", ")
    );
    Ok(())
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
pub fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
