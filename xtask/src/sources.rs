//! The Rust files of the workspace, and their parts that are not tests.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::generated::repository;
use crate::links::files;

const FOLDERS: [&str; 3] = ["crates", "tests", "xtask"];
const TEST_MODULE: &str = "#[cfg(test)]\nmod tests {";

/// A file of the product or its build.
pub(crate) struct ProductFile {
    /// Below the repository.
    pub(crate) path: String,
    /// Without the test module at its end.
    pub(crate) source: String,
}

/// All source files of the workspace.
pub(crate) fn rust_files() -> anyhow::Result<Vec<PathBuf>> {
    let folders = FOLDERS.map(|folder| files(&repository().join(folder), "rs"));
    Ok(folders.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// The source files that are not tests.
pub(crate) fn product_files() -> anyhow::Result<Vec<ProductFile>> {
    let mut files = Vec::new();
    for file in rust_files()? {
        let path = file.strip_prefix(repository())?.display().to_string();
        if !is_test(&path) {
            let source = fs::read_to_string(&file).with_context(|| path.clone())?;
            let source = without_tests(&source).to_owned();
            files.push(ProductFile { path, source });
        }
    }
    Ok(files)
}

fn is_test(path: &str) -> bool {
    let folders = ["/tests/", "/benches/", "fixtures"];
    path.starts_with("tests/")
        || path.ends_with("tests.rs")
        || folders.iter().any(|folder| path.contains(folder))
}

fn without_tests(source: &str) -> &str {
    source
        .split_once(TEST_MODULE)
        .map_or(source, |(product, _)| product)
}

#[test]
fn test_modules_and_files_of_tests_are_not_product() {
    let source = "struct One;\n#[cfg(test)]\nmod tests {\nstruct Six;\nuse crate::six;\n}\n";
    assert_eq!(without_tests(source), "struct One;\n");
    assert_eq!(without_tests("struct One;\n"), "struct One;\n");
    for path in [
        "tests/e2e/src/a.rs",
        "crates/a/tests/b.rs",
        "crates/a/src/b/tests.rs",
        "crates/a/benches/b.rs",
    ] {
        assert!(is_test(path), "{path}");
    }
    assert!(!is_test("crates/a/src/b.rs"));
}
