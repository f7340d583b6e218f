use std::collections::BTreeSet;

use clap::CommandFactory as _;
use serde_json::{Map, Value};

use super::*;

fn all() -> Vec<(&'static str, Value)> {
    let schemas = schemas().into_iter();
    schemas
        .map(|(command, schema)| (command, schema.to_value()))
        .collect()
}

/// Every object inside a schema, itself included.
fn objects<'a>(value: &'a Value, found: &mut Vec<&'a Map<String, Value>>) {
    match value {
        Value::Object(fields) => {
            found.push(fields);
            fields.values().for_each(|field| objects(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn objects_of(schema: &Value) -> Vec<&Map<String, Value>> {
    let mut found = Vec::new();
    objects(schema, &mut found);
    found
}

/// The root, and every definition, by name.
fn types<'a>(command: &'a str, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let definitions = schema["$defs"].as_object().into_iter().flatten();
    let definitions = definitions.map(|(name, definition)| (name.as_str(), definition));
    definitions.chain([(command, schema)]).collect()
}

#[test]
fn every_command_that_writes_json_has_a_schema() {
    let mut root = leeward::args::Args::command();
    root.build();
    let writes_json = |command: &&clap::Command| {
        let mut formats = command
            .get_arguments()
            .filter(|argument| argument.get_long() == Some("output"));
        formats.any(|argument| {
            argument
                .get_possible_values()
                .iter()
                .any(|value| value.matches("json", false))
        })
    };
    let writing: BTreeSet<&str> = root
        .get_subcommands()
        .filter(writes_json)
        .map(clap::Command::get_name)
        .collect();
    let described: BTreeSet<&str> = all().into_iter().map(|(command, _)| command).collect();
    assert_eq!(writing, described);
}

#[test]
fn every_document_is_read_by_an_end_to_end_test() -> anyhow::Result<()> {
    let folder = crate::generated::repository().join("tests/e2e/tests/e2e/cli");
    let files = crate::links::files(&folder, "rs")?;
    let texts = files.iter().map(std::fs::read_to_string);
    let texts = texts.collect::<Result<Vec<String>, _>>()?.concat();
    for (command, _) in all() {
        let reads = format!("document(\"{command}\")");
        assert!(
            texts.contains(&reads),
            "no test in {} has {reads}",
            folder.display()
        );
    }
    Ok(())
}

#[test]
fn the_committed_schemas_are_what_the_documents_generate() {
    crate::generated::check(&generate().unwrap(), "docs").unwrap();
}

#[test]
fn every_reference_leads_to_a_definition_and_every_definition_is_referred_to() {
    for (command, schema) in all() {
        let references = objects_of(&schema)
            .into_iter()
            .filter_map(|object| object.get("$ref"));
        let mut referred = BTreeSet::new();
        for reference in references {
            let reference = reference.as_str().unwrap();
            let pointer = reference.strip_prefix('#').expect("inside the document");
            assert!(schema.pointer(pointer).is_some(), "{command}: {reference}");
            referred.insert(reference.trim_start_matches("#/$defs/").to_owned());
        }
        let defined = schema["$defs"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(referred, defined, "{command}");
    }
}

#[test]
fn every_type_field_and_value_is_explained() {
    let is_explained = |part: &Value| {
        part["description"]
            .as_str()
            .is_some_and(|text| !text.trim().is_empty())
    };
    for (command, schema) in all() {
        for (name, definition) in types(command, &schema) {
            assert!(is_explained(definition), "{command}: {name}");
            for (field, part) in definition["properties"].as_object().into_iter().flatten() {
                assert!(is_explained(part), "{command}: {name}.{field}");
            }
            for value in definition["oneOf"].as_array().into_iter().flatten() {
                assert!(is_explained(value), "{command}: {name} {value}");
            }
        }
    }
}

#[test]
fn what_is_required_is_there_and_fields_are_named_as_in_kubernetes() {
    for (command, schema) in all() {
        for (name, definition) in types(command, &schema) {
            let fields: BTreeSet<&str> = definition["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(field, _)| field.as_str())
                .collect();
            for required in definition["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                assert!(fields.contains(required), "{command}: {name}.{required}");
            }
            let odd = fields
                .iter()
                .find(|field| field.contains('_') || field.starts_with(char::is_uppercase));
            assert_eq!(odd, None, "{command}: {name}");
        }
        assert!(
            schema["required"].as_array().unwrap().contains(&json!("time")),
            "{command}"
        );
    }
}
