//! Private certificate authorities, and certificates that they sign, for servers on loopback and their clients.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

pub(crate) type CertificateAuthority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, both as PEM.
pub(crate) struct SignedCertificate {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

/// Makes an authority that nobody else trusts.
pub(crate) fn authority(name: &str) -> anyhow::Result<CertificateAuthority> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server's certificate for loopback.
pub(crate) fn server(authority: &CertificateAuthority, name: &str) -> anyhow::Result<SignedCertificate> {
    let loopback = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = CertificateParams::new(loopback)?;
    params.distinguished_name = subject(name, None);
    signed(authority, params, ExtendedKeyUsagePurpose::ServerAuth)
}

/// A client's certificate. NATS takes the user from the alternative name; Kubernetes takes it from the common name, and groups
/// from organisations.
pub(crate) fn client(
    authority: &CertificateAuthority,
    user: &str,
    group: Option<&str>,
) -> anyhow::Result<SignedCertificate> {
    let mut params = CertificateParams::new([user.to_owned()])?;
    params.distinguished_name = subject(user, group);
    signed(authority, params, ExtendedKeyUsagePurpose::ClientAuth)
}

fn signed(
    authority: &CertificateAuthority,
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
) -> anyhow::Result<SignedCertificate> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok(SignedCertificate {
        pem: params.signed_by(&key, authority)?.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn subject(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
