//! A name server that gives every host the same address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::bind_within;
use super::message::answer;
use crate::bed::inside::inside;

/// The server; it ends with this value.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    asked: Arc<Asked>,
    _tasks: JoinSet<()>,
}

/// Questions so far.
#[derive(Default)]
struct Asked {
    over_udp: AtomicUsize,
    over_tcp: AtomicUsize,
}

impl NameServer {
    /// Starts one in a network namespace.
    pub(super) async fn start(
        namespace: &Path,
        address: SocketAddr,
        given: Ipv4Addr,
    ) -> Result<Self> {
        let socket = bind_within(namespace, address).await?;
        let listen = move || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = inside(namespace, listen)
            .await
            .with_context(|| format!("Listening on {address} within {}", namespace.display()))?;
        let listener = TcpListener::from_std(listener)?;
        let asked = Arc::<Asked>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_datagrams(socket, Arc::clone(&asked), given));
        tasks.spawn(serve_connections(listener, Arc::clone(&asked), given));
        Ok(Self {
            address,
            asked,
            _tasks: tasks,
        })
    }

    /// Questions so far: over UDP, and over TCP.
    pub(super) fn asked(&self) -> [usize; 2] {
        let Asked { over_udp, over_tcp } = &*self.asked;
        [over_udp, over_tcp].map(|count| count.load(Ordering::Relaxed))
    }
}

async fn serve_datagrams(socket: UdpSocket, asked: Arc<Asked>, given: Ipv4Addr) {
    let mut buffer = vec![0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        asked.over_udp.fetch_add(1, Ordering::Relaxed);
        let question = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = answer(question, given) {
            socket.send_to(&answer, client).await.ok();
        }
    }
}

async fn serve_connections(listener: TcpListener, asked: Arc<Asked>, given: Ipv4Addr) {
    while let Ok((stream, _)) = listener.accept().await {
        asked.over_tcp.fetch_add(1, Ordering::Relaxed);
        serve(stream, given).await.ok();
    }
}

/// Answers the one question of a connection.
async fn serve(mut stream: TcpStream, given: Ipv4Addr) -> Result<()> {
    let mut question = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut question).await?;
    let answer = answer(&question, given).context("this is no question")?;
    stream.write_u16(u16::try_from(answer.len())?).await?;
    Ok(stream.write_all(&answer).await?)
}
