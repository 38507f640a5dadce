//! Whether admission requests should be sent here: only while a pod would get the right answer over
//! a connection that the API server accepts.

use std::sync::Arc;

use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::live::LiveCluster;
use super::tls::Certificate;
use crate::inject::Injector;

/// The `caBundle`s in the webhook configuration; `None` if there is no such configuration, and then
/// nobody calls us.
pub type Bundles = Option<Vec<Vec<u8>>>;

/// What readiness depends on.
#[derive(Debug)]
pub struct Readiness {
    /// The injector of the newest good configuration.
    pub injector: watch::Receiver<Option<Arc<Injector>>>,
    /// The cluster.
    pub cluster: LiveCluster,
    /// The certificate in use.
    pub certificate: watch::Receiver<Option<Arc<Certificate>>>,
    /// What the API server expects of us; outer `None` until it is known.
    pub bundles: watch::Receiver<Option<Bundles>>,
    /// The process is asked to end.
    pub ending: CancellationToken,
}

impl Readiness {
    /// Why no request should come here; empty if they should.
    #[must_use]
    pub fn obstacles(&self, now: UnixTime) -> Vec<String> {
        let mut obstacles = Vec::new();
        if self.ending.is_cancelled() {
            obstacles.push("the process is ending".to_owned());
        }
        if self.injector.borrow().is_none() {
            obstacles.push("no valid injection configuration has been read yet".to_owned());
        }
        if let Err(unknown) = self.cluster.now() {
            obstacles.push(unknown.to_string());
        }
        match &*self.certificate.borrow() {
            None => obstacles.push("no valid certificate has been read yet".to_owned()),
            Some(certificate) => obstacles.extend(self.certificate_obstacle(certificate, now)),
        }
        obstacles
    }

    fn certificate_obstacle(&self, certificate: &Certificate, now: UnixTime) -> Option<String> {
        if let Err(error) = certificate.verify(now) {
            return Some(format!(
                "the API server would refuse the certificate: {error}"
            ));
        }
        match &*self.bundles.borrow() {
            None => Some("the webhook configuration has not been read yet".to_owned()),
            Some(Some(bundles))
                if bundles
                    .iter()
                    .any(|bundle| bundle != certificate.ca_bundle()) =>
            {
                Some(
                    "the caBundle of the webhook configuration is not our certificate's".to_owned(),
                )
            }
            Some(_) => None,
        }
    }
}
