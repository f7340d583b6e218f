//! Tar and gzip that depend only on the files: sorted, with one time stamp for all, owned by root.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use super::content::File;

/// The operating system byte of a gzip header for "unknown".
const UNKNOWN_SYSTEM: u8 = 255;

/// The files and the folders that they are in, in the order of their paths.
pub fn tar(files: &[File], time: Timestamp) -> anyhow::Result<Vec<u8>> {
    let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            entries.insert(file.path[..=end].to_owned(), None);
        }
        entries.insert(file.path.clone(), Some(file));
    }
    let seconds = time
        .as_second()
        .try_into()
        .context("a tar archive begins in 1970")?;
    let mut builder = Builder::new(Vec::new());
    for (path, file) in entries {
        append(&mut builder, &path, file, seconds).with_context(|| format!("cannot pack {path}"))?;
    }
    Ok(builder.into_inner()?)
}

/// Compressed as well as gzip can.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let header = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
    let mut writer = header.write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

/// One file, or a folder.
fn append(builder: &mut Builder<Vec<u8>>, path: &str, file: Option<&File>, seconds: u64) -> io::Result<()> {
    let (kind, mode, bytes) = match file {
        Some(file) => (EntryType::Regular, file.mode, file.bytes.as_slice()),
        None => (EntryType::Directory, 0o755, [].as_slice()),
    };
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    builder.append(&header, bytes)
}
