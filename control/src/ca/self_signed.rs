//! Roots that we make ourselves: the first one, and its renewals. A renewed root has the key and the
//! name of the one before, so that certificates of either are good to those who trust the other.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::OffsetDateTime;
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use super::authority::{Authority, Material, valid_for};
use super::pem;
use crate::error::Error;

/// Life of a root.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A root is renewed when this part of its life is left, as Istio does it.
const RENEWED_AT: f64 = 0.2;

impl Authority {
    /// Makes the certificate and key of a new root.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn create(organization: &str) -> Result<Material, Error> {
        create_for(organization, ROOT_LIFE)
    }

    /// Whether little of the signing certificate's life is left.
    #[must_use]
    pub fn is_ageing(&self) -> bool {
        let life = self.not_after() - self.not_before();
        self.not_after() - OffsetDateTime::now_utc() < life * RENEWED_AT
    }
}

fn create_for(organization: &str, life: Duration) -> Result<Material, Error> {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, organization);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(Material {
        certificate: sign(&key, name, KeyIdMethod::Sha256, life)?,
        key: key.serialize_pem(),
        roots: String::new(),
        chain: String::new(),
    })
}

/// The same root with a new life.
///
/// # Errors
/// A sentence without any key material that says why it cannot be renewed.
pub(super) fn renewed(old: &Material) -> Result<Material, String> {
    let certificates = pem::certificates(&old.certificate).unwrap_or_default();
    let signer = certificates.first().ok_or("there is no certificate")?;
    let (_, parsed) = x509_parser::parse_x509_certificate(signer)
        .map_err(|_| "the certificate cannot be read")?;
    let name = name(&parsed).ok_or("its subject cannot be written again")?;
    let key = KeyPair::from_pem(&old.key).map_err(|_| "the key cannot be read")?;
    let certificate = sign(&key, name, key_identifier(&parsed), ROOT_LIFE)
        .map_err(|error| format!("it cannot be signed: {error}"))?;

    let certificates = pem::certificates(&certificate).unwrap_or_default();
    let same_name = certificates.first().is_some_and(|new| {
        x509_parser::parse_x509_certificate(new)
            .is_ok_and(|(_, new)| new.subject().as_raw() == parsed.subject().as_raw())
    });
    if !same_name {
        return Err("its subject cannot be written again".to_owned());
    }
    Ok(Material {
        certificate,
        key: old.key.clone(),
        roots: String::new(),
        chain: String::new(),
    })
}

fn sign(
    key: &KeyPair,
    name: DistinguishedName,
    key_identifier: KeyIdMethod,
    life: Duration,
) -> Result<String, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.key_identifier_method = key_identifier;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (parameters.not_before, parameters.not_after) = valid_for(life);
    Ok(parameters.self_signed(key)?.pem())
}

/// The subject, in the string types that it is written in: names are compared byte by byte.
fn name(certificate: &X509Certificate<'_>) -> Option<DistinguishedName> {
    let mut name = DistinguishedName::new();
    for attribute in certificate.subject().iter_attributes() {
        let kind: Vec<u64> = attribute.attr_type().iter()?.collect();
        let text = attribute.as_str().ok()?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => DnValue::PrintableString(text.try_into().ok()?),
            _ => DnValue::Utf8String(text.to_owned()),
        };
        name.push(DnType::from_oid(&kind), value);
    }
    Some(name)
}

/// The identifier that certificates of this root point to.
fn key_identifier(certificate: &X509Certificate<'_>) -> KeyIdMethod {
    let mut extensions = certificate.extensions().iter();
    let identifier = extensions.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    });
    identifier.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// A root at the end of its life.
#[cfg(test)]
pub(super) fn ageing_root() -> Material {
    create_for("cluster.local", Duration::from_secs(20)).unwrap()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lateen_wire::Identity;
    use rustls::RootCertStore;
    use rustls::server::WebPkiClientVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, UnixTime};

    use super::super::Subject;
    use super::*;

    fn leaf(authority: &Authority) -> CertificateDer<'static> {
        let identity = Identity::new("cluster.local", "shop", "web").unwrap();
        let subject = Subject::Workload(identity);
        let issued = authority.issue(&subject, Duration::from_secs(10)).unwrap();
        CertificateDer::from_pem_slice(issued.signed.chain[0].as_bytes()).unwrap()
    }

    fn trusts(authority: &Authority, leaf: &CertificateDer<'_>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.roots()[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        verifier
            .unwrap()
            .verify_client_cert(leaf, &[], UnixTime::now())
            .is_ok()
    }

    #[test]
    fn a_renewed_root_and_the_old_one_trust_each_others_certificates() {
        let ageing = ageing_root();
        let old = Authority::load(&ageing).unwrap();
        let new = Authority::load(&renewed(&ageing).unwrap()).unwrap();
        assert!(old.is_ageing() && !new.is_ageing());
        assert!(new.not_after() > old.not_after());
        assert_ne!(old, new);
        let (of_old, of_new) = (leaf(&old), leaf(&new));
        assert!(trusts(&old, &of_new) && trusts(&new, &of_old));
        let stranger = Authority::load(&Authority::create("cluster.local").unwrap()).unwrap();
        assert!(!trusts(&stranger, &of_new));
    }

    /// As Go writes it, in Istio's own Secret.
    #[test]
    fn a_printable_name_and_a_foreign_key_identifier_are_kept() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut name = DistinguishedName::new();
        let value = DnValue::PrintableString("cluster.local".try_into().unwrap());
        name.push(DnType::OrganizationName, value);
        let identifier = KeyIdMethod::PreSpecified(vec![7; 20]);
        let material = Material {
            certificate: sign(&key, name, identifier, Duration::from_secs(20)).unwrap(),
            key: key.serialize_pem(),
            roots: String::new(),
            chain: String::new(),
        };
        let old = Authority::load(&material).unwrap();
        let new = Authority::load(&renewed(&material).unwrap()).unwrap();
        assert!(trusts(&new, &leaf(&old)) && trusts(&old, &leaf(&new)));
        let (_, parsed) = x509_parser::parse_x509_certificate(&new.roots()[0]).unwrap();
        let KeyIdMethod::PreSpecified(kept) = key_identifier(&parsed) else {
            panic!("there is none");
        };
        assert_eq!(kept, [7; 20]);
    }
}
