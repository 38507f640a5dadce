//! Socket options, in one place.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;
/// A silent peer is asked whether it is still there after this time,
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
/// again and again in this interval,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// and given up after this many questions.
const KEEPALIVE_RETRIES: u32 = 6;
/// An endpoint that acknowledges nothing, or has no room for a byte, for this long is given up
/// (`TCP_USER_TIMEOUT`, RFC 5482): whoever waits for it may have gone long ago.
const STALLED: Duration = Duration::from_secs(300);

/// Binds a listener that other workers may bind too. `::` takes both families; where the machine
/// has no IPv6 it becomes `0.0.0.0`.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address) {
        Err(error) if address.ip().is_unspecified() && has_no_ipv6(&error) => bind(
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()),
        ),
        result => result,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)
    )
}

/// Connects, from `source` if it is given.
///
/// # Errors
/// When the connection cannot be made; how long that may take is the caller's to say.
pub async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        // Lets the kernel choose the port at connect, so that one source serves many targets.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED))?;
    prepare(&stream)?;
    Ok(stream)
}

/// Sets the options of an accepted connection.
///
/// # Errors
/// When the peer is gone already.
pub fn prepare_accepted(stream: &TcpStream) -> io::Result<()> {
    prepare(stream)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
