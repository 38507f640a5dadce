//! Accepts connections and makes handshakes, many at a time, none for long.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::door::{Door, Held, Port};
use super::peer::Secured;
use super::tls::Tls;
use crate::metrics::{Metrics, ReasonLabels};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at a time.
const HANDSHAKES: usize = 1024;

/// Turns connections into secured ones.
pub struct Incoming {
    /// Where they come in.
    pub listener: TcpListener,
    /// How they are secured.
    pub tls: Arc<Tls>,
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
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let door = Door::new(self.listener, Port::DISCOVERY, self.metrics.clone());
        loop {
            let turn = tokio::select! {
                turn = handshakes.clone().acquire_owned() => turn,
                () = self.stopping.cancelled() => return,
            };
            let (stream, address) = tokio::select! {
                accepted = door.next() => accepted,
                () = self.stopping.cancelled() => return,
            };
            let (acceptor, metrics, ready) =
                (self.tls.acceptor(), self.metrics.clone(), ready.clone());
            self.tasks.spawn(async move {
                let _turn = turn;
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
    stream: Held,
    address: SocketAddr,
) -> Result<Secured, (&'static str, String)> {
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
