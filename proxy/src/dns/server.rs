//! One name server: how it is asked, over UDP, and over TCP what does not fit or was asked for so; and
//! whether it is there at all.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::query::{Query, Transport};
use super::response::{Response, Unusable};
use crate::tls;

/// Datagrams that are longer are asked for again over TCP.
const MAX_DATAGRAM: usize = 4_096;
/// How often it is tried whether a silent server has come back.
const BETWEEN_TRIALS: Duration = Duration::from_secs(1);

/// A name server.
pub(super) struct Server {
    address: SocketAddr,
    /// How long it has for an answer.
    patience: Duration,
    contact: Mutex<Contact>,
}

/// Whether a server is there.
#[derive(Default)]
struct Contact {
    /// When it last said anything.
    heard: Option<Instant>,
    /// When it was last tried whether it has come back, or found to be silent; None while it answers.
    tried: Option<Instant>,
}

/// Why a server has not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("its answer cannot be read")]
    Broken,
    #[error("it did not answer in time")]
    Late,
}

impl Server {
    pub(super) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self {
            address,
            patience,
            contact: Mutex::default(),
        }
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was asked in vain, and has not been heard of since.
    pub(super) fn is_silent(&self) -> bool {
        self.contact.lock().tried.is_some()
    }

    /// Whether it is time to try if it has come back; if so, whoever asks this is to do it.
    pub(super) fn is_trial_due(&self) -> bool {
        let now = Instant::now();
        let mut contact = self.contact.lock();
        let tried = contact.tried.as_mut();
        let due = tried.filter(|tried| now.saturating_duration_since(**tried) >= BETWEEN_TRIALS);
        due.map(|tried| *tried = now).is_some()
    }

    /// Asks it once.
    pub(super) async fn ask(
        &self,
        query: &Query<'_>,
        transport: Transport,
    ) -> Result<Response, Failure> {
        if transport == Transport::Tcp {
            return self.ask_over_tcp(query).await;
        }
        match self.ask_over_udp(query).await? {
            Some(response) if !response.is_truncated() => Ok(response),
            // The client may make something of a part.
            Some(part) => Ok(self.ask_over_tcp(query).await.unwrap_or(part)),
            None => self.ask_over_tcp(query).await,
        }
    }

    /// None when the answer is too long. What is asked so tells whether the server is there.
    async fn ask_over_udp(&self, query: &Query<'_>) -> Result<Option<Response>, Failure> {
        let start = Instant::now();
        let answer = timeout(self.patience, over_udp(self.address, query)).await;
        let answer = answer.unwrap_or(Err(Failure::Late));
        match answer {
            Err(Failure::Late | Failure::Unreachable(_)) => self.not_heard_since(start),
            Ok(_) | Err(Failure::Broken) => self.heard(),
        }
        answer
    }

    async fn ask_over_tcp(&self, query: &Query<'_>) -> Result<Response, Failure> {
        let answer = timeout(self.patience, over_tcp(self.address, query)).await;
        answer.unwrap_or(Err(Failure::Late))
    }

    fn heard(&self) {
        let mut contact = self.contact.lock();
        contact.heard = Some(Instant::now());
        if contact.tried.take().is_some() {
            tracing::info!(server = %self.address, "A name server answers again.");
        }
    }

    /// A single question may take it long; silence is when others have no answer either.
    fn not_heard_since(&self, start: Instant) {
        let mut contact = self.contact.lock();
        if contact.tried.is_none() && contact.heard.is_none_or(|heard| heard < start) {
            contact.tried = Some(Instant::now());
            tracing::warn!(server = %self.address, "A name server does not answer: others come first until it does.");
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
