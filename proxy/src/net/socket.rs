//! Socket options, in one place.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use lateen_wire::names;
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

/// Ports of connections that are made in a client's name. Clients choose theirs above
/// (`net.ipv4.ip_local_port_range`): a connection of a client's own would meet the one in its name if
/// both had the same port.
const IN_NAME_PORTS: RangeInclusive<u16> = 1_024..=32_767;
/// Ports that are tried before a connection in a client's name is given up.
const IN_NAME_ATTEMPTS: usize = 32;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address of this machine.
    Own(IpAddr),
    /// The address of a client, which is somebody else's: the application is to see it. What is
    /// answered comes back here because packets are marked (TPROXY mode).
    InNameOf(IpAddr),
}

impl Source {
    /// The address that redirection passes on to the application at `target`.
    #[must_use]
    pub const fn passed_on(target: IpAddr) -> IpAddr {
        match target {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6)),
        }
    }

    const fn address(self) -> IpAddr {
        match self {
            Self::Own(address) | Self::InNameOf(address) => address,
        }
    }
}

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

/// Has a listener take connections to whatever address, of both families (`IP_TRANSPARENT`).
///
/// # Errors
/// Without the capability NET_ADMIN.
pub fn take_any_destination(listener: &TcpListener) -> io::Result<()> {
    Ok(setsockopt(listener, sockopt::IpTransparent, &true)?)
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
pub async fn connect(address: SocketAddr, source: Option<Source>) -> io::Result<TcpStream> {
    let same_family = |source: &Source| source.address().is_ipv4() == address.is_ipv4();
    let stream = match source.filter(same_family) {
        None => socket_to(address)?.connect(address).await?,
        Some(Source::Own(source)) => {
            let socket = socket_to(address)?;
            // Lets the kernel choose the port at connect, so that one source serves many targets.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(address).await?
        }
        Some(Source::InNameOf(client)) => connect_in_name_of(client, address).await?,
    };
    SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED))?;
    prepare(&stream)?;
    Ok(stream)
}

async fn connect_in_name_of(client: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let mut attempts = 1;
    loop {
        match try_in_name_of(client, address).await {
            Err(error) if is_taken(&error) && attempts < IN_NAME_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

/// One attempt, by a port at random.
async fn try_in_name_of(client: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket_to(address)?;
    setsockopt(&socket, sockopt::IpTransparent, &true)?;
    SockRef::from(&socket).set_mark(names::TPROXY_MARK)?;
    // One port serves many targets.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(client, fastrand::u16(IN_NAME_PORTS)))?;
    socket.connect(address).await
}

/// Whether somebody has the port, or already a connection from it to the same place.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

fn socket_to(address: SocketAddr) -> io::Result<TcpSocket> {
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
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
