//! Whether a system lets the policies of a namespace use it (P11).

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt as _};
use leeward_api::system::{AllowedNamespaces, NamespacesFrom};

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Whether labels of the policy's namespace are needed to decide.
pub fn needs_labels(allowed: &AllowedNamespaces) -> bool {
    allowed.from == NamespacesFrom::Selector
}

/// Why policies of the namespace may not use the system; `None` if they may. `labels` are those of the policy's
/// namespace, where they are needed.
pub fn why_refused(
    allowed: &AllowedNamespaces,
    system_namespace: &str,
    policy_namespace: &str,
    labels: Option<&Labels>,
) -> Option<String> {
    match allowed.from {
        NamespacesFrom::All => None,
        NamespacesFrom::Same if system_namespace == policy_namespace => None,
        NamespacesFrom::Same => Some(format!(
            "its allowedNamespaces.from is Same, so only policies in {system_namespace} may use it: \
             set it to All, or to Selector with a selector that matches {policy_namespace}"
        )),
        NamespacesFrom::Selector => match labels {
            Some(labels) => why_not_selected(allowed, policy_namespace, labels),
            None => Some(format!(
                "the labels of namespace {policy_namespace} are not known"
            )),
        },
    }
}

fn why_not_selected(allowed: &AllowedNamespaces, namespace: &str, labels: &Labels) -> Option<String> {
    let Some(selector) = allowed.selector.clone() else {
        return Some("its allowedNamespaces.selector is missing: add one, or set from to All".into());
    };
    match Selector::try_from(selector) {
        Ok(selector) if selector.matches(labels) => None,
        Ok(_) => Some(format!(
            "its allowedNamespaces.selector does not match the labels of {namespace}: label the namespace, or \
             extend the selector"
        )),
        Err(error) => Some(format!(
            "its allowedNamespaces.selector cannot be used ({error}): correct it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

    use super::*;

    fn allowed(from: NamespacesFrom, selector: Option<LabelSelector>) -> AllowedNamespaces {
        AllowedNamespaces { from, selector }
    }

    fn team(value: &str) -> Labels {
        Labels::from([("team".to_owned(), value.to_owned())])
    }

    fn refused(allowed: &AllowedNamespaces, labels: Option<&Labels>) -> bool {
        why_refused(allowed, "nats", "shop", labels).is_some()
    }

    #[test]
    fn same_is_the_systems_own_namespace_and_all_is_every_one() {
        let same = allowed(NamespacesFrom::Same, None);
        assert!(refused(&same, None));
        assert_eq!(why_refused(&same, "nats", "nats", None), None);
        assert!(!refused(&allowed(NamespacesFrom::All, None), None));
    }

    #[test]
    fn a_selector_is_matched_against_the_labels_of_the_policys_namespace() {
        let selector = LabelSelector {
            match_labels: Some(team("shop")),
            match_expressions: None,
        };
        let by_label = allowed(NamespacesFrom::Selector, Some(selector));
        assert!(!refused(&by_label, Some(&team("shop"))));
        assert!(refused(&by_label, Some(&team("other"))));
        assert!(refused(&by_label, Some(&Labels::new())));
        let everything = allowed(NamespacesFrom::Selector, Some(LabelSelector::default()));
        assert!(!refused(&everything, Some(&Labels::new())));
    }

    #[test]
    fn what_cannot_be_understood_permits_nothing() {
        assert!(refused(
            &allowed(NamespacesFrom::Selector, None),
            Some(&team("shop"))
        ));
        let selector = LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "team".into(),
                operator: "Near".into(),
                values: None,
            }]),
        };
        let odd = allowed(NamespacesFrom::Selector, Some(selector));
        assert!(refused(&odd, Some(&team("shop"))));
        let labels_unknown = allowed(NamespacesFrom::Selector, Some(LabelSelector::default()));
        assert!(
            refused(&labels_unknown, None),
            "without labels nothing can be said"
        );
    }
}
