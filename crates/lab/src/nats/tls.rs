//! A private certificate authority, one certificate for servers on loopback, and one for each user where servers
//! identify users by them. Keys are written to the lab's folder only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::certificates::{self, SignedCertificate};
use crate::folder::write_file;

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

/// The certificate of a user, for servers that take the user from it.
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
        let authority = certificates::authority("Leeward lab")?;
        let server = certificates::server(&authority, "nats-server of the Leeward lab")?;
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            write_file(&path, text)?;
            Ok(path)
        };
        let client = |user: &String| -> anyhow::Result<(String, ClientCertificate)> {
            let SignedCertificate { pem, key_pem } = certificates::client(&authority, user, None)?;
            let certificate = ClientCertificate {
                pem_file: write(&format!("{user}.pem"), &pem)?,
                key_file: write(&format!("{user}-key.pem"), &key_pem)?,
                pem,
                key_pem,
            };
            Ok((user.clone(), certificate))
        };
        let clients: BTreeMap<_, _> = users.iter().map(client).collect::<anyhow::Result<_>>()?;
        let ca_pem = authority.pem();
        let ca_file = write("ca.pem", &ca_pem)?;
        let config = json!({
            "verify_and_map": !clients.is_empty(),
            "cert_file": write("server.pem", &server.pem)?,
            "key_file": write("server-key.pem", &server.key_pem)?,
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
