//! Checks the licences, sources and banned crates of `deny.toml`, without a network or another tool. Known
//! vulnerabilities need a database, which `make deny` fetches.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::{
    cargo::{CRATES_IO, Metadata, Package, locked},
    generated::repository,
};

#[derive(Deserialize)]
struct DependencyRules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
}

fn rules() -> DependencyRules {
    let text = fs::read_to_string(repository().join("deny.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("deny.toml: {error}"))
}

/// Why a package's stated licence does not allow linking it.
fn why_not_licensed(stated: Option<&str>, allow: &BTreeSet<String>) -> Option<String> {
    let Some(stated) = stated else {
        return Some("it states no licence".to_owned());
    };
    match Expression::parse_mode(stated, ParseMode::LAX) {
        Ok(expression) => {
            let allowed = expression.evaluate(|needed| allow.contains(&needed.to_string()));
            (!allowed).then(|| format!("{stated} is not allowed by deny.toml"))
        }
        Err(error) => Some(format!("{stated}: {error}")),
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let rules = rules();
    let metadata = Metadata::read("x86_64-unknown-linux-musl").unwrap();
    let foreign = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some());
    let refused = |package: &Package| {
        let reason = why_not_licensed(package.license.as_deref(), &rules.licenses.allow)?;
        Some(format!("{} {}: {reason}", package.name, package.version))
    };
    let refused: Vec<String> = foreign.filter_map(refused).collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn every_dependency_is_of_the_public_registry_and_none_is_banned() {
    let rules = rules();
    let banned: BTreeSet<&str> = rules
        .bans
        .deny
        .iter()
        .map(|banned| banned.name.as_str())
        .collect();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for package in locked().unwrap() {
        let source = package.source.as_deref();
        if source.is_some_and(|source| source != CRATES_IO) {
            found.insert(package.name.clone(), source.unwrap_or_default().to_owned());
        }
        if banned.contains(package.name.as_str()) {
            found.insert(package.name, "banned by deny.toml".to_owned());
        }
    }
    assert_eq!(found, BTreeMap::new());
}

#[test]
fn a_licence_that_is_not_allowed_is_found() {
    let allow = BTreeSet::from(["MIT", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    let why = |stated| why_not_licensed(stated, &allow);
    assert_eq!(why(Some("MIT/Apache-2.0")), None);
    assert_eq!(why(Some("Apache-2.0 WITH LLVM-exception AND MIT")), None);
    assert!(why(Some("MIT AND GPL-3.0-only")).unwrap().contains("not allowed"));
    assert!(why(Some("Apache-2.0")).unwrap().contains("not allowed"));
    assert!(why(Some("Mine")).unwrap().contains("Mine"));
    assert!(why(None).unwrap().contains("no licence"));
}
