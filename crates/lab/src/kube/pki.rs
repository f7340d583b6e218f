//! Keys and certificates of one API server: its authority, its serving certificate, the administrator's certificate,
//! and the key that signs service account tokens. Every lab creates its own, which nothing else trusts.

use std::path::{Path, PathBuf};

use base64::Engine;
use rcgen::KeyPair;

use crate::certificates;
use crate::folder::write_file;

#[derive(Debug)]
pub struct Pki {
    pub authority: String,
    pub authority_file: PathBuf,
    pub serving_certificate_file: PathBuf,
    pub serving_key_file: PathBuf,
    pub token_key_file: PathBuf,
    pub token_public_key_file: PathBuf,
    admin_certificate: String,
    admin_key: String,
}

impl Pki {
    /// Makes everything and writes what the servers read into `folder/pki`.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("pki");
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            write_file(&path, text)?;
            Ok(path)
        };
        let authority = certificates::authority("leeward-lab-authority")?;
        let serving = certificates::server(&authority, "kube-apiserver")?;
        let admin = certificates::client(&authority, "leeward-lab", Some("system:masters"))?;
        let token_key = KeyPair::generate()?;
        Ok(Self {
            authority_file: write("authority.crt", &authority.pem())?,
            serving_certificate_file: write("apiserver.crt", &serving.pem)?,
            serving_key_file: write("apiserver.key", &serving.key_pem)?,
            token_key_file: write("token.key", &token_key.serialize_pem())?,
            token_public_key_file: write("token.pub", &token_key.public_key_pem())?,
            authority: authority.pem(),
            admin_certificate: admin.pem,
            admin_key: admin.key_pem,
        })
    }

    /// The administrator as the inline YAML of a kubeconfig's user.
    pub fn admin_user(&self) -> String {
        format!(
            "{{client-certificate-data: {}, client-key-data: {}}}",
            base64_of(&self.admin_certificate),
            base64_of(&self.admin_key)
        )
    }
}

pub fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
