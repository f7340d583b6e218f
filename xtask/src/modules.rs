//! The modules of a crate do not import each other in a circle: each can be read with its imports and without the rest.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use crate::sources::{ProductFile, product_files};

/// By module of a crate's root: those that it names.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// By folder of a crate.
fn imports() -> anyhow::Result<BTreeMap<String, Imports>> {
    let mut crates: BTreeMap<String, Imports> = BTreeMap::new();
    for ProductFile { path, source } in product_files()? {
        let Some((folder, inner)) = path.split_once("/src/") else {
            continue;
        };
        let module = inner.split(['/', '.']).next().unwrap_or_default();
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let of_crate = crates.entry(folder.to_owned()).or_default();
        let named = of_crate.entry(module.to_owned()).or_default();
        named.extend(named_by(&source).into_iter().filter(|other| other != module));
    }
    Ok(crates)
}

/// The modules of the crate's root that a source file names outside of comments.
fn named_by(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let list = after
            .strip_prefix('{')
            .map(|list| list.split("};").next().unwrap_or_default());
        let mut depth = 0_u32;
        let mut word = String::new();
        for letter in list.unwrap_or(after).chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                letter if letter.is_alphanumeric() || letter == '_' => word.push(letter),
                _ if list.is_none() => break,
                ',' => {
                    named.extend(first_part(&word));
                    word.clear();
                }
                // After a module's name follows a path within it.
                ':' => word.push(' '),
                _ => {}
            }
        }
        named.extend(first_part(&word));
    }
    named
}

fn first_part(path: &str) -> Option<String> {
    path.split(' ')
        .next()
        .filter(|module| !module.is_empty())
        .map(str::to_owned)
}

/// Modules that can be reached from themselves.
fn in_circles(imports: &Imports) -> Vec<&str> {
    let reaches_itself = |start: &&String| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&String> = imports.get(*start).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(imports.get(module).into_iter().flatten());
            }
        }
        reached.contains(*start)
    };
    imports
        .keys()
        .filter(reaches_itself)
        .map(String::as_str)
        .collect()
}

#[test]
fn no_crate_has_modules_that_import_each_other_in_a_circle() -> anyhow::Result<()> {
    let crates = imports()?;
    ensure!(crates.len() >= 9, "only {:?}", crates.keys());
    for (folder, imports) in &crates {
        let circle = in_circles(imports);
        ensure!(
            circle.is_empty(),
            "{folder}: {} import each other",
            circle.join(", ")
        );
    }
    Ok(())
}

#[test]
fn modules_are_read_from_paths_and_lists_and_circles_are_found() {
    let source = "use crate::one::One;\nuse crate::{\n    two::{self, Inner},\n    three,\n};\n// crate::four\nfn f() { crate::five::g(); }\n";
    let named: Vec<String> = named_by(source).into_iter().collect();
    assert_eq!(named, ["five", "one", "three", "two"]);
    let imports = |pairs: &[(&str, &str)]| -> Imports {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            imports
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        imports
    };
    assert!(in_circles(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(
        in_circles(&imports(&[("a", "b"), ("b", "c"), ("c", "b")])),
        ["b", "c"]
    );
}
