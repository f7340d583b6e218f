//! Where objects are looked for: in every namespace, or in some.

use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// A part of the cluster that one watch covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every namespace.
    All,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// The scopes that cover these namespaces, each once; all of them if none is named.
    pub fn covering(namespaces: &[String]) -> Vec<Self> {
        if namespaces.is_empty() {
            return vec![Self::All];
        }
        let mut scopes: Vec<Self> = namespaces.iter().cloned().map(Self::Namespace).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Whether a namespace is covered.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(name) => name == namespace,
        }
    }

    /// The API of a namespaced kind in this scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + DeserializeOwned,
        K::DynamicType: Default,
    {
        match self {
            Self::All => Api::all(client),
            Self::Namespace(name) => Api::namespaced(client, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_means_all_and_a_repeated_one_counts_once() {
        assert_eq!(Scope::covering(&[]), vec![Scope::All]);
        let named = ["b".to_owned(), "a".to_owned(), "b".to_owned()];
        let scopes = Scope::covering(&named);
        assert_eq!(
            scopes,
            vec![Scope::Namespace("a".into()), Scope::Namespace("b".into())]
        );
        assert!(scopes.iter().any(|scope| scope.covers("b")));
        assert!(!scopes.iter().any(|scope| scope.covers("c")));
    }
}
