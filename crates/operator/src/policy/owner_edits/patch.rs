//! What a patch of an object says, and whether the object is of the stream that is meant.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::owners::OwnerResource;

/// What `spec.placement` was before the first patch, as JSON.
const ORIGINAL: &str = "leeward.dev/original-placement";

/// What an object says of its placement.
pub(super) fn placement_of(object: &OwnerResource) -> Value {
    object.spec.placement.clone().unwrap_or(Value::Null)
}

/// The patch that writes a placement, and in the annotation what was there, if none did so before.
pub(super) fn edit(object: &OwnerResource, wanted: &Value) -> Value {
    let before = placement_of(object);
    let mut annotations = Map::new();
    if original(object).is_none() {
        annotations.insert(ORIGINAL.to_owned(), Value::String(before.to_string()));
    }
    patch(object, &replacing(&before, wanted), &annotations)
}

/// The patch that writes again what an object said before; the annotation goes where that was the first patch.
pub(super) fn put_back(object: &OwnerResource, before: &Value) -> Value {
    let mut annotations = Map::new();
    let text = before.to_string();
    if original(object) == Some(&text) {
        annotations.insert(ORIGINAL.to_owned(), Value::Null);
    }
    patch(object, &replacing(&placement_of(object), before), &annotations)
}

fn original(object: &OwnerResource) -> Option<&String> {
    object.metadata.annotations.as_ref()?.get(ORIGINAL)
}

/// In the version that was read.
fn patch(object: &OwnerResource, placement: &Value, annotations: &Map<String, Value>) -> Value {
    json!({
        "metadata": {"resourceVersion": object.metadata.resource_version, "annotations": annotations},
        "spec": {"placement": placement},
    })
}

/// A merge patch that leaves `wanted` and nothing of what is there now.
fn replacing(now: &Value, wanted: &Value) -> Value {
    let (Some(now), Some(wanted)) = (now.as_object(), wanted.as_object()) else {
        return wanted.clone();
    };
    let mut patch = wanted.clone();
    for field in now.keys().filter(|field| !wanted.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// Why the controller could not carry an object out, where it says so.
pub(super) fn failure(object: &OwnerResource) -> Option<&str> {
    let mut conditions = object.status.as_ref()?.conditions.iter();
    let failed = conditions.find(|condition| condition.type_ == "Ready" && condition.status == "False")?;
    Some(&failed.message)
}

/// A field in which an object and the stored configuration differ, of those that no server fills in: then it is
/// another stream of that name, or the controller has not carried the object out.
pub(super) fn differing_field(spec: &Map<String, Value>, config: &str) -> Option<&'static str> {
    let config: Map<String, Value> = serde_json::from_str(config).ok()?;
    let differs = |(said, stored): &(&'static str, &str)| {
        let said = spec.get(*said).filter(|said| !said.is_null());
        said.is_some_and(|said| {
            let stored = config.get(*stored).unwrap_or(&Value::Null);
            match (said.as_array(), stored.as_array()) {
                (Some(said), Some(stored)) => as_set(said) != as_set(stored),
                _ => said != stored,
            }
        })
    };
    let mut fields = [
        ("subjects", "subjects"),
        ("replicas", "num_replicas"),
        ("storage", "storage"),
    ]
    .into_iter();
    fields.find(differs).map(|(said, _)| said)
}

fn as_set(values: &[Value]) -> BTreeSet<String> {
    values.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(placement: &Value, annotations: &Value) -> OwnerResource {
        let object = json!({
            "apiVersion": "jetstream.nats.io/v1beta2",
            "kind": "Stream",
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7", "annotations": annotations},
            "spec": {"name": "A", "placement": placement},
        });
        serde_json::from_value(object).unwrap()
    }

    /// As the API server merges.
    fn merged(mut into: Value, patch: &Value) -> Value {
        let (Some(fields), Some(patch)) = (into.as_object_mut(), patch.as_object()) else {
            return patch.clone();
        };
        for (field, value) in patch {
            if value.is_null() {
                fields.remove(field);
            } else {
                let below = fields.remove(field).unwrap_or(Value::Null);
                fields.insert(field.clone(), merged(below, value));
            }
        }
        into
    }

    #[test]
    fn a_patch_leaves_the_wanted_placement_and_putting_back_what_was_there() {
        let placements = [
            Value::Null,
            json!({"cluster": "a"}),
            json!({"tags": ["ssd"]}),
            json!({"cluster": "a", "tags": ["ssd", "x"]}),
        ];
        for before in &placements {
            for wanted in &placements[1..] {
                let unpatched = object(before, &json!({"theirs": "1"}));
                let patch = edit(&unpatched, wanted);
                assert_eq!(patch["metadata"]["resourceVersion"], "7");
                let patched = merged(serde_json::to_value(&unpatched).unwrap(), &patch);
                assert_eq!(patched["spec"]["placement"], *wanted);
                assert_eq!(patched["metadata"]["annotations"][ORIGINAL], before.to_string());
                let patched: OwnerResource = serde_json::from_value(patched).unwrap();
                let again = edit(&patched, &json!({"cluster": "c"}));
                assert!(
                    again["metadata"]["annotations"][ORIGINAL].is_null(),
                    "the first one stays"
                );
                let back = put_back(&patched, before);
                let back = merged(serde_json::to_value(&patched).unwrap(), &back);
                assert_eq!(back, serde_json::to_value(&unpatched).unwrap());
            }
        }
    }

    #[test]
    fn a_stream_of_another_account_is_told_by_what_differs() {
        let config = r#"{"name":"A","subjects":["b","a"],"num_replicas":3,"storage":"file"}"#;
        let differs = |spec: Value| differing_field(spec.as_object().unwrap(), config);
        assert_eq!(
            differs(json!({"subjects": ["a", "b"], "replicas": 3, "storage": "file"})),
            None
        );
        assert_eq!(differs(json!({"maxAge": "1h"})), None);
        assert_eq!(differs(json!({"subjects": ["a"]})), Some("subjects"));
        assert_eq!(differs(json!({"replicas": 1})), Some("replicas"));
        assert_eq!(differs(json!({"storage": "memory"})), Some("storage"));
    }

    #[test]
    fn only_a_controller_that_says_so_has_failed() {
        let mut object = object(&Value::Null, &json!({}));
        assert_eq!(failure(&object), None);
        for (status, wanted) in [
            ("True", None),
            ("Unknown", None),
            ("False", Some("no such cluster")),
        ] {
            let conditions = json!([{"type": "Ready", "status": status, "message": "no such cluster"}]);
            object.status = Some(serde_json::from_value(json!({ "conditions": conditions })).unwrap());
            assert_eq!(failure(&object), wanted, "{status}");
        }
    }
}
