//! The Kubernetes API as kubectl finds it, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use leeward_api::{PlacementPlan, PlacementPolicy};

use crate::args::KubernetesArgs;
use crate::exit;

/// kube's own client may retry for minutes.
const LIMIT: Duration = Duration::from_secs(15);

/// A cluster, and where policies without a namespace are looked for.
#[derive(Clone)]
pub struct Kubernetes {
    /// The API.
    pub client: Client,
    /// Its URL.
    pub server: String,
    /// The namespace of the arguments, else that of the kubeconfig's context.
    pub namespace: String,
    /// Whether the arguments named it.
    named: bool,
}

impl Kubernetes {
    /// The policies of a namespace.
    pub fn policies(&self, namespace: &str) -> Api<PlacementPolicy> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The plans of a namespace.
    pub fn plans(&self, namespace: &str) -> Api<PlacementPlan> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The namespace and name of NAME or NAMESPACE/NAME.
    pub fn key(&self, wanted: &str) -> anyhow::Result<(String, String)> {
        let loaded = self.named.then_some(self.namespace.as_str());
        key(wanted, loaded, &self.namespace)
    }
}

fn key(wanted: &str, loaded: Option<&str>, usual: &str) -> anyhow::Result<(String, String)> {
    let (namespace, name) = wanted
        .split_once('/')
        .unwrap_or((loaded.unwrap_or(usual), wanted));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        bail!("{wanted:?} is no name: give NAME or NAMESPACE/NAME");
    }
    if let Some(loaded) = loaded.filter(|loaded| *loaded != namespace) {
        bail!("{wanted} is not in namespace {loaded}: leave out one of the two");
    }
    Ok((namespace.to_owned(), name.to_owned()))
}

/// Finds the cluster and its user as kubectl does.
pub async fn connect(args: &KubernetesArgs) -> anyhow::Result<Kubernetes> {
    let mut config = configured(args).await?;
    config.connect_timeout = Some(LIMIT);
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).context("the kubeconfig's user or certificates cannot be used")?;
    Ok(Kubernetes {
        client,
        server,
        namespace,
        named: args.namespace.is_some(),
    })
}

async fn configured(args: &KubernetesArgs) -> anyhow::Result<Config> {
    let file = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| unusable(path, &error))?,
        None => match Kubeconfig::read() {
            Ok(file) => file,
            Err(error) => return within(args, error),
        },
    };
    let options = KubeConfigOptions {
        context: args.kube_context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(file, &options).await.context(
        "the kubeconfig cannot be used: choose one of its contexts with --kube-context (`kubectl config get-contexts`)",
    )
}

/// In a pod there need not be a kubeconfig.
fn within(args: &KubernetesArgs, error: KubeconfigError) -> anyhow::Result<Config> {
    let named = std::env::var_os("KUBECONFIG");
    if args.kube_context.is_none()
        && named.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    let usual = || std::env::home_dir().map(|home| home.join(".kube").join("config"));
    let paths: Vec<PathBuf> = match &named {
        Some(named) => std::env::split_paths(named).collect(),
        None => usual().into_iter().filter(|path| path.exists()).collect(),
    };
    if let Some((path, error)) = first_unusable(&paths) {
        return Err(unusable(path, &error));
    }
    Err(anyhow::Error::new(error)
        .context("there is no kubeconfig to reach Kubernetes with: set KUBECONFIG, or give --kubeconfig"))
}

/// The first of several files that cannot be read.
fn first_unusable(paths: &[PathBuf]) -> Option<(&Path, KubeconfigError)> {
    let mut named = paths.iter().filter(|path| !path.as_os_str().is_empty());
    named.find_map(|path| Some((path.as_path(), Kubeconfig::read_from(path).err()?)))
}

/// The file may hold tokens: no line is shown.
fn unusable(path: &Path, error: &KubeconfigError) -> anyhow::Error {
    anyhow::anyhow!(
        "kubeconfig {} cannot be used: {}: correct it, or name another with --kubeconfig or KUBECONFIG",
        path.display(),
        exit::words(anyhow::Chain::new(error))
    )
}

