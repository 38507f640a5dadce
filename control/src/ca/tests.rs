//! What is signed and what is refused.

use std::time::Duration;

use lateen_wire::Identity;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SanType, SignatureAlgorithm,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::*;

fn authority() -> Authority {
    Authority::load(&Authority::create("cluster.local").unwrap()).unwrap()
}

/// A request that asks for more than it will get.
fn request(algorithm: &'static SignatureAlgorithm) -> (KeyPair, String) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut parameters = CertificateParams::default();
    let forged = "spiffe://cluster.local/ns/bank/sa/teller"
        .try_into()
        .unwrap();
    parameters.subject_alt_names.push(SanType::URI(forged));
    let request = parameters.serialize_request(&key).unwrap();
    (key, request.pem().unwrap())
}

fn workload() -> Subject {
    Subject::Workload(Identity::new("cluster.local", "shop", "reviews").unwrap())
}

fn with_leaf<R>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> R) -> R {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    look(&parsed)
}

#[test]
fn only_the_key_of_a_request_is_used() {
    for algorithm in [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ] {
        let (key, csr) = request(algorithm);
        let public = SigningRequest::parse(&csr).unwrap().key;
        let signed = authority()
            .sign(&public, &workload(), Duration::from_secs(60))
            .unwrap();
        assert_eq!(signed.chain.len(), 2);
        with_leaf(&signed.chain[0], |leaf| {
            let names = leaf.subject_alternative_name().unwrap().unwrap();
            assert!(names.critical);
            let uri = "spiffe://cluster.local/ns/shop/sa/reviews";
            assert_eq!(names.value.general_names, [GeneralName::URI(uri)]);
            assert_eq!(leaf.subject().iter().count(), 0);
            assert!(!leaf.is_ca());
            let usage = leaf.key_usage().unwrap().unwrap().value;
            assert!(
                usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign()
            );
            let extended = leaf.extended_key_usage().unwrap().unwrap().value;
            assert!(extended.server_auth && extended.client_auth);
            assert_eq!(
                leaf.public_key().subject_public_key.data.as_ref(),
                key.public_key_raw()
            );
            let validity = leaf.validity();
            assert_eq!(
                validity.not_after.timestamp() - validity.not_before.timestamp(),
                180
            );
        });
    }
}

#[test]
fn a_request_tells_whom_it_asks_for() {
    let (_, csr) = request(&PKCS_ECDSA_P256_SHA256);
    let request = SigningRequest::parse(&csr).unwrap();
    let asks = |domain, namespace, account| {
        let own = Identity::new(domain, namespace, account).unwrap();
        request.asks_for_other_than(&own)
    };
    let teller = "spiffe://cluster.local/ns/bank/sa/teller";
    assert_eq!(asks("cluster.local", "bank", "teller"), None);
    assert_eq!(asks("renamed", "bank", "teller"), None);
    assert_eq!(asks("cluster.local", "bank", "guard"), Some(teller));
    assert_eq!(asks("cluster.local", "shop", "teller"), Some(teller));
}

#[test]
fn bad_requests_are_refused() {
    let (_, good) = request(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(
        SigningRequest::parse("hello").unwrap_err(),
        RequestError::Malformed
    );
    let long = format!("{good}{}", " ".repeat(20_000));
    assert_eq!(
        SigningRequest::parse(&long).unwrap_err(),
        RequestError::TooLong
    );
    let (_, curve) = request(&PKCS_ECDSA_P521_SHA512);
    assert_eq!(
        SigningRequest::parse(&curve).unwrap_err(),
        RequestError::UnsupportedKey
    );
}

/// Somebody who has seen a public key cannot get a certificate for it.
#[test]
fn a_request_with_somebody_elses_key_is_refused() {
    let (_, mine) = request(&PKCS_ECDSA_P256_SHA256);
    let (_, theirs) = request(&PKCS_ECDSA_P256_SHA256);
    let [mut mine, theirs] = [mine, theirs].map(|pem| {
        rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .unwrap()
            .to_vec()
    });
    // The public key stands at the same place in both; their lengths may differ in the signature.
    let key_at = |der: &[u8]| {
        let prefix = [0x03, 0x42, 0x00, 0x04];
        der.windows(4).position(|window| window == prefix).unwrap() + 4
    };
    let (to, from) = (key_at(&mine), key_at(&theirs));
    mine[to..to + 64].copy_from_slice(&theirs[from..from + 64]);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &mine);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        lines.join("\n")
    );
    assert_eq!(
        SigningRequest::parse(&forged).unwrap_err(),
        RequestError::BadSignature
    );
}

#[test]
fn no_certificate_outlives_its_authority() {
    let authority = authority();
    let (_, csr) = request(&PKCS_ECDSA_P256_SHA256);
    let key = SigningRequest::parse(&csr).unwrap().key;
    let century = Duration::from_secs(100 * 365 * 86_400);
    let signed = authority.sign(&key, &workload(), century).unwrap();
    assert_eq!(signed.not_after, authority.not_after());
    let years = (authority.not_after() - OffsetDateTime::now_utc()).whole_days() / 365;
    assert!((9..=10).contains(&years));
}

#[test]
fn lifetimes_are_the_default_or_what_was_asked_up_to_the_longest() {
    let minute = Duration::from_secs(60);
    let lifetimes = Lifetimes {
        default: minute,
        longest: 10 * minute,
    };
    assert_eq!(lifetimes.granted(0), Some(minute));
    assert_eq!(lifetimes.granted(120), Some(2 * minute));
    assert_eq!(lifetimes.granted(1_000_000), Some(10 * minute));
    assert_eq!(lifetimes.granted(-1), None);
}

#[test]
fn a_key_of_another_certificate_is_not_loaded() {
    let mut material = Authority::create("cluster.local").unwrap();
    material.key = Authority::create("cluster.local").unwrap().key;
    assert_eq!(
        Authority::load(&material).unwrap_err(),
        "the key is not the certificate's"
    );
}

#[test]
fn a_plugged_in_authority_answers_with_its_chain_and_the_root_last() {
    let root = Authority::create("root").unwrap();
    let root_authority = Authority::load(&root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    parameters
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "intermediate");
    let root_key = KeyPair::from_pem(&root.key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&root.certificate, root_key).unwrap();
    let intermediate = parameters.signed_by(&key, &issuer).unwrap().pem();
    let plugged = Authority::load(&Material {
        certificate: intermediate.clone(),
        key: key.serialize_pem(),
        roots: root.certificate,
        chain: intermediate.clone(),
    })
    .unwrap();
    let chain = plugged
        .issue(&workload(), Duration::from_secs(60))
        .unwrap()
        .signed
        .chain;
    let plain = |pem: &str| pem.replace('\r', "");
    assert_eq!(chain.len(), 3);
    assert_eq!(chain[1], plain(&intermediate));
    assert_eq!(chain[2], root_authority.roots_pem());
}
