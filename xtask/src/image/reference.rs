//! The name and tag of an image.

use std::str::FromStr;

use anyhow::{Context as _, ensure};

/// Such as `registry.example/team/leeward:0.1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    name: String,
    pub tag: String,
}

impl Reference {
    /// As it was written.
    pub fn short(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// With the registry and folder that Docker and containerd assume by default.
    pub fn qualified(&self) -> String {
        let short = self.short();
        let registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
        match self.name.split_once('/') {
            Some((first, _)) if registry(first) => short,
            Some(_) => format!("docker.io/{short}"),
            None => format!("docker.io/library/{short}"),
        }
    }
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, tag) = text
            .rsplit_once(':')
            .filter(|(_, tag)| !tag.contains('/'))
            .with_context(|| format!("`{text}` has no tag; write it as leeward:0.1.0"))?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(is_name);
        ensure!(
            name.split('/').all(word),
            "`{name}` is no image name: use lower-case letters, digits and . _ - : between slashes"
        );
        ensure!(
            !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(is_tag) && !tag.starts_with(['.', '-']),
            "`{tag}` is no tag: use up to 128 letters, digits and . _ -, not beginning with . or -"
        );
        Ok(Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-:".contains(&byte)
}

fn is_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}
