//! Digests of bytes, as images name them.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(HEXLOWER.encode(digest(&SHA256, bytes).as_ref()))
    }

    /// The path in a layout of the content with this digest.
    pub fn path(&self) -> String {
        format!("blobs/sha256/{}", self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}
