//! A real Kubernetes API on loopback: etcd and kube-apiserver with RBAC, in one folder, ready in about two seconds.
//!
//! Limits: there are no nodes, no controllers and no garbage collector. A Deployment creates no pods, a deleted
//! namespace stays in `Terminating`, owned objects outlive their owner, and no namespace has a `default` service
//! account until it is created. The folder stays the caller's; both servers end when the value is dropped.

mod kubectl;
mod objects;
mod pki;
mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

pub use kubectl::Kubectl;
pub use objects::{Kind, ObjectClient};

use crate::folder::write_file;
use crate::ports::Port;
use crate::process::Process;
use crate::tools::KubeVersion;
use pki::Pki;
use servers::Apiserver;

#[derive(Debug)]
pub struct Kube {
    // In this order: an apiserver without its etcd only fills its log.
    apiserver: Apiserver,
    _etcd: Process,
    _etcd_port: Port,
    pki: Pki,
    folder: PathBuf,
    kubectl: Kubectl,
}

impl Kube {
    /// Starts both servers with everything they need in `folder` and waits until the API is ready.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_version(KubeVersion::Newest, folder).await
    }

    /// [`Kube::start`] with a chosen apiserver; etcd and kubectl are the same for all.
    pub async fn start_version(version: KubeVersion, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", folder.display()))?;
        let pki = Pki::create(&folder)?;
        let etcd_port = Port::reserve()?;
        let etcd = servers::start_etcd(&folder, etcd_port.address()).await?;
        let mut apiserver = Apiserver::new(version, &folder, &pki, etcd_port.address())?;
        let admin = folder.join("admin.kubeconfig");
        write_file(
            &admin,
            &kubeconfig(apiserver.url(), &pki.authority, &pki.admin_user()),
        )?;
        let kubectl = Kubectl::new(&folder, admin)?;
        apiserver.start(kubectl.kubeconfig()).await?;
        Ok(Self {
            apiserver,
            _etcd: etcd,
            _etcd_port: etcd_port,
            pki,
            folder,
            kubectl,
        })
    }

    /// `https://127.0.0.1:port`, the same after a restart.
    pub fn url(&self) -> &str {
        self.apiserver.url()
    }

    /// PEM of the certificate authority that signed the apiserver's certificate.
    pub fn authority(&self) -> &str {
        &self.pki.authority
    }

    /// How long the apiserver took to be ready when it was last started.
    pub fn ready_after(&self) -> Duration {
        self.apiserver.ready_after()
    }

    /// A kubeconfig of group `system:masters`, which may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubectl.kubeconfig().to_path_buf()
    }

    /// Reads objects as the administrator, on the runtime of the caller.
    pub async fn objects(&self) -> anyhow::Result<ObjectClient> {
        ObjectClient::new(self.kubectl.kubeconfig()).await
    }

    /// Writes a kubeconfig that authenticates with this token, and returns its path.
    pub fn kubeconfig_for_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        write_file(
            &path,
            &kubeconfig(self.url(), &self.pki.authority, &format!("{{token: {token}}}")),
        )?;
        Ok(path)
    }

    /// A token for this service account, which is created if it is missing; its namespace has to exist.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
        });
        let objects = self.objects().await?;
        objects.apply(account).await?;
        objects.token(namespace, name).await
    }

    /// Creates a namespace; one that exists already is fine.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.objects().await?.apply(namespace).await
    }

    /// kubectl as the administrator; its output, or an error with its error output.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl.run(args).await
    }

    /// kubectl with another kubeconfig, for example of [`Kube::kubeconfig_for_token`].
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl.with_kubeconfig(kubeconfig).run(args).await
    }

    /// Applies one or more YAML documents, as [`ObjectClient::apply`] does.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).context("no YAML that can be applied")?;
        let objects = self.objects().await?;
        for object in documents.into_iter().filter(|object| !object.is_null()) {
            objects.apply(object).await?;
        }
        Ok(())
    }

    /// Applies custom resource definitions and waits until their objects can be created.
    pub async fn apply_crds(&self, yaml: &str) -> anyhow::Result<()> {
        self.apply(yaml).await?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=120s",
        ])
        .await
        .map(|_| ())
    }

    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop_apiserver().await?;
        self.start_apiserver().await
    }

    /// Kills the apiserver: its clients lose their connections and are refused until it is started.
    pub async fn stop_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver.stop().await
    }

    /// Starts the apiserver again, unless it runs, and waits until it is ready.
    pub async fn start_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver.start(self.kubectl.kubeconfig()).await
    }

    /// Freezes the apiserver: its clients keep their connections and get no answers.
    pub fn pause_apiserver(&self) -> anyhow::Result<()> {
        self.apiserver.process()?.pause()
    }
}

/// `user` is the inline YAML of the credentials.
fn kubeconfig(url: &str, authority: &str, user: &str) -> String {
    let authority = pki::base64_of(authority);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters: [{{name: lab, cluster: {{server: \"{url}\", certificate-authority-data: {authority}}}}}]\n\
         users: [{{name: lab, user: {user}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\n"
    )
}
