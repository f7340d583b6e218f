//! The Kubernetes API as kubectl finds it, and what its errors mean.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::KubernetesArgs;

/// kube's own client may try again for minutes.
const LIMIT: Duration = Duration::from_secs(15);

/// A cluster, and where policies without a namespace are looked for.
#[derive(Clone)]
pub struct Kubernetes {
    /// The API.
    pub client: Client,
    /// The namespace of the arguments, else that of the kubeconfig's context.
    pub namespace: String,
    /// Whether the arguments named it.
    named: bool,
}

impl Kubernetes {
    /// The namespace and name of NAME or NAMESPACE/NAME.
    pub fn key(&self, wanted: &str) -> anyhow::Result<(String, String)> {
        let given = self.named.then_some(self.namespace.as_str());
        key(wanted, given, &self.namespace)
    }
}

fn key(wanted: &str, given: Option<&str>, usual: &str) -> anyhow::Result<(String, String)> {
    let (namespace, name) = wanted.split_once('/').unwrap_or((given.unwrap_or(usual), wanted));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        bail!("{wanted:?} is not the name of a policy: give NAME or NAMESPACE/NAME");
    }
    if let Some(given) = given.filter(|given| *given != namespace) {
        bail!("policy {wanted} is not in namespace {given}: leave out one of the two");
    }
    Ok((namespace.to_owned(), name.to_owned()))
}

/// Finds the cluster and its user as kubectl does.
pub async fn connect(args: &KubernetesArgs) -> anyhow::Result<Kubernetes> {
    let mut config = configured(args).await?;
    config.connect_timeout = Some(LIMIT);
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the kubeconfig's user or certificates cannot be used")?;
    Ok(Kubernetes {
        client,
        namespace,
        named: args.namespace.is_some(),
    })
}

async fn configured(args: &KubernetesArgs) -> anyhow::Result<Config> {
    let file = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .with_context(|| format!("--kubeconfig {} cannot be used", path.display()))?,
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
fn within(args: &KubernetesArgs, error: kube::config::KubeconfigError) -> anyhow::Result<Config> {
    if args.kube_context.is_none()
        && std::env::var_os("KUBECONFIG").is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Err(anyhow::Error::new(error)
        .context("there is no kubeconfig to reach Kubernetes with: set KUBECONFIG, or give --kubeconfig"))
}

/// The API's answer, within a time limit.
pub async fn answered<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> anyhow::Result<Result<T, kube::Error>> {
    tokio::time::timeout(LIMIT, call).await.map_err(|_| {
        anyhow::anyhow!(
            "the Kubernetes API did not answer in {} s: see whether `kubectl get namespaces` does",
            LIMIT.as_secs()
        )
    })
}

/// Whether the API refused, so that asking again does not help.
pub fn is_definite(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

/// What it means that placement policies could not be read or changed.
pub fn problem(verb: &str, namespace: &str, error: &kube::Error) -> anyhow::Error {
    let place = if namespace.is_empty() {
        "all namespaces".to_owned()
    } else {
        format!("namespace {namespace}")
    };
    let kube::Error::Api(status) = error else {
        return anyhow::anyhow!("cannot {verb} placementpolicies in {place}: {error}");
    };
    match status.code {
        401 => anyhow::anyhow!(
            "the Kubernetes API does not know the kubeconfig's user: log in again, or choose another with --kube-context"
        ),
        403 => anyhow::anyhow!(
            "the kubeconfig's user may not {verb} placementpolicies in {place}: grant {verb} on \
             placementpolicies.leeward.dev there to it ({})",
            status.message
        ),
        404 => anyhow::anyhow!(
            "this cluster does not know PlacementPolicy: install Leeward, or its definitions with \
             `leeward crds | kubectl apply -f -`"
        ),
        code => anyhow::anyhow!(
            "cannot {verb} placementpolicies in {place}: {} ({code})",
            status.message
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_with_or_without_its_namespace() {
        let read = |wanted: &str, given: Option<&str>| {
            key(wanted, given, "default").map(|(namespace, name)| format!("{namespace} {name}"))
        };
        assert_eq!(read("orders", None).unwrap(), "default orders");
        assert_eq!(read("orders", Some("shop")).unwrap(), "shop orders");
        assert_eq!(read("shop/orders", None).unwrap(), "shop orders");
        assert_eq!(read("shop/orders", Some("shop")).unwrap(), "shop orders");
        for (wanted, given) in [
            ("shop/orders", Some("other")),
            ("shop/", None),
            ("/orders", None),
            ("a/b/c", None),
        ] {
            assert!(read(wanted, given).is_err(), "{wanted}");
        }
    }

    #[test]
    fn what_is_forbidden_names_the_right_that_is_missing() {
        let status = |code| kube::core::Status::failure("no", "Reason").with_code(code);
        let words = |code| problem("list", "shop", &kube::Error::Api(Box::new(status(code)))).to_string();
        assert!(
            words(403).contains("grant list on placementpolicies.leeward.dev"),
            "{}",
            words(403)
        );
        assert!(words(404).contains("leeward crds"), "{}", words(404));
        assert!(words(500).ends_with("no (500)"), "{}", words(500));
    }
}
