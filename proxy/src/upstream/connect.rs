//! Connecting to an endpoint, with mesh mTLS where it is due.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsConnector;

use super::{Endpoint, Security};
use crate::net::{self, Stream};
use crate::tls::{Alpn, Certificates};

/// How a connection is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Who we are.
    pub certificates: &'a Certificates,
    /// What the connection will carry.
    pub alpn: Alpn,
    /// Whether the mesh encrypts (`enableAutoMtls`).
    pub auto_mtls: bool,
    /// The longest that connecting and shaking hands may take.
    pub timeout: Duration,
}

/// Why there is no connection. Nothing was sent, so anything may be tried again elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP failed.
    #[error("connection failure: {0}")]
    Tcp(io::Error),
    /// It took too long.
    #[error("connection timeout")]
    Timeout,
    /// The proxy has no certificate yet.
    #[error("there is no certificate yet")]
    NoCertificate,
    /// The peer is not who it must be, or TLS failed otherwise.
    #[error("TLS error: {0}")]
    Tls(io::Error),
}

/// Connects to an endpoint.
///
/// # Errors
/// When there is no connection in time, or the peer is not who it must be.
pub async fn connect(endpoint: &Endpoint, wanted: Wanted<'_>) -> Result<Stream, ConnectError> {
    let connecting = async {
        let stream = net::connect(endpoint.address, endpoint.source)
            .await
            .map(Stream::from)
            .map_err(ConnectError::Tcp)?;
        match &endpoint.security {
            Security::Plain => Ok(stream),
            Security::Mesh { .. } if !wanted.auto_mtls => Ok(stream),
            Security::Mesh {
                identity,
                server_name,
            } => {
                let issued = wanted
                    .certificates
                    .wait()
                    .await
                    .ok_or(ConnectError::NoCertificate)?;
                let config = issued
                    .client_config(identity, wanted.alpn)
                    .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
                TlsConnector::from(Arc::new(config))
                    .connect(server_name.clone(), stream)
                    .await
                    .map(|stream| Stream::from(tokio_rustls::TlsStream::from(stream)))
                    .map_err(ConnectError::Tls)
            }
        }
    };
    tokio::time::timeout(wanted.timeout, connecting)
        .await
        .map_err(|_| ConnectError::Timeout)?
}
