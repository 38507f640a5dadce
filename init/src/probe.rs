//! `--run-validation`: does redirection work? Listens where the proxy will listen, connects as the
//! proxy does when it reaches its own pod through a Service, and looks at which destination the
//! kernel remembers for the connection that arrives.
//!
//! This needs the proxy's user or group: the container `istio-validation` runs as it, and where the
//! process may, it becomes that user.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, getegid, geteuid, setgid, setuid};
use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::family::Family;
use crate::options::Options;
use crate::pod::Ipv6;
use crate::report;

/// How long one attempt may take; within the time for all there are several.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Time to connect in, however late it is: zero would mean no limit.
const SHORTEST: Duration = Duration::from_millis(1);

/// Redirection does not work.
#[derive(Debug)]
pub struct NotRedirected {
    family: Family,
    reason: String,
}

impl std::error::Error for NotRedirected {}

impl fmt::Display for NotRedirected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, reason } = self;
        write!(
            formatter,
            "{family} traffic is not redirected: {reason}. Did istio-init, or the node's network plugin, program this pod?"
        )
    }
}

/// Tries redirection out in each family that the pod uses.
///
/// # Errors
/// [`Error::NotRedirected`], with the last thing that went wrong.
pub(crate) fn probe(options: &Options, ipv6: Ipv6) -> Result<(), Error> {
    become_proxy(options);
    for family in ipv6
        .families()
        .filter(|family| *family == Family::V4 || ipv6 == Ipv6::Used)
    {
        let trial = Trial::new(options, family);
        trial
            .run(options.run.probe_timeout)
            .map_err(|reason| NotRedirected { family, reason })?;
        report::info(&format!("{family} traffic is redirected"));
    }
    Ok(())
}

/// Takes the proxy's ids, if this process has neither and may. If it may not, the trial will tell.
fn become_proxy(options: &Options) {
    let is_user = options.proxy_uids.contains(&geteuid().as_raw());
    let is_group = options.proxy_gids.contains(&getegid().as_raw());
    if is_user || is_group {
        return;
    }
    if let (Some(uid), Some(gid)) = (options.proxy_uids.first(), options.proxy_gids.first()) {
        let taken = setgid(Gid::from_raw(*gid)).and_then(|()| setuid(Uid::from_raw(*uid)));
        if let Err(cause) = taken {
            report::warn(&format!(
                "The trial should run as user {uid}, group {gid}: {cause}"
            ));
        }
    }
}

/// One connection, and where it should arrive.
struct Trial {
    family: Family,
    source: SocketAddr,
    destination: SocketAddr,
    captures: [SocketAddr; 2],
}

impl Trial {
    fn new(options: &Options, family: Family) -> Self {
        let at = |address: IpAddr, port| SocketAddr::new(address, port);
        let loopback = family.loopback();
        Self {
            family,
            source: at(loopback, 0),
            destination: at(family.proxy_source(), options.run.probe_port),
            captures: [
                at(loopback, options.outbound_capture),
                at(loopback, options.inbound_capture),
            ],
        }
    }

    /// Attempts until one succeeds or the time is up.
    fn run(&self, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        let mut listeners = Vec::new();
        for capture in self.captures {
            let listener = listen(capture);
            listeners
                .push(listener.map_err(|cause| format!("cannot listen on {capture}: {cause}"))?);
        }
        loop {
            let attempt_ends = deadline.min(Instant::now() + ATTEMPT);
            match self.attempt(&listeners, attempt_ends) {
                Ok(()) => return Ok(()),
                Err(reason) if Instant::now() >= deadline => return Err(reason),
                Err(_) => wait_until(attempt_ends),
            }
        }
    }

    fn attempt(&self, listeners: &[Socket], until: Instant) -> Result<(), String> {
        let destination = self.destination;
        let connection = self.connect(until).map_err(|cause| {
            format!(
                "cannot connect from {} to {destination}: {cause}",
                self.source
            )
        })?;
        let local = connection
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        while wait_for_connection(listeners, until) {
            for listener in listeners {
                match self.accept(listener) {
                    Ok((peer, original)) if Some(peer) == local => {
                        return if original == destination {
                            Ok(())
                        } else {
                            Err(format!(
                                "a connection to {destination} arrived as one to {original}"
                            ))
                        };
                    }
                    Ok(_) => {}
                    Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                    Err(cause) => return Err(format!("cannot accept a connection: {cause}")),
                }
            }
        }
        Err(format!(
            "a connection to {destination} arrived somewhere else"
        ))
    }

    fn connect(&self, until: Instant) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.source), Type::STREAM, None)?;
        socket.bind(&self.source.into())?;
        let left = until
            .saturating_duration_since(Instant::now())
            .max(SHORTEST);
        socket.connect_timeout(&self.destination.into(), left)?;
        Ok(socket)
    }

    /// Who connected, and where to.
    fn accept(&self, listener: &Socket) -> io::Result<(SocketAddr, SocketAddr)> {
        let (connection, peer) = listener.accept()?;
        let original = match self.family {
            Family::V4 => connection.original_dst_v4()?,
            Family::V6 => connection.original_dst_v6()?,
        };
        peer.as_socket()
            .zip(original.as_socket())
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(8)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Waits for somebody to connect; false when the time is up.
fn wait_for_connection(listeners: &[Socket], until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let mut listeners: Vec<_> = listeners
        .iter()
        .map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    poll(&mut listeners, timeout).is_ok_and(|ready| ready > 0)
}

fn wait_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}
