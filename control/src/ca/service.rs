//! Istio's certificate service (`istio.v1.auth.IstioCertificateService`). A certificate is given
//! to the live pod that a token is bound to, calling from that pod's address, and to nobody else. Who
//! has no token may renew the certificate that the connection was made with, from a live pod of
//! that identity.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_wire::Identity;
use lateen_wire::ca::istio_certificate_service_server::IstioCertificateService;
use lateen_wire::ca::{IstioCertificateRequest, IstioCertificateResponse};
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tracing::{info, warn};

use super::authority::Subject;
use super::current::CurrentAuthority;
use super::lifetime::Lifetimes;
use super::request::SigningRequest;
use super::token::{Bearer, TokenError, Tokens};
use crate::caller::{self, Claim};
use crate::limit::Buckets;
use crate::metrics::Metrics;
use crate::serve::Peer;
use crate::snapshot::store::Store;

/// Requests of one address at once, and per second after that.
const BURST: u32 = 20;
const PER_SECOND: u32 = 2;
/// Tokens under review at a time, of all callers: bounds what is asked of the API server.
const REVIEWS: usize = 32;

/// The certificate service.
pub struct CertificateService<T> {
    authority: Arc<CurrentAuthority>,
    store: Arc<Store>,
    tokens: T,
    lifetimes: Lifetimes,
    metrics: Arc<Metrics>,
    callers: Buckets<IpAddr>,
    reviews: Semaphore,
}

impl<T: Tokens> CertificateService<T> {
    /// Signs with the authority for pods of the store.
    #[must_use]
    pub fn new(
        authority: Arc<CurrentAuthority>,
        store: Arc<Store>,
        tokens: T,
        lifetimes: Lifetimes,
        metrics: Arc<Metrics>,
    ) -> Self {
        let callers = Buckets::new(BURST, PER_SECOND);
        let reviews = Semaphore::new(REVIEWS);
        Self {
            authority,
            store,
            tokens,
            lifetimes,
            metrics,
            callers,
            reviews,
        }
    }

    /// Who calls, proved by its token or certificate and by where it calls from. Who shows a token
    /// is judged by it, whatever its certificate says.
    async fn identify(&self, peer: &Peer, headers: &MetadataMap) -> Result<Identity, Status> {
        match bearer_token(headers) {
            Some(token) => {
                let bearer = self.review(token).await?;
                self.identity_of_bearer(bearer, peer).await
            }
            None => self.identity_of_certificate(peer).await,
        }
    }

    /// Counts a refusal and tells it.
    fn refused(&self, peer: &Peer, status: &Status) {
        warn!(reason = status.message(), address = %peer.address, "A certificate is refused.");
        let counters = &self.metrics.authority;
        match status.code() {
            Code::PermissionDenied => counters.identity_errors.inc(),
            Code::InvalidArgument => counters.parsing_errors.inc(),
            Code::Internal => counters.signing_errors.inc(),
            _ => counters.authentication_failures.inc(),
        }
    }

    async fn review(&self, token: &str) -> Result<Bearer, Status> {
        // Never closed, so there is always a permit in the end.
        let _permit = self.reviews.acquire().await;
        self.tokens.review(token).await.map_err(|error| {
            let message = error.to_string();
            match error {
                TokenError::Invalid(_) => Status::unauthenticated(message),
                TokenError::NotBound => Status::permission_denied(message),
                TokenError::Unavailable(_) => Status::unavailable(message),
            }
        })
    }

    async fn identity_of_bearer(&self, bearer: Bearer, peer: &Peer) -> Result<Identity, Status> {
        let Bearer {
            namespace,
            service_account,
            pod,
            uid,
        } = bearer;
        let identity = self.identity(&namespace, &service_account)?;
        let claim = Claim {
            namespace,
            pod,
            uid: Some(uid),
            service_account,
            address: peer.address,
        };
        claim
            .verify(&self.store)
            .await
            .map_err(|denied| Status::permission_denied(denied.to_string()))?;
        Ok(identity)
    }

    /// The same identity again, under the mesh's present trust domain.
    async fn identity_of_certificate(&self, peer: &Peer) -> Result<Identity, Status> {
        let certificate = peer.certificate().ok_or_else(|| {
            Status::unauthenticated("the caller has neither a bearer token nor a valid certificate")
        })?;
        let proved = &certificate.identity;
        caller::verify_address(proved, peer.address, &self.store)
            .await
            .map_err(|denied| Status::permission_denied(denied.to_string()))?;
        self.identity(proved.namespace(), proved.service_account())
    }

    fn identity(&self, namespace: &str, service_account: &str) -> Result<Identity, Status> {
        let trust_domain = self.store.read().mesh().trust_domain.clone();
        Identity::new(&trust_domain, namespace, service_account)
            .map_err(|error| Status::permission_denied(error.to_string()))
    }

    fn sign(
        &self,
        identity: &Identity,
        request: &IstioCertificateRequest,
    ) -> Result<IstioCertificateResponse, Status> {
        let seconds = request.validity_duration;
        let life = self.lifetimes.granted(seconds).ok_or_else(|| {
            Status::invalid_argument(format!("a validity of {seconds} seconds is impossible"))
        })?;
        let request = SigningRequest::parse(&request.csr)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(other) = request.asks_for_other_than(identity) {
            let message = format!("{identity} may not have a certificate for {other}");
            return Err(Status::permission_denied(message));
        }
        let subject = Subject::Workload(identity.clone());
        let signed = self.authority.load().sign(&request.key, &subject, life);
        let signed = signed.map_err(|error| {
            warn!(%error, %identity, "Signing failed.");
            Status::internal("signing failed")
        })?;
        self.metrics.authority.issued.inc();
        info!(%identity, not_after = %signed.not_after, "Signed a certificate.");
        Ok(IstioCertificateResponse {
            cert_chain: signed.chain,
        })
    }
}

#[tonic::async_trait]
impl<T: Tokens> IstioCertificateService for CertificateService<T> {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let counters = &self.metrics.authority;
        counters.requests.inc();
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("a connection without a peer"))?;
        if !self.callers.try_take(peer.address) {
            counters.throttled.inc();
            return Err(Status::resource_exhausted(
                "too many certificate requests; wait a second",
            ));
        }
        let signed = match self.identify(&peer, request.metadata()).await {
            Ok(identity) => self.sign(&identity, request.get_ref()),
            Err(status) => Err(status),
        };
        signed
            .map(Response::new)
            .inspect_err(|status| self.refused(&peer, status))
    }
}

fn bearer_token(headers: &MetadataMap) -> Option<&str> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}
