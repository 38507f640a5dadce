//! Where connections come in, as many as there is room for: in all, so that memory and files are
//! bounded, and from one address, so that nobody can keep everybody else out.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lateen_wire::slots::{Full, Slot, Slots};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::error::Error;
use crate::metrics::{Metrics, RefusalLabels};

/// Pause when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Binds a TCP port. The IPv6 wildcard serves both families; where the host has no IPv6 at all, it
/// means the IPv4 one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Bind { address, source })
}

/// What a port is for, as metrics name it, and how many connections it takes.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Value of the label `port`.
    pub name: &'static str,
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_of_one_peer: usize,
}

impl Port {
    /// Discovery and certificates. A pod calls from an address of its own, which is checked, and needs
    /// two connections, four while its stream is opened anew.
    pub const DISCOVERY: Self = Self {
        name: "discovery",
        connections: 10_000,
        connections_of_one_peer: 64,
    };
    /// Metrics and debug pages.
    pub const MONITORING: Self = Self {
        name: "monitoring",
        connections: 256,
        connections_of_one_peer: 32,
    };
    /// The kubelet's probes, which come from the address of the node.
    pub const HEALTH: Self = Self {
        name: "health",
        ..Self::MONITORING
    };
}

/// A port that takes so many connections and no more.
pub struct Door {
    listener: TcpListener,
    port: Port,
    slots: Slots,
    metrics: Arc<Metrics>,
}

impl Door {
    /// A door at a bound port, which counts whom it refuses.
    #[must_use]
    pub fn new(listener: TcpListener, port: Port, metrics: Arc<Metrics>) -> Self {
        Self {
            listener,
            port,
            slots: Slots::new(port.connections, port.connections_of_one_peer),
            metrics,
        }
    }

    /// The next connection that there is room for. Others are closed at once, so that nobody waits
    /// behind them.
    pub(super) async fn next(&self) -> (Held, SocketAddr) {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(port = self.port.name, %error, "Accepting a connection failed.");
                    sleep(EXHAUSTED).await;
                    continue;
                }
            };
            match self.slots.take(address.ip()) {
                Ok(slot) => {
                    // A small answer must not wait for more; where that cannot be set it merely waits.
                    let _ = stream.set_nodelay(true);
                    let held = Held {
                        stream,
                        _slot: slot,
                    };
                    return (held, address);
                }
                Err(full) => self.refuse(address, full),
            }
        }
    }

    fn refuse(&self, address: SocketAddr, full: Full) {
        debug!(port = self.port.name, %address, %full, "A connection is refused.");
        let labels = RefusalLabels {
            port: self.port.name,
            reason: match full {
                Full::ForAll(_) => "full",
                Full::ForPeer(_) => "share_of_peer",
            },
        };
        self.metrics
            .connections_refused
            .get_or_create(&labels)
            .inc();
    }
}

/// The address of who asks for a page; IPv4-mapped IPv6 is never here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) IpAddr);

/// A connection that gives its room back when it is closed.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    _slot: Slot,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_closed_and_counted_and_room_comes_back() {
        let metrics = Arc::new(Metrics::new());
        let port = Port {
            name: "test",
            connections: 1,
            connections_of_one_peer: 1,
        };
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, port, metrics.clone());

        let _first = TcpStream::connect(address).await.unwrap();
        let (held, _) = door.next().await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut nothing = [0; 1];
        tokio::select! {
            _ = door.next() => panic!("there is no room"),
            read = second.read(&mut nothing) => assert!(!matches!(read, Ok(1..))),
        }
        let text = metrics.encode().unwrap();
        let line = "lateen_control_connections_refused{port=\"test\",reason=\"full\"} 1";
        assert!(text.lines().any(|found| found == line), "{text}");

        drop(held);
        let third = TcpStream::connect(address).await.unwrap();
        let (_held, peer) = door.next().await;
        assert_eq!(peer, third.local_addr().unwrap());
    }
}
