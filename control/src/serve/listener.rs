//! Accepts connections and makes handshakes, many at a time, none for long.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::peer::Secured;
use crate::error::Error;
use crate::metrics::{Metrics, ReasonLabels};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at a time.
const HANDSHAKES: usize = 1024;
/// Pause when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Binds a TCP port. The IPv6 wildcard serves both families; where the host has no IPv6 at all, it
/// means the IPv4 one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Bind { address, source })
}

/// Turns connections into secured ones.
pub struct Incoming {
    /// Where they come in.
    pub listener: TcpListener,
    /// How they are secured.
    pub config: Arc<ServerConfig>,
    /// Counts those that fail.
    pub metrics: Arc<Metrics>,
    /// Ends accepting when cancelled.
    pub stopping: CancellationToken,
    /// Tracks the handshakes.
    pub tasks: TaskTracker,
}

impl Incoming {
    /// Accepts in the background; connections come out when their handshake is done.
    #[must_use]
    pub fn start(self) -> ReceiverStream<io::Result<Secured>> {
        let (ready, connections) = mpsc::channel(64);
        let tasks = self.tasks.clone();
        tasks.spawn(self.accept(ready));
        ReceiverStream::new(connections)
    }

    async fn accept(self, ready: mpsc::Sender<io::Result<Secured>>) {
        let acceptor = TlsAcceptor::from(self.config);
        let slots = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = self.stopping.cancelled() => return,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.stopping.cancelled() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "Accepting a connection failed.");
                    sleep(EXHAUSTED).await;
                    continue;
                }
            };
            let (acceptor, metrics, ready) =
                (acceptor.clone(), self.metrics.clone(), ready.clone());
            self.tasks.spawn(async move {
                let _slot = slot;
                match handshake(&acceptor, stream, address).await {
                    // When nobody takes connections any more, this one is closed.
                    Ok(secured) => drop(ready.send(Ok(secured)).await),
                    Err((reason, error)) => {
                        debug!(%address, error, "A TLS handshake failed.");
                        metrics
                            .handshake_errors
                            .get_or_create(&ReasonLabels { reason })
                            .inc();
                    }
                }
            });
        }
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<Secured, (&'static str, String)> {
    // A small answer must not wait for more; where that cannot be set it merely waits.
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Ok(Secured::new(stream, address.ip())),
        Ok(Err(error)) => Err((reason(&error), error.to_string())),
        Err(_) => Err(("timeout", "the client said nothing for too long".to_owned())),
    }
}

fn reason(error: &io::Error) -> &'static str {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => "certificate",
        Some(rustls::Error::InvalidMessage(_)) => "not_tls",
        Some(rustls::Error::AlertReceived(_)) => "refused_by_client",
        Some(_) => "protocol",
        None => "closed",
    }
}
