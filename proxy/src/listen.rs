//! Capture ports: where redirected connections arrive, and where they were going.

mod capture;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

pub use self::capture::{Capture, destination};
use crate::net;

/// Pause after an accept that failed for lack of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for ever; `serve` starts what carries each of them.
pub async fn accept<F, S>(listener: TcpListener, serve: S)
where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                // A peer that is gone already fails at the first use.
                let _ = net::prepare_accepted(&stream);
                tokio::spawn(serve(stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
