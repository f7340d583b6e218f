//! The `CustomResourceDefinition`s, as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{plan::PlacementPlan, policy::PlacementPolicy, system::NatsSystem};

/// All `CustomResourceDefinition`s, ordered by name.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![NatsSystem::crd(), PlacementPlan::crd(), PlacementPolicy::crd()];
    for version in crds.iter_mut().flat_map(|crd| crd.spec.versions.iter_mut()) {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            finish(schema);
            for status in schema
                .properties
                .iter_mut()
                .filter_map(|parts| parts.get_mut("status"))
            {
                count_from_zero(status);
            }
        }
    }
    crds
}

/// Makes a derived schema what the apiserver expects, all the way down.
///
/// - Nothing is nullable: the apiserver drops a null instead of storing it, and a default applies in its place.
/// - Descriptions are paragraphs without the line breaks of the source.
/// - Integers have the formats that Kubernetes knows, and the bounds of those of 32 bits, which the apiserver does not
///   check; Rust's unsigned types keep their lower bound of 0.
fn finish(schema: &mut JSONSchemaProps) {
    finish_one(schema);
    children(schema).for_each(finish);
}

/// A status counts and measures: none of its numbers is negative.
fn count_from_zero(schema: &mut JSONSchemaProps) {
    if schema.type_.as_deref() == Some("integer") {
        schema.minimum = Some(0.0);
    }
    children(schema).for_each(count_from_zero);
}

fn finish_one(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| unwrapped(&text));
    schema.format = schema.format.take().map(|format| match format.as_str() {
        "uint8" | "uint16" | "uint32" => "int32".to_owned(),
        "uint64" => "int64".to_owned(),
        _ => format,
    });
    if schema.format.as_deref() == Some("int32") {
        schema.minimum.get_or_insert(f64::from(i32::MIN));
        schema.maximum.get_or_insert(f64::from(i32::MAX));
    }
}

/// The schemas of a schema's parts.
fn children(schema: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let properties = schema.properties.iter_mut();
    let items: &mut [JSONSchemaProps] = match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => std::slice::from_mut(&mut **item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items,
        None => &mut [],
    };
    let values = match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(&mut **values),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
    };
    properties
        .flat_map(|properties| properties.values_mut())
        .chain(items)
        .chain(values)
}

/// The text with every line break dropped that does not end a paragraph.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests;
