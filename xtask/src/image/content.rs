//! The files of the image: the binary, the CA certificates and the user that it runs as. Nothing else, and no shell.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;
use data_encoding::BASE64;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

pub const BINARY: &str = "leeward";
/// Mozilla's CA certificates; `SSL_CERT_FILE` gives the binary the path.
pub const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// User and group, as numbers: they alone show Kubernetes that it is not root.
pub const USER: &str = "65532:65532";

const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nleeward:x:65532:65532:leeward:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nleeward:x:65532:\n";

/// A file owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Without a leading slash.
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

impl File {
    pub fn readable(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o644,
            bytes: bytes.into(),
        }
    }
}

pub fn files(binary: Vec<u8>) -> Vec<File> {
    vec![
        File {
            path: BINARY.to_owned(),
            mode: 0o755,
            bytes: binary,
        },
        File::readable(CERTIFICATES, certificates()),
        File::readable("etc/passwd", PASSWD),
        File::readable("etc/group", GROUP),
    ]
}

/// Writes the files into a folder.
pub fn write(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    for File { path, mode, bytes } in files {
        let path = folder.join(path);
        let cannot = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(folder)).with_context(cannot)?;
        fs::write(&path, bytes).with_context(cannot)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).with_context(cannot)?;
    }
    Ok(())
}

/// Mozilla's roots as PEM, in the order in which the crate lists them.
fn certificates() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // Base64 turns 48 bytes into the 64 characters that a line of PEM has.
        for line in certificate.chunks(48) {
            BASE64.encode_append(line, &mut pem);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
