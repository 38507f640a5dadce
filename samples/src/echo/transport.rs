//! TCP and UDP that send back what they get.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// Sends back every byte of every connection until `stop`, after a line with a name if there is one.
pub(super) async fn serve_tcp(
    listener: TcpListener,
    banner: Option<String>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, ?banner, "Serving TCP.");
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, _)) => {
                connections.spawn(echo(connection, banner.clone()));
            }
            Err(error) => tracing::warn!(%error, "Cannot accept a connection."),
        }
    }
}

async fn echo(mut connection: TcpStream, banner: Option<String>) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    if let Some(name) = banner {
        connection.write_all(format!("{name}\n").as_bytes()).await?;
    }
    let (mut read, mut write) = connection.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}

/// A UDP socket on one address, or on every address of both families where there are two.
pub(super) async fn bind_udp(bind: Option<IpAddr>, port: u16) -> anyhow::Result<UdpSocket> {
    let socket = match bind {
        Some(address) => UdpSocket::bind((address, port)).await,
        None => match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(socket) => Ok(socket),
            Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        },
    };
    socket.with_context(|| format!("cannot listen on UDP port {port}"))
}

/// Sends back every datagram until `stop`.
pub(super) async fn serve_udp(socket: UdpSocket, stop: CancellationToken) -> anyhow::Result<()> {
    tracing::info!(address = %socket.local_addr()?, "Serving UDP.");
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            received = socket.recv_from(&mut datagram) => received,
        };
        let echoed = match received {
            Ok((length, peer)) => {
                socket
                    .send_to(datagram.get(..length).unwrap_or_default(), peer)
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = echoed {
            tracing::debug!(%error, "Cannot echo a datagram.");
        }
    }
}
