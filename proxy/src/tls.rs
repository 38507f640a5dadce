//! Identity and encryption: certificates that are asked for, kept and rotated, and the TLS that
//! peers of the mesh speak with them, on the wire as an Istio sidecar does it (ALPN `istio*`, SNI
//! `outbound_.PORT_.SUBSET_.HOST`, SPIFFE identities).

mod certificates;
mod issue;
mod roots;
pub mod server_name;
mod signatures;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};

pub use self::certificates::{CertificateSnapshot, Certificates, Issued, anonymous_config};
pub use self::issue::run as issue;
pub use self::roots::{Roots, RootsError};
pub(crate) use self::signatures::signature_methods;
pub use self::verify::{TrustDomains, peer_identity};

/// Application protocols of mesh peers, by what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Anything else.
    Tcp,
}

/// What a mesh server takes, best first. Envoy offers `istio*` beside the plain names; a peer that
/// offers a metadata exchange also takes `istio` without one.
const SERVER_PROTOCOLS: [&[u8]; 6] = [
    b"h2",
    b"http/1.1",
    b"istio-h2",
    b"istio-http/1.1",
    b"istio-http/1.0",
    b"istio",
];

impl Alpn {
    /// What a mesh client offers.
    #[must_use]
    pub fn offers(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[b"istio-http/1.1", b"istio", b"http/1.1"],
            Self::Http2 => &[b"istio-h2", b"istio", b"h2"],
            Self::Tcp => &[b"istio"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }

    /// Reads what a client offers; none when it is not one of the mesh, so that its TLS belongs to
    /// the application.
    #[must_use]
    pub fn of_mesh_client(offers: &[Vec<u8>]) -> Option<Self> {
        let has = |name: &[u8]| offers.iter().any(|offer| offer == name);
        if has(b"istio-h2") {
            Some(Self::Http2)
        } else if has(b"istio-http/1.1") || has(b"istio-http/1.0") {
            Some(Self::Http1)
        } else if has(b"istio") || has(b"istio-peer-exchange") {
            Some(Self::Tcp)
        } else {
            None
        }
    }
}

/// The one cryptography of the process: hybrid post-quantum key exchange first, then the classic
/// ones; Istio's cipher suites.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ],
            kx_groups: vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
            ],
            ..default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}
