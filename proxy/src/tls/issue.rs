//! Gets certificates from the authority and rotates them: Istio's `IstioCertificateService`, a new
//! P-256 key each time, the service account token as the proof. While renewing fails, the present
//! certificate stays in use. Roots that are exchanged meanwhile take effect at once.

use std::time::{Duration, SystemTime};

use lateen_wire::ca::IstioCertificateRequest;
use lateen_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tonic::Code;
use tonic::metadata::{Ascii, MetadataValue};

use super::certificates::{Certificates, InvalidCertificate, Issued};
use super::roots::{Roots, unix_seconds};
use super::verify::TrustDomains;
use crate::config::Config;
use crate::control::{BackOff, Control, ControlError};
use crate::ready::{Readiness, Reason};

/// The longest an authority may take to sign.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often the roots are looked at: they are exchanged by hand, and the kubelet takes a minute.
const ROOTS: Duration = Duration::from_secs(5);

/// What shows the authority who asks.
enum Proof<'a> {
    /// The token of the pod's service account.
    Token,
    /// A certificate that it has issued before.
    Certificate(&'a Issued),
}

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

impl IssueError {
    /// Whether another proof than the token may be taken.
    fn is_of_the_token(&self) -> bool {
        match self {
            Self::Token { .. } | Self::TokenText => true,
            // It is not, or no more, or cannot be reviewed at the moment.
            Self::Refused(status) => matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::Unavailable
            ),
            _ => false,
        }
    }
}

/// Keeps a certificate in force for ever, and the roots that peers are checked by.
pub async fn run(
    config: &Config,
    control: Control,
    certificates: Certificates,
    trust_domains: TrustDomains,
    readiness: Readiness,
) {
    tokio::join!(
        follow_roots(config, &certificates),
        renew(config, &control, &certificates, &trust_domains, &readiness),
    );
}

/// Takes in roots that change while a certificate is in use.
async fn follow_roots(config: &Config, certificates: &Certificates) {
    let mut interval = tokio::time::interval(ROOTS);
    loop {
        interval.tick().await;
        let Some(issued) = certificates.current() else {
            continue;
        };
        match Roots::read(&config.root_path).and_then(|roots| issued.trust(roots)) {
            Ok(false) => {}
            Ok(true) => tracing::info!("The roots of the mesh have changed."),
            Err(error) => tracing::warn!(%error, "The roots that are known stay in force."),
        }
    }
}

async fn renew(
    config: &Config,
    control: &Control,
    certificates: &Certificates,
    trust_domains: &TrustDomains,
    readiness: &Readiness,
) {
    let mut back_off = BackOff::new();
    loop {
        match request(config, control, certificates, trust_domains).await {
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

/// Asks with the pod's token or, when that is of no use, with the certificate in force.
async fn request(
    config: &Config,
    control: &Control,
    certificates: &Certificates,
    trust_domains: &TrustDomains,
) -> Result<Issued, IssueError> {
    let error = match request_by(Proof::Token, config, control, trust_domains).await {
        Err(error) if error.is_of_the_token() => error,
        result => return result,
    };
    let present = certificates.current();
    match present.filter(|issued| issued.is_live(SystemTime::now())) {
        None => Err(error),
        Some(issued) => {
            tracing::info!(%error, "The token is of no use; the certificate is shown instead.");
            request_by(Proof::Certificate(&issued), config, control, trust_domains).await
        }
    }
}

async fn request_by(
    proof: Proof<'_>,
    config: &Config,
    control: &Control,
    trust_domains: &TrustDomains,
) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    // The authority names the certificate after the proof; a request needs no names.
    let csr = CertificateParams::default()
        .serialize_request(&key)?
        .pem()?;
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr,
        ..IstioCertificateRequest::default()
    });
    if let Ok(cluster) = MetadataValue::try_from(config.pod.cluster.as_str()) {
        request.metadata_mut().insert("clusterid", cluster);
    }
    let channel = match proof {
        Proof::Token => {
            let bearer = read_bearer(config)?;
            request.metadata_mut().insert("authorization", bearer);
            control.authority(None).await?
        }
        Proof::Certificate(issued) => control.authority(Some(issued)).await?,
    };
    let mut client = IstioCertificateServiceClient::with_origin(channel.clone(), channel.origin());
    let answer = tokio::time::timeout(TIMEOUT, client.create_certificate(request))
        .await
        .map_err(|_| IssueError::Timeout)?
        .map_err(|status| IssueError::Refused(Box::new(status)))?
        .into_inner();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let roots = Roots::read(&config.root_path)?;
    Ok(Issued::new(
        &answer.cert_chain,
        key,
        roots,
        trust_domains.clone(),
    )?)
}

fn read_bearer(config: &Config) -> Result<MetadataValue<Ascii>, IssueError> {
    let token =
        std::fs::read_to_string(&config.token_path).map_err(|source| IssueError::Token {
            path: config.token_path.display().to_string(),
            source,
        })?;
    MetadataValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| IssueError::TokenText)
}
