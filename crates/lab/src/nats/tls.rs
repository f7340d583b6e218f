//! A private certificate authority, one certificate for servers on loopback, and one for each user where servers know users
//! by them. Keys are written to the lab's folder only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct LabTls {
    /// The authority's certificate, for clients.
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    /// The `tls` block of the server config.
    pub(crate) config: Value,
    /// By user.
    pub(crate) clients: BTreeMap<String, ClientCertificate>,
}

/// What a user shows to servers that take the user from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub pem: String,
    pub key_pem: String,
    pub(crate) pem_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl LabTls {
    /// With users, servers ask clients for certificates and take the user from them.
    pub(crate) fn issue(folder: &Path, users: &[String]) -> anyhow::Result<Self> {
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
        let client = |user: &String| -> anyhow::Result<(String, ClientCertificate)> {
            let mut client = CertificateParams::new(vec![user.clone()])?;
            client.use_authority_key_identifier_extension = true;
            client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate()?;
            let (pem, key_pem) = (client.signed_by(&key, &issuer)?.pem(), key.serialize_pem());
            let certificate = ClientCertificate {
                pem_file: write(&format!("{user}.pem"), &pem)?,
                key_file: write(&format!("{user}-key.pem"), &key_pem)?,
                pem,
                key_pem,
            };
            Ok((user.clone(), certificate))
        };
        let clients: BTreeMap<_, _> = users.iter().map(client).collect::<anyhow::Result<_>>()?;
        let ca_file = write("ca.pem", &ca_pem)?;
        let config = json!({
            "verify_and_map": !clients.is_empty(),
            "cert_file": write("server.pem", &server_pem)?,
            "key_file": write("server-key.pem", &server_key.serialize_pem())?,
            "ca_file": ca_file,
        });
        Ok(Self {
            ca_pem,
            ca_file,
            config,
            clients,
        })
    }
}
