//! What can go wrong in control, apart from what callers are told over gRPC.

use std::net::SocketAddr;

/// Why control cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The API server refused, or could not be reached.
    #[error("cannot {action}: {source}")]
    Kubernetes {
        /// What was tried, on what.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// A key or certificate of the authority is unusable.
    #[error("cannot use the certificate authority of Secret {secret}: {reason}")]
    Authority {
        /// Where it was read from.
        secret: String,
        /// What is wrong; never the key.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot sign a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// The gRPC server ended.
    #[error("cannot serve proxies: {0}")]
    Serving(String),
    /// A text is not what `kubectl get -o yaml` prints.
    #[error("cannot read Kubernetes objects: {0}")]
    Manifest(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

impl Error {
    /// An error of the API server while doing something to something.
    #[must_use]
    pub fn kubernetes(action: impl Into<String>, source: kube::Error) -> Self {
        Self::Kubernetes {
            action: action.into(),
            source: Box::new(source),
        }
    }
}
