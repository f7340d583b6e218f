//! One kube-apiserver for the tests that run at the same time, with Leeward's CRDs; each has a namespace of its own.

use std::sync::{Arc, Weak};

use anyhow::Context;
use leeward_lab::folder::Folder;
use leeward_lab::kube::Kube;
use leeward_lab::tools::KubeVersion;
use tokio::sync::Mutex;

static SHARED: Mutex<Weak<SharedKube>> = Mutex::const_new(Weak::new());

/// A kube-apiserver with the CRDs. The last test that drops it stops it.
#[derive(Debug)]
pub struct SharedKube {
    // Dropped in this order.
    kube: Kube,
    folder: Folder,
}

impl SharedKube {
    /// The running one, or a new one.
    pub async fn get() -> anyhow::Result<Arc<Self>> {
        let mut shared = SHARED.lock().await;
        if let Some(kube) = shared.upgrade() {
            return Ok(kube);
        }
        let kube = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&kube);
        Ok(kube)
    }

    /// One of its own, for a test that stops it.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_version(KubeVersion::Newest).await
    }

    /// [`Self::start`] with a chosen kube-apiserver.
    pub async fn start_version(version: KubeVersion) -> anyhow::Result<Self> {
        let folder = Folder::temporary()?;
        let kube = Kube::start_version(version, &folder.path().join("kube")).await?;
        for crd in [
            "natssystems.yaml",
            "placementplans.yaml",
            "placementpolicies.yaml",
        ] {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/").to_owned() + crd;
            let yaml = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            kube.apply_crds(&yaml).await?;
        }
        Ok(Self { kube, folder })
    }

    pub fn kube(&self) -> &Kube {
        &self.kube
    }

    /// The servers, to stop and start them.
    pub fn kube_mut(&mut self) -> &mut Kube {
        &mut self.kube
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