/// The API's answer, within a time limit.
pub async fn answered<T>(
    server: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> anyhow::Result<Result<T, kube::Error>> {
    tokio::time::timeout(LIMIT, call).await.map_err(|_| {
        anyhow::anyhow!(
            "the Kubernetes API at {server} did not answer in {} s: see whether `kubectl get namespaces` does",
            LIMIT.as_secs()
        )
    })
}

/// Whether the API refused, so that a retry does not help.
pub fn is_definite(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

/// A namespace as text; empty for all of them.
pub fn place(namespace: &str) -> String {
    if namespace.is_empty() {
        "all namespaces".to_owned()
    } else {
        format!("namespace {namespace}")
    }
}

/// What it means that objects of a kind, by its plural, could not be read or changed.
pub fn problem(server: &str, verb: &str, kind: &str, namespace: &str, error: &kube::Error) -> anyhow::Error {
    let place = place(namespace);
    let kube::Error::Api(status) = error else {
        return anyhow::anyhow!(
            "cannot {verb} {kind} in {place}: the Kubernetes API at {server}: {}: see whether `kubectl get \
             namespaces` is answered",
            exit::words(anyhow::Chain::new(error))
        );
    };
    match status.code {
        401 => anyhow::anyhow!(
            "the Kubernetes API does not know the kubeconfig's user: log in again, or choose another with --kube-context"
        ),
        403 => anyhow::anyhow!(
            "the kubeconfig's user may not {verb} {kind} in {place}: grant {verb} on \
             {kind}.leeward.dev there to it ({})",
            status.message
        ),
        404 => anyhow::anyhow!(
            "this cluster does not know {kind}: install Leeward, or its definitions with \
             `leeward crds | kubectl apply -f -`"
        ),
        code => anyhow::anyhow!(
            "cannot {verb} {kind} in {place}: the Kubernetes API at {server}: {} ({code})",
            status.message
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_with_or_without_its_namespace() {
        let read = |wanted: &str, loaded: Option<&str>| {
            key(wanted, loaded, "default").map(|(namespace, name)| format!("{namespace} {name}"))
        };
        assert_eq!(read("orders", None).unwrap(), "default orders");
        assert_eq!(read("orders", Some("shop")).unwrap(), "shop orders");
        assert_eq!(read("shop/orders", None).unwrap(), "shop orders");
        assert_eq!(read("shop/orders", Some("shop")).unwrap(), "shop orders");
        for (wanted, loaded) in [
            ("shop/orders", Some("other")),
            ("shop/", None),
            ("/orders", None),
            ("a/b/c", None),
        ] {
            assert!(read(wanted, loaded).is_err(), "{wanted}");
        }
    }

    #[test]
    fn what_is_forbidden_names_the_right_that_is_missing() {
        let status = |code| kube::core::Status::failure("no", "Reason").with_code(code);
        let words = |code| {
            let error = kube::Error::Api(Box::new(status(code)));
            problem("https://api", "list", "placementpolicies", "shop", &error).to_string()
        };
        assert!(
            words(403).contains("grant list on placementpolicies.leeward.dev"),
            "{}",
            words(403)
        );
        assert!(words(404).contains("leeward crds"), "{}", words(404));
        assert!(words(500).ends_with("no (500)"), "{}", words(500));
    }

    #[test]
    fn what_did_not_answer_is_named_with_its_cause_and_a_cure() {
        let cause = anyhow::anyhow!("connection refused").context("client error (Connect)");
        let text = problem(
            "https://api",
            "list",
            "placementpolicies",
            "shop",
            &kube::Error::Service(cause.into()),
        )
        .to_string();
        for part in [
            "namespace shop",
            "https://api",
            "(Connect): connection refused",
            "kubectl get namespaces",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_broken_kubeconfig_is_named_and_its_tokens_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
        std::fs::write(&whole, "kind: Config\n").unwrap();
        std::fs::write(
            &broken,
            "users:\n- name: a\n  user:\n    token: SECRET\n    exec: 7\n",
        )
        .unwrap();
        let paths = [whole, broken.clone()];
        let (path, error) = first_unusable(&paths).unwrap();
        assert_eq!(path, broken);
        let text = unusable(path, &error).to_string();
        assert!(!text.contains("SECRET") && !text.contains('\n'), "{text}");
        assert!(text.contains("line 5") && text.contains("--kubeconfig"), "{text}");
    }
}
