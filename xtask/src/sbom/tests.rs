use super::*;

const TRIPLE: &str = "x86_64-unknown-linux-musl";

fn bill() -> String {
    let all = Metadata::read(TRIPLE).unwrap().packages;
    let compiled: BTreeSet<PackageId> = all.into_iter().map(|package| package.id).collect();
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    of_build(TRIPLE, &compiled, b"a binary", time).unwrap()
}

#[test]
fn the_bill_names_each_linked_crate_with_licence_origin_and_checksum_and_nothing_of_the_tests() {
    let text = bill();
    assert_eq!(text, bill(), "the same twice");
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.6");
    assert!(bill["serialNumber"].as_str().unwrap().starts_with("urn:uuid:"));
    assert_eq!(bill["metadata"]["component"]["name"], "leeward");
    let components = bill["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().filter_map(|one| one["name"].as_str()).collect();
    for linked in [
        "tokio",
        "async-nats",
        "kube",
        "ring",
        "webpki-root-certs",
        "leeward-core",
    ] {
        assert!(names.contains(linked), "{linked}");
    }
    for foreign in ["proptest", "insta", "leeward-lab", "tar"] {
        assert!(!names.contains(foreign), "{foreign}");
    }
    for component in components {
        assert!(
            component["version"].is_string() && component["licenses"][0].is_object(),
            "{component}"
        );
        let own = component["name"].as_str().unwrap().starts_with("leeward");
        let rust = component["name"] == "rust-std" || component["name"] == "std";
        assert!(
            own || rust || component["hashes"][0]["content"].is_string(),
            "{component}"
        );
    }
}

#[test]
fn every_dependency_that_is_named_is_a_component() {
    let bill: Value = serde_json::from_str(&bill()).unwrap();
    let components = bill["components"].as_array().unwrap().iter();
    let mut known: BTreeSet<&str> = components.filter_map(|one| one["bom-ref"].as_str()).collect();
    known.extend(bill["metadata"]["component"]["bom-ref"].as_str());
    assert!(!bill["dependencies"].as_array().unwrap().is_empty());
    for dependency in bill["dependencies"].as_array().unwrap() {
        let targets = dependency["dependsOn"].as_array().into_iter().flatten();
        for reference in targets.chain([&dependency["ref"]]) {
            assert!(known.contains(reference.as_str().unwrap()), "{reference}");
        }
    }
}
