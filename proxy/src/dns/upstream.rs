//! The name servers of the pod, and how they are asked: one after the other, each with its time, as
//! resolv.conf(5) says; over UDP, and over TCP what does not fit or was asked for so.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::query::{Query, Transport};
use super::response::{Response, Unusable};
use crate::config::NameServers;
use crate::tls;

/// Datagrams that are longer are asked for again over TCP.
const MAX_DATAGRAM: usize = 4_096;

/// The name servers.
pub(super) struct Upstream {
    servers: NameServers,
    /// Counts questions, for `rotate`.
    turn: AtomicUsize,
}

/// Why one server has not answered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("its answer cannot be read")]
    Broken,
    #[error("it did not answer in time")]
    Late,
}

impl Upstream {
    pub(super) fn new(servers: NameServers) -> Self {
        Self {
            servers,
            turn: AtomicUsize::new(0),
        }
    }

    /// The answer of the first server that has one; else that of one that says it has none. None
    /// when none says anything.
    pub(super) async fn ask(&self, query: &Query<'_>, transport: Transport) -> Option<Response> {
        let servers = self.in_order();
        for _ in 0..self.servers.attempts {
            let mut refusal = None;
            for server in &servers {
                match self.ask_one(*server, query, transport).await {
                    Ok(response) if response.is_failure() => refusal = Some(response),
                    Ok(response) => return Some(response),
                    Err(failure) => {
                        tracing::debug!(%server, %failure, "A name server has not answered.");
                    }
                }
            }
            if refusal.is_some() {
                return refusal;
            }
        }
        None
    }

    /// All servers, in the order in which this question goes to them.
    fn in_order(&self) -> Vec<SocketAddr> {
        let mut servers = self.servers.addresses.clone();
        if self.servers.rotate && !servers.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let first = turn % servers.len();
            servers.rotate_left(first);
        }
        servers
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        query: &Query<'_>,
        transport: Transport,
    ) -> Result<Response, Failure> {
        let patience = self.servers.timeout;
        let over_tcp = || async {
            timeout(patience, over_tcp(server, query))
                .await
                .map_err(|_| Failure::Late)?
        };
        if transport == Transport::Tcp {
            return over_tcp().await;
        }
        match timeout(patience, over_udp(server, query)).await {
            Err(_) => Err(Failure::Late),
            Ok(Ok(Some(response))) if !response.is_truncated() => Ok(response),
            // The client may make something of a part.
            Ok(Ok(Some(part))) => Ok(over_tcp().await.unwrap_or(part)),
            Ok(Ok(None)) => over_tcp().await,
            Ok(Err(failure)) => Err(failure),
        }
    }
}

/// Sends a datagram and waits for its answer; what else comes is passed over. None when the answer is
/// too long.
async fn over_udp(server: SocketAddr, query: &Query<'_>) -> Result<Option<Response>, Failure> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // A port of its own for each question, and nothing is received from anybody else.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id = unforeseeable_id();
    socket.send(&under(id, query)).await?;
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length > MAX_DATAGRAM && buffer.starts_with(&id.to_be_bytes()) {
            return Ok(None);
        }
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        match Response::read(datagram, query, id) {
            Ok(response) => return Ok(Some(response)),
            Err(Unusable::Broken) => return Err(Failure::Broken),
            Err(Unusable::NotOurs) => {}
        }
    }
}

/// One connection for one question.
async fn over_tcp(server: SocketAddr, query: &Query<'_>) -> Result<Response, Failure> {
    let mut stream = TcpStream::connect(server).await?;
    let id = unforeseeable_id();
    stream.write_all(&framed(&under(id, query))).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Response::read(message, query, id).map_err(|_| Failure::Broken)
}

/// A message behind its length (RFC 1035, section 4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// The question as it came, under another id.
fn under(id: u16, query: &Query<'_>) -> Vec<u8> {
    let mut message = query.bytes().to_vec();
    if let Some(place) = message.first_chunk_mut() {
        *place = id.to_be_bytes();
    }
    message
}

/// Whoever wants to answer in a server's place must guess it.
fn unforeseeable_id() -> u16 {
    let mut id = [0; 2];
    match tls::provider().secure_random.fill(&mut id) {
        Ok(()) => u16::from_be_bytes(id),
        Err(_) => fastrand::u16(..),
    }
}
