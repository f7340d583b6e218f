//! How much may be read, of one file and of all together: files may be untrusted.

use super::Problem;

/// No file may be larger.
pub const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// All files may not be larger.
const ALL_BYTES: u64 = 64 * 1024 * 1024;
/// All files may not have more values, those that aliases repeat included.
const ALL_VALUES: usize = 1_000_000;
/// Nor more documents, items of lists included.
const ALL_DOCUMENTS: usize = 10_000;
/// A file that is another tool's by its name is not read further.
const SHARE: usize = 10_000;

/// What may still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    bytes: u64,
    values: usize,
    documents: usize,
    is_used_up: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: ALL_BYTES,
            values: ALL_VALUES,
            documents: ALL_DOCUMENTS,
            is_used_up: false,
        }
    }
}

impl Bounds {
    /// Tighter ones.
    #[cfg(test)]
    pub fn of(bytes: u64, values: usize, documents: usize) -> Self {
        Self {
            bytes,
            values,
            documents,
            is_used_up: false,
        }
    }

    /// Whether nothing more is read. A problem reports it.
    pub fn are_used_up(&self) -> bool {
        self.is_used_up
    }

    /// How many values the next text may have; at least one, since an empty text exceeds a budget of zero.
    pub fn values(&self) -> usize {
        self.values.max(1)
    }

    /// A small share, for a text that is probably of no use.
    pub fn share(&self) -> Self {
        Self {
            values: self.values.min(SHARE),
            documents: self.documents.min(SHARE),
            ..*self
        }
    }

    /// Takes what was used of a share.
    pub fn settle(&mut self, left: &Self) {
        let share = self.share();
        self.values = self
            .values
            .saturating_sub(share.values.saturating_sub(left.values));
        self.documents = self
            .documents
            .saturating_sub(share.documents.saturating_sub(left.documents));
    }

    /// How many documents the next text may have.
    pub fn documents(&self) -> usize {
        self.documents.max(1)
    }

    /// Counts a file of this size.
    pub fn take_bytes(&mut self, file: &str, bytes: u64) -> Result<(), Problem> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or_else(|| self.used_up(file, &format!("{} MiB", ALL_BYTES / 1024 / 1024)))?;
        Ok(())
    }

    /// Counts read values.
    pub fn take_values(&mut self, file: &str, values: usize) -> Result<(), Problem> {
        let left = self.values.checked_sub(values);
        self.values = left.ok_or_else(|| self.too_many_values(file))?;
        Ok(())
    }

    /// Counts read documents.
    pub fn take_documents(&mut self, file: &str, documents: usize) -> Result<(), Problem> {
        let left = self.documents.checked_sub(documents);
        self.documents = left.ok_or_else(|| self.too_many_documents(file))?;
        Ok(())
    }

    /// There are more values than may be read.
    pub fn too_many_values(&mut self, file: &str) -> Problem {
        self.used_up(file, &format!("{ALL_VALUES} values"))
    }

    /// There are more documents than may be read.
    pub fn too_many_documents(&mut self, file: &str) -> Problem {
        self.used_up(file, &format!("{ALL_DOCUMENTS} documents"))
    }

    fn used_up(&mut self, file: &str, most: &str) -> Problem {
        self.is_used_up = true;
        Problem {
            file: file.to_owned(),
            place: None,
            text: format!(
                "all files together may not have more than {most}, and with this one they do: read fewer at a time, or \
                 leave some out with --exclude"
            ),
        }
    }
}
