//! What applies an object again and again, from Git or a release: a patch would be undone, or would stand in its way.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A label or an annotation by which a tool knows what it applied.
struct Mark {
    key: &'static str,
    /// Only with this value.
    value: Option<&'static str>,
    tool: &'static str,
}

const fn mark(key: &'static str, tool: &'static str) -> Mark {
    Mark {
        key,
        value: None,
        tool,
    }
}

const MARKS: [Mark; 10] = [
    mark("argocd.argoproj.io/tracking-id", "Argo CD"),
    mark("argocd.argoproj.io/instance", "Argo CD"),
    mark("kustomize.toolkit.fluxcd.io/name", "Flux"),
    mark("helm.toolkit.fluxcd.io/name", "Flux"),
    mark("meta.helm.sh/release-name", "Helm"),
    Mark {
        key: "app.kubernetes.io/managed-by",
        value: Some("Helm"),
        tool: "Helm",
    },
    mark("objectset.rio.cattle.io/id", "Fleet"),
    mark("configmanagement.gke.io/managed", "Config Sync"),
    mark("kapp.k14s.io/identity", "kapp"),
    mark(
        "config.k8s.io/owning-inventory",
        "an inventory of applied objects",
    ),
];

/// Field managers, by how their names begin.
const MANAGERS: [(&str, &str); 7] = [
    ("argocd", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
    ("Terraform", "Terraform"),
    ("terraform", "Terraform"),
    ("pulumi", "Pulumi"),
];

/// What applies an object, as the end of a sentence about it; `None` where nothing is known to.
pub(super) fn applied_by(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.iter().flatten();
    if let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) {
        return Some(format!("belongs to {} {} itself", owner.kind, owner.name));
    }
    for (what, marks) in [("annotation", &metadata.annotations), ("label", &metadata.labels)] {
        let marks: Option<&BTreeMap<String, String>> = marks.as_ref();
        let has = |mark: &&Mark| {
            let value = marks.and_then(|marks| marks.get(mark.key));
            value.is_some_and(|value| mark.value.is_none_or(|wanted| wanted == value))
        };
        if let Some(mark) = MARKS.iter().find(has) {
            return Some(format!(
                "is applied by {}, as its {what} {} says",
                mark.tool, mark.key
            ));
        }
    }
    let managers = metadata.managed_fields.iter().flatten();
    managers
        .filter_map(|entry| entry.manager.as_deref())
        .find_map(|manager| {
            let (_, tool) = MANAGERS.iter().find(|(name, _)| manager.starts_with(name))?;
            Some(format!(
                "is applied by {tool}, as its field manager {manager} says"
            ))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(metadata: Value) -> Option<String> {
        applied_by(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn each_tool_is_known_by_its_marks_and_its_field_manager() {
        for (metadata, tool) in [
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}),
                "Argo CD",
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}),
                "Flux",
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "shop"}}),
                "Helm",
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                "Helm",
            ),
            (
                json!({"managedFields": [{"manager": "argocd-controller"}]}),
                "Argo CD",
            ),
            (
                json!({"managedFields": [{"manager": "kubectl"}, {"manager": "kustomize-controller"}]}),
                "Flux",
            ),
            (json!({"managedFields": [{"manager": "Terraform"}]}), "Terraform"),
        ] {
            let said = of(metadata.clone()).unwrap();
            assert!(said.contains(&format!("applied by {tool}")), "{metadata}: {said}");
        }
        let owned = json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "Shop", "name": "a", "uid": "u", "controller": true}
        ]});
        assert_eq!(of(owned).as_deref(), Some("belongs to Shop a itself"));
    }

    #[test]
    fn what_a_person_or_nack_wrote_is_applied_by_nothing() {
        for metadata in [
            json!({}),
            json!({"labels": {"app.kubernetes.io/managed-by": "the shop's team"}}),
            json!({"managedFields": [{"manager": "kubectl-client-side-apply"}, {"manager": "jetstream-controller"}]}),
        ] {
            assert_eq!(of(metadata.clone()), None, "{metadata}");
        }
    }
}
