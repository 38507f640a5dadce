//! A certificate authority.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) struct Authority {
    pub(crate) root_pem: String,
    pub(crate) root_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "root");
        let root = params.self_signed(&key).unwrap();
        Self {
            root_pem: root.pem(),
            root_der: root.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a request for an identity; the chain as control answers it.
    pub(crate) fn sign(&self, csr: &str, identity: &str, life: Duration) -> Vec<String> {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params = params(vec![uri(identity)], life);
        let leaf = request.signed_by(&self.issuer).unwrap();
        vec![leaf.pem(), self.root_pem.clone()]
    }

    /// A certificate for a server with a DNS name, or for a workload.
    pub(crate) fn issue(
        &self,
        name: SanType,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let leaf = params(vec![name], Duration::from_secs(3600)).signed_by(&key, &self.issuer);
        (
            vec![leaf.unwrap().der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
    }
}

pub(crate) fn uri(identity: &str) -> SanType {
    SanType::URI(identity.try_into().unwrap())
}

fn params(names: Vec<SanType>, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params.not_after = (SystemTime::now() + life).into();
    params
}
