//! Keys and certificates of one API server: its authority, its serving certificate, the administrator's certificate,
//! and the key that signs service account tokens. They are made anew for every lab and trusted by nobody else.

use std::path::{Path, PathBuf};

use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

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
        std::fs::create_dir_all(&folder)?;
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            super::write(&path, text)?;
            Ok(path)
        };
        let authority = authority()?;
        let serving = certificate(
            &authority,
            "kube-apiserver",
            None,
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
        let admin = certificate(
            &authority,
            "leeward-lab",
            Some("system:masters"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        let token_key = KeyPair::generate()?;
        Ok(Self {
            authority_file: write("authority.crt", &authority.pem())?,
            serving_certificate_file: write("apiserver.crt", &serving.certificate)?,
            serving_key_file: write("apiserver.key", &serving.key)?,
            token_key_file: write("token.key", &token_key.serialize_pem())?,
            token_public_key_file: write("token.pub", &token_key.public_key_pem())?,
            authority: authority.pem(),
            admin_certificate: admin.certificate,
            admin_key: admin.key,
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

struct Signed {
    certificate: String,
    key: String,
}

fn authority() -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("leeward-lab-authority", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn certificate(
    authority: &CertifiedIssuer<'_, KeyPair>,
    user: &str,
    group: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> anyhow::Result<Signed> {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    params.distinguished_name = name(user, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok(Signed {
        certificate: params.signed_by(&key, authority)?.pem(),
        key: key.serialize_pem(),
    })
}

/// Kubernetes takes the user from the common name and groups from organisations.
fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
