//! A private certificate authority and one certificate for servers on loopback. Keys are written to the lab's folder only.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct Tls {
    /// The authority's certificate, for clients.
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    /// The `tls` block of the server config.
    pub(crate) config: Value,
}

impl Tls {
    pub(crate) fn issue(folder: &Path) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "Leeward lab");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let ca_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server
            .distinguished_name
            .push(DnType::CommonName, "nats-server of the Leeward lab");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server_pem = server.signed_by(&server_key, &issuer)?.pem();

        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        let ca_file = write("ca.pem", &ca_pem)?;
        let config = json!({
            "cert_file": write("server.pem", &server_pem)?,
            "key_file": write("server-key.pem", &server_key.serialize_pem())?,
            "ca_file": ca_file,
        });
        Ok(Self {
            ca_pem,
            ca_file,
            config,
        })
    }
}
