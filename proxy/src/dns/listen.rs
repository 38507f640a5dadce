//! The sockets of the name server, and how questions come in: over UDP each on its own, over TCP one
//! after the other (RFC 7766, but answers keep the order of questions).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::NameServer;
use super::query::Transport;
use super::server::framed;
use crate::listen;
use crate::runtime::StartError;

/// Longest question; with all extensions they are a tenth of that.
const MAX_QUESTION: usize = 4_096;
/// A TCP connection that asks nothing, or takes no answer, for this long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Pause after a datagram could not be received for lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// One address, over both transports.
pub(super) struct Listener {
    datagrams: UdpSocket,
    connections: TcpListener,
}

impl Listener {
    /// Binds an address. None when the machine does not have it: there may be no IPv6.
    pub(super) fn bind(address: SocketAddr) -> Result<Option<Self>, StartError> {
        match open(address) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if address.is_ipv6() && is_absent(&error) => Ok(None),
            Err(source) => Err(StartError::Listen { address, source }),
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.connections.local_addr()
    }

    /// Answers for ever.
    pub(super) fn serve(self, server: Arc<NameServer>, tasks: &mut JoinSet<()>) {
        tasks.spawn(serve_datagrams(self.datagrams, Arc::clone(&server)));
        tasks.spawn(listen::accept(self.connections, move |stream, _| {
            serve_connection(stream, Arc::clone(&server))
        }));
    }
}

fn open(address: SocketAddr) -> io::Result<Listener> {
    let connections = std::net::TcpListener::bind(address)?;
    connections.set_nonblocking(true)?;
    // With port 0 both transports get the same.
    let datagrams = std::net::UdpSocket::bind(connections.local_addr()?)?;
    datagrams.set_nonblocking(true)?;
    Ok(Listener {
        datagrams: UdpSocket::from_std(datagrams)?,
        connections: TcpListener::from_std(connections)?,
    })
}

fn is_absent(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

async fn serve_datagrams(socket: UdpSocket, server: Arc<NameServer>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; MAX_QUESTION + 1];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "A DNS question could not be received.");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(question) = buffer.get(..length).filter(|_| length <= MAX_QUESTION) else {
            continue;
        };
        let (socket, server, question) =
            (Arc::clone(&socket), Arc::clone(&server), question.to_vec());
        tokio::spawn(async move {
            if let Some(answer) = server.answer(&question, Transport::Udp).await {
                // The client may have left, and would ask again.
                let _ = socket.send_to(&answer, client).await;
            }
        });
    }
}

async fn serve_connection(mut stream: TcpStream, server: Arc<NameServer>) {
    let Ok(_slot) = server.connections.try_acquire() else {
        return server.metrics.over_limit.increment();
    };
    // Ends when the client goes away, says nothing, or what cannot be answered.
    while let Some(question) = next_question(&mut stream).await {
        let Some(answer) = server.answer(&question, Transport::Tcp).await else {
            return;
        };
        match timeout(IDLE, stream.write_all(&framed(&answer))).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

async fn next_question(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let read = async {
        let length = usize::from(stream.read_u16().await.ok()?);
        let mut question = vec![0; Some(length).filter(|length| *length <= MAX_QUESTION)?];
        stream.read_exact(&mut question).await.ok()?;
        Some(question)
    };
    timeout(IDLE, read).await.ok()?
}
