//! The shared parts of the end-to-end tests, which are in `tests/e2e`.
//!
//! A [`Stage`] is one NATS system, a namespace of a kube-apiserver that tests share, and the built operator, which runs
//! with a service account's RBAC. Tests observe with `kubectl` and the `nats` command, as users do.

use std::path::Path;

pub mod assets;

mod binary;
pub mod cli;
pub mod shared_kube;
mod stage;

pub use binary::build;
pub use stage::{CONVERGED, Stage, condition};

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
