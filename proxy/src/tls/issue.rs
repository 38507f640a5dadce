//! Gets certificates from the authority and rotates them: Istio's `IstioCertificateService`, a new
//! P-256 key each time, the service account token as the proof. While renewing fails, the present
//! certificate stays in use.

use std::time::{Duration, SystemTime};

use lateen_wire::ca::IstioCertificateRequest;
use lateen_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tonic::metadata::MetadataValue;

use super::certificates::{Certificates, InvalidCertificate, Issued};
use super::roots::{Roots, unix_seconds};
use super::verify::TrustDomains;
use crate::config::Config;
use crate::control::{BackOff, Control, ControlError};
use crate::ready::{Readiness, Reason};

/// The longest an authority may take to sign.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum IssueError {
    #[error(transparent)]
    Connect(#[from] ControlError),
    #[error("the token cannot be read from {path}: {source}")]
    Token {
        path: String,
        source: std::io::Error,
    },
    #[error("the token is not one line of text")]
    TokenText,
    #[error("the request cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error("the authority refused: {} ({:?})", .0.message(), .0.code())]
    Refused(Box<tonic::Status>),
    #[error("the authority did not answer in {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Answer(#[from] InvalidCertificate),
    #[error(transparent)]
    Roots(#[from] super::RootsError),
}

/// Keeps a certificate in force for ever.
pub async fn run(
    config: &Config,
    control: Control,
    certificates: Certificates,
    trust_domains: TrustDomains,
    readiness: Readiness,
) {
    let mut back_off = BackOff::new();
    loop {
        match request(config, &control, trust_domains.clone()).await {
            Ok(issued) => {
                back_off.reset();
                let renew_after = issued.renew_after(SystemTime::now());
                control.counters().certificates.increment();
                control
                    .counters()
                    .certificate_expiry
                    .set(unix_seconds(issued.not_after));
                tracing::info!(
                    identity = %issued.identity,
                    renew_after_seconds = renew_after.as_secs(),
                    "A certificate was issued."
                );
                certificates.replace(issued);
                readiness.resolve(Reason::Certificate);
                tokio::time::sleep(renew_after).await;
            }
            Err(error) => {
                control.counters().certificate_failures.increment();
                tracing::warn!(%error, "No certificate was issued; trying again.");
                back_off.wait().await;
            }
        }
    }
}

async fn request(
    config: &Config,
    control: &Control,
    trust_domains: TrustDomains,
) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    // The authority names the certificate after the token; a request needs no names.
    let csr = CertificateParams::default()
        .serialize_request(&key)?
        .pem()?;
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr,
        ..IstioCertificateRequest::default()
    });
    let token = read_token(config)?;
    let bearer =
        MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| IssueError::TokenText)?;
    request.metadata_mut().insert("authorization", bearer);
    if let Ok(cluster) = MetadataValue::try_from(config.pod.cluster.as_str()) {
        request.metadata_mut().insert("clusterid", cluster);
    }
    let channel = control.authority().await?;
    let mut client = IstioCertificateServiceClient::with_origin(channel.clone(), channel.origin());
    let answer = tokio::time::timeout(TIMEOUT, client.create_certificate(request))
        .await
        .map_err(|_| IssueError::Timeout)?
        .map_err(|status| IssueError::Refused(Box::new(status)))?
        .into_inner();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let roots = Roots::read(&config.root_path)?;
    Ok(Issued::new(&answer.cert_chain, key, roots, trust_domains)?)
}

fn read_token(config: &Config) -> Result<String, IssueError> {
    std::fs::read_to_string(&config.token_path)
        .map(|token| token.trim().to_owned())
        .map_err(|source| IssueError::Token {
            path: config.token_path.display().to_string(),
            source,
        })
}
