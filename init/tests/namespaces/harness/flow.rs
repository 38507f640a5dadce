//! Connections, who accepts them, and which destination the kernel remembers for them.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, Socket, Type};

use super::Namespace;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection is tried that nobody may answer.
const CONNECT: Duration = Duration::from_millis(1500);

/// Who accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The proxy's outbound port.
    OutboundProxy,
    /// The proxy's inbound port.
    InboundProxy,
    /// The proxy's name server.
    DnsProxy,
    /// A port of the application, or of the proxy, that was connected to directly.
    Application,
    /// A server that is not in the pod.
    Outside,
}

/// Where a connection arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Who accepted it.
    pub(crate) place: Place,
    /// Where it was meant to go.
    pub(crate) original: SocketAddr,
    /// Where it came from.
    pub(crate) peer: SocketAddr,
}

/// A connection to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// From outside to the pod, or else from the pod.
    pub(crate) from_outside: bool,
    /// The user whose socket it is.
    pub(crate) uid: u32,
    /// The group whose socket it is.
    pub(crate) gid: u32,
    /// The address to send from, if it matters; port 0 for any.
    pub(crate) source: Option<SocketAddr>,
    /// Where to.
    pub(crate) to: SocketAddr,
}

/// Everybody who listens, in all namespaces.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Vec<(Place, Socket)>);

impl Listeners {
    /// Listens on these ports, on all addresses of both families.
    pub(crate) fn add(&mut self, namespace: &Namespace, place: Place, ports: &[u16]) {
        for port in ports {
            for address in [
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ] {
                let listener = namespace.enter(|| listen(SocketAddr::new(address, *port)));
                self.0.push((place, listener.unwrap()));
            }
        }
    }

    /// Makes a connection and finds out who got it; `None` if it was refused or not answered.
    pub(crate) fn arrival_of(&self, from: &Namespace, flow: &Flow) -> Option<Arrival> {
        let mut connection = match from.enter(|| connect(flow)) {
            Ok(connection) => connection,
            Err(error) if is_no_answer(&error) => return None,
            Err(error) => panic!("{flow:?}: {error}"),
        };
        // Its port does not tell a connection: where two were redirected from the same port to the
        // same listener, the kernel gives the second another one on the way.
        let sign = new_sign();
        connection.write_all(&sign).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut polled: Vec<_> = self
                .0
                .iter()
                .map(|(_, it)| PollFd::new(it.as_fd(), PollFlags::POLLIN))
                .collect();
            poll(&mut polled, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
            for (place, listener) in &self.0 {
                if let Some(accepted) = accept(listener)
                    && sign_of(&accepted) == Some(sign)
                {
                    return Some(Arrival {
                        place: *place,
                        original: original(&accepted),
                        peer: accepted.peer_addr().unwrap().as_socket().unwrap(),
                    });
                }
            }
        }
        panic!("{flow:?}: connected, but to none of the listeners");
    }
}

/// What a connection says first, to be known by.
type Sign = [u8; 8];

fn new_sign() -> Sign {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}

fn sign_of(mut accepted: &Socket) -> Option<Sign> {
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sign = Sign::default();
    accepted.read_exact(&mut sign).ok().map(|()| sign)
}

fn accept(listener: &Socket) -> Option<Socket> {
    match listener.accept() {
        Ok((accepted, _)) => Some(accepted),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("accept: {error}"),
    }
}

fn is_no_answer(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionRefused,
        ErrorKind::TimedOut,
        ErrorKind::HostUnreachable,
    ];
    kinds.contains(&error.kind())
}

/// Connects on a thread that dies afterwards, and with it the ids it took.
fn connect(flow: &Flow) -> io::Result<Socket> {
    setfsgid(Gid::from_raw(flow.gid));
    setfsuid(Uid::from_raw(flow.uid));
    let socket = Socket::new(Domain::for_address(flow.to), Type::STREAM, None)?;
    if let Some(source) = flow.source {
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    socket.connect_timeout(&flow.to.into(), CONNECT)?;
    Ok(socket)
}

/// The destination before redirection; where nothing was redirected, the destination.
fn original(connection: &Socket) -> SocketAddr {
    let remembered = match connection.domain().unwrap() {
        Domain::IPV4 => connection.original_dst_v4(),
        _ => connection.original_dst_v6(),
    };
    let address = remembered.or_else(|_| connection.local_addr()).unwrap();
    address.as_socket().unwrap()
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What TPROXY hands over has any address; for all else it makes no difference.
    setsockopt(&socket, sockopt::IpTransparent, &true)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
