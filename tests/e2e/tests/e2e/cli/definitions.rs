//! `leeward check` on definitions, with the very commands that the example pipelines run.

use std::path::{Path, PathBuf};

use leeward_e2e::cli::{CommandLine, Ended};
use leeward_lab::folder::Folder;
use serde_json::{Value, json};

use super::word;

/// The definition that a test breaks, and where it says the location.
const BROKEN: &str = "streams/orders.yaml";
const RIGHT: &str = "cluster: us-east";

/// A copy of the examples, in which a test may break something.
async fn examples(folder: &Folder) -> CommandLine {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ci");
    leeward_e2e::copy_folder(Path::new(from), folder.path()).unwrap();
    CommandLine::offline(folder.path()).await.unwrap()
}

/// The arguments of every `leeward check --offline` of the pipelines, without where its output goes.
fn of_pipelines(folder: &Path) -> Vec<Vec<String>> {
    let is_pipeline = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.contains("github") || name.contains("gitlab")
        })
    };
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for file in files.filter(is_pipeline) {
        let text = std::fs::read_to_string(file).unwrap();
        let commands = text.lines().filter_map(|line| {
            let at = line.find("leeward check --offline")?;
            line.get(at..)
        });
        found.extend(commands.map(|command| {
            let words = command.split_whitespace().skip(1);
            words.take_while(|word| *word != ">").map(str::to_owned).collect()
        }));
    }
    found
}

async fn run(leeward: &CommandLine, args: &[String], code: i32) -> Ended {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    leeward.run(&args).await.unwrap().with_code(code).unwrap()
}

/// The same command with another format.
fn as_format(args: &[String], format: &str) -> Vec<String> {
    let at = args.iter().position(|word| word == "-o").unwrap();
    let mut args = args.to_vec();
    format.clone_into(&mut args[at + 1]);
    args
}

#[tokio::test]
async fn the_pipelines_of_the_examples_pass_and_fail_with_one_definition_that_names_another_location() {
    let folder = Folder::temporary().unwrap();
    let leeward = examples(&folder).await;
    let commands = of_pipelines(folder.path());
    assert_eq!(commands.len(), 2, "one of each pipeline: {commands:?}");
    for args in &commands {
        run(&leeward, args, 0).await;
        let json = run(&leeward, &as_format(args, "json"), 0).await;
        let checked = json.document("check").unwrap();
        let checked = checked["checked"].as_array().unwrap();
        assert!(checked.len() > 1, "something was judged: {checked:?}");
    }

    let text = std::fs::read_to_string(folder.path().join(BROKEN)).unwrap();
    let line = text.lines().position(|line| line.contains(RIGHT)).unwrap() + 1;
    leeward
        .file(BROKEN, &text.replace(RIGHT, "cluster: eu-west"))
        .unwrap();
    let args = &commands[0];
    let table = run(&leeward, &as_format(args, "table"), 2).await;
    assert!(table.out.contains(&format!("{BROKEN}:{line}")), "{}", table.out);
    in_json(&run(&leeward, &as_format(args, "json"), 2).await, line);
    in_sarif(&run(&leeward, &as_format(args, "sarif"), 2).await, line);
    in_junit(&run(&leeward, &as_format(args, "junit"), 2).await);
}

fn in_json(ended: &Ended, line: usize) {
    let document = ended.document("check").unwrap();
    let checked = document["checked"].as_array().unwrap();
    let failed: Vec<&Value> = checked
        .iter()
        .filter(|one| one["findings"] != json!([]))
        .collect();
    assert_eq!(failed.len(), 1, "{document:#}");
    assert!(word(&failed[0]["subject"]).contains("ORDERS"), "{failed:#?}");
    let source = &failed[0]["findings"][0]["source"];
    assert!(word(&source["file"]).ends_with(BROKEN), "{failed:#?}");
    assert_eq!(source["line"], line, "{failed:#?}");
}

fn in_sarif(ended: &Ended, line: usize) {
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let results = document["runs"][0]["results"].as_array().unwrap();
    let broken: Vec<&str> = results.iter().map(|result| word(&result["ruleId"])).collect();
    assert_eq!(broken, ["LocationNotHome", "Undone"]);
    let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], BROKEN);
        assert_eq!(place["region"]["startLine"], line);
        assert!(
            rules.iter().any(|rule| rule["id"] == result["ruleId"]),
            "{document:#}"
        );
    }
}

fn in_junit(ended: &Ended) {
    assert!(ended.out.starts_with("<?xml"), "{}", ended.out);
    assert_eq!(ended.out.matches("<failure ").count(), 1, "{}", ended.out);
    assert!(ended.out.contains("failures=\"1\""), "{}", ended.out);
    assert!(ended.out.contains("ORDERS"), "{}", ended.out);
}
