//! `leeward crds` and `leeward version`: what this binary carries with it.

use crate::output::write;

/// Prints the CRDs as YAML documents, ordered by name.
pub fn print() -> anyhow::Result<()> {
    let mut yaml = String::new();
    for crd in leeward_api::crds::crds() {
        // Through a JSON value, so that keys are sorted.
        yaml.push_str("---\n");
        yaml.push_str(&serde_saphyr::to_string(&serde_json::to_value(crd)?)?);
    }
    write(&yaml)
}

/// Prints the version.
pub fn print_version() -> anyhow::Result<()> {
    write(&format!("leeward {}\n", env!("CARGO_PKG_VERSION")))
}
