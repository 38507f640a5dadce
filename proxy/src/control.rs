//! Connections to control and to the certificate authority: gRPC over our own TLS, without a
//! connection pool, so that a broken connection is known at once and the next one may reach
//! another replica.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::config::{Config, HostPort};
use crate::metrics::{Counters, Registry};
use crate::net;
use crate::tls::{self, Certificates, Issued, Roots, RootsError};

/// The longest that connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often an idle connection is asked whether its peer is there.
const PING: Duration = Duration::from_secs(30);
/// How long the peer may take to answer.
const PONG: Duration = Duration::from_secs(20);
/// The first pause after a failure,
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// doubled with each further one, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How control is reached. Clones share everything.
#[derive(Clone)]
pub struct Control {
    config: Arc<Config>,
    certificates: Certificates,
    metrics: Registry,
}

/// One HTTP/2 connection that carries gRPC.
#[derive(Clone)]
pub struct Channel {
    sender: http2::SendRequest<tonic::body::Body>,
    origin: Uri,
}

/// Pauses between attempts that fail: exponential, with jitter.
#[derive(Debug)]
pub struct BackOff {
    next: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// DNS did not help.
    #[error("{address} cannot be resolved: {source}")]
    Resolve {
        /// Who was looked for.
        address: HostPort,
        /// Why not.
        source: std::io::Error,
    },
    /// No address could be connected to.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Who was called.
        address: HostPort,
        /// What the last address said.
        source: std::io::Error,
    },
    /// The name in the configuration is no DNS name.
    #[error("'{0}' is no name a certificate could have")]
    Name(String),
    /// HTTP/2 did not start.
    #[error("HTTP/2 does not start: {0}")]
    Http(#[from] hyper::Error),
    /// There are no roots to check control by.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// TLS is configured wrongly.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Control {
    /// Remembers where control is; connects to nothing yet.
    #[must_use]
    pub fn new(config: Arc<Config>, certificates: Certificates, metrics: Registry) -> Self {
        Self {
            config,
            certificates,
            metrics,
        }
    }

    /// A connection for discovery, with the workload's certificate; waits for the first one.
    ///
    /// # Errors
    /// When control cannot be reached or is not who it must be.
    pub async fn discovery(&self) -> Result<Channel, ControlError> {
        let issued = self.certificates.first().await;
        let roots = Roots::read(&self.config.root_path)?;
        connect(&self.config.discovery, issued.control_config(&roots)?).await
    }

    /// A connection for certificates, with one or without.
    ///
    /// # Errors
    /// As [`Control::discovery`].
    pub async fn authority(&self, issued: Option<&Issued>) -> Result<Channel, ControlError> {
        let roots = Roots::read(&self.config.root_path)?;
        let config = match issued {
            Some(issued) => issued.control_config(&roots)?,
            None => tls::anonymous_config(&roots)?,
        };
        connect(&self.config.authority, config).await
    }

    /// Node id, name and namespace of the pod, as discovery wants them.
    #[must_use]
    pub fn node(&self) -> (String, String, String) {
        let pod = &self.config.pod;
        let address = pod
            .addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let id = format!(
            "sidecar~{address}~{}.{}~{}",
            pod.name, pod.namespace, pod.domain
        );
        (id, pod.name.clone(), pod.namespace.clone())
    }

    /// Where events are counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.metrics.counters()
    }
}

/// Tries every address in random order, so that replicas share the load and a dead one is passed.
async fn connect(address: &HostPort, config: ClientConfig) -> Result<Channel, ControlError> {
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| ControlError::Name(address.host.clone()))?;
    let failed = |source| ControlError::Connect {
        address: address.clone(),
        source,
    };
    let connector = TlsConnector::from(Arc::new(config));
    let mut addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((address.host.as_str(), address.port))
            .await
            .map_err(|source| ControlError::Resolve {
                address: address.clone(),
                source,
            })?
            .collect();
    fastrand::shuffle(&mut addresses);
    let mut last = std::io::Error::other("there is no address");
    for socket_address in addresses {
        let attempt = async {
            let stream = net::connect(socket_address, None).await?;
            connector.connect(name.clone(), stream).await
        };
        match tokio::time::timeout(CONNECT, attempt).await {
            Ok(Ok(stream)) => return Channel::start(TokioIo::new(stream), address).await,
            Ok(Err(error)) => last = error,
            Err(_) => last = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed(last))
}

impl Channel {
    async fn start<I>(io: I, address: &HostPort) -> Result<Self, ControlError>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await?;
        // Ends with the last clone of the sender.
        tokio::spawn(connection);
        let origin = Uri::builder()
            .scheme("https")
            .authority(address.to_string())
            .path_and_query("/")
            .build()
            .map_err(|_| ControlError::Name(address.host.clone()))?;
        Ok(Self { sender, origin })
    }

    /// Scheme and authority of the server.
    #[must_use]
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

impl BackOff {
    /// No failure yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "made by name")]
    pub fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }

    /// Pauses between half and the whole of the present length, and makes the next pause longer.
    pub async fn wait(&mut self) {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}
