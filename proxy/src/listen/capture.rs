//! The original destination of a redirected connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::shared::Shared;

/// How the original destination of a connection is found.
#[derive(Clone, Debug)]
pub enum Capture {
    /// The kernel remembers it (`SO_ORIGINAL_DST`), since netfilter redirected the connection.
    Kernel,
    /// By the local address of the connection: for machines without netfilter, such as tests,
    /// where each loopback address can stand for one destination.
    ByLocalAddress(Arc<HashMap<IpAddr, SocketAddr>>),
}

impl Capture {
    /// Where the peer wanted to go.
    ///
    /// # Errors
    /// When the connection is gone, or its address stands for nothing.
    pub fn original_destination(&self, stream: &TcpStream) -> io::Result<SocketAddr> {
        let local = canonical(stream.local_addr()?);
        match self {
            Self::Kernel => Ok(original_destination(stream, local).unwrap_or(local)),
            Self::ByLocalAddress(destinations) => destinations
                .get(&local.ip())
                .copied()
                .ok_or_else(|| io::Error::other(format!("{local} stands for no destination"))),
        }
    }
}

/// Where a captured connection is to be carried. None when it leads nowhere, or to the proxy
/// itself, round and round.
#[must_use]
pub fn destination(shared: &Shared, stream: &TcpStream, client: SocketAddr) -> Option<SocketAddr> {
    let target = shared
        .config
        .listen
        .capture
        .original_destination(stream)
        .inspect_err(|error| tracing::debug!(%client, %error, "A connection leads nowhere."))
        .ok()?;
    if shared.config.is_loop(target) {
        shared.metrics.counters().loops.increment();
        tracing::debug!(%client, %target, "A connection to the proxy itself was refused.");
        return None;
    }
    Some(target)
}

/// None for a connection that was not redirected.
fn original_destination(stream: &TcpStream, local: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let original = if local.is_ipv4() {
        socket.original_dst_v4()
    } else {
        socket.original_dst_v6()
    };
    original.ok()?.as_socket().map(canonical)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
