//! The folder in which a lab keeps its configs, logs and stores.
//!
//! It is removed with the value, unless `LEEWARD_LAB_KEEP=1` or it existed before. Temporary folders of labs that were
//! killed are removed by the next lab: each holds a locked file, and a lock that is free means that its owner is gone.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

const PREFIX: &str = "leeward-lab-";
const LOCK: &str = ".lock";

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    ours: bool,
    _lock: Option<File>,
}

impl Folder {
    /// A new folder below the temp folder of the system.
    pub fn temporary() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        Self::temporary_in(&parent)
    }

    fn temporary_in(parent: &Path) -> anyhow::Result<Self> {
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let path = made.context("cannot create the lab's temp folder")?.keep();
        // The name comes last: the lock must not be found before it is held.
        let unnamed = path.join(".new-lock");
        let lock = File::create(&unnamed).context("cannot lock the lab's folder")?;
        lock.lock().context("cannot lock the lab's folder")?;
        std::fs::rename(&unnamed, path.join(LOCK)).context("cannot lock the lab's folder")?;
        Ok(Self {
            path,
            ours: true,
            _lock: Some(lock),
        })
    }

    /// The folder at `path`, made if it is missing.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        let ours = !path.exists();
        std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", path.display()))?;
        Ok(Self {
            path,
            ours,
            _lock: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder of this name inside, made if it is missing.
    pub fn inside(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let keep = std::env::var_os("LEEWARD_LAB_KEEP").is_some_and(|value| value == "1");
        let result = match (self.ours, keep) {
            (true, false) => std::fs::remove_dir_all(&self.path),
            // Without a lock file it does not count as abandoned.
            (true, true) => std::fs::remove_file(self.path.join(LOCK)).or(Ok(())),
            (false, _) => Ok(()),
        };
        if let Err(error) = result {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the lab's folder");
        }
    }
}

/// Writes a file, and makes its folder if it is missing.
pub(crate) fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes what killed labs left. Best effort: what cannot be read or removed belongs to somebody else.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_there_before_stays() {
        let outer = tempfile::tempdir().unwrap();
        let there = outer.path().join("there");
        std::fs::create_dir(&there).unwrap();
        drop(Folder::at(&there).unwrap());
        assert!(there.exists());
        let made = outer.path().join("made");
        drop(Folder::at(&made).unwrap());
        assert!(!made.exists());
    }

    #[test]
    fn folders_are_removed_with_their_owner_and_by_the_next_lab() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folder::temporary_in(parent.path()).unwrap();
        let abandoned = parent.path().join("leeward-lab-abandoned");
        let kept = parent.path().join("leeward-lab-kept");
        let foreign = parent.path().join("foreign");
        for path in [&abandoned, &kept, &foreign] {
            std::fs::create_dir(path).unwrap();
        }
        File::create(abandoned.join(LOCK)).unwrap();
        File::create(foreign.join(LOCK)).unwrap();
        remove_abandoned(parent.path());
        assert!(!abandoned.exists());
        assert!(kept.exists() && foreign.exists() && alive.path().exists());
        let path = alive.path().to_path_buf();
        drop(alive);
        assert!(!path.exists());
    }
}
