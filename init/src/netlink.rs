//! One request to the kernel over rtnetlink: that `lo` has the address `::6/128`, or has not.
//!
//! The whole of 127.0.0.0/8 belongs to `lo`, so 127.0.0.6 is there for IPv4. In IPv6 only `::1` is.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::family::Family;

/// Message types and flags of rtnetlink(7), and what their answers are made of.
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const ERROR: u16 = 2;
/// The attribute that carries an address.
const ADDRESS: u16 = 1;
/// Nobody else can have the address, and so it can be used at once, without asking around first.
const NO_DUPLICATE_DETECTION: u8 = 2;
/// An address that is good within this host alone.
const SCOPE_HOST: u8 = 254;
/// The header before every message.
const HEADER: usize = 16;

/// Adds the address that the proxy sends from to `lo`, or removes it. True if that changed anything.
///
/// # Errors
/// What the kernel answered, such as `EACCES` where IPv6 is switched off for `lo`.
pub(crate) fn set_loopback_address(wanted: bool) -> io::Result<bool> {
    let request = if wanted {
        address_request(NEW_ADDRESS, REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE)?
    } else {
        address_request(DELETE_ADDRESS, REQUEST | ACKNOWLEDGE)?
    };
    match ask(&request)? {
        0 => Ok(true),
        errno => match Errno::from_raw(errno) {
            Errno::EEXIST | Errno::EADDRNOTAVAIL => Ok(false),
            errno => Err(errno.into()),
        },
    }
}

/// A header, the address's description and the address itself, all in the host's byte order.
fn address_request(kind: u16, flags: u16) -> io::Result<Vec<u8>> {
    let std::net::IpAddr::V6(address) = Family::V6.proxy_source() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let index = if_nametoindex("lo")?;
    let mut body = vec![
        AddressFamily::Inet6 as u8,
        128,
        NO_DUPLICATE_DETECTION,
        SCOPE_HOST,
    ];
    body.extend(index.to_ne_bytes());
    body.extend(20u16.to_ne_bytes());
    body.extend(ADDRESS.to_ne_bytes());
    body.extend(address.octets());

    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::from(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    Ok(message)
}

/// Sends a request and answers with the kernel's error number, 0 for success.
fn ask(request: &[u8]) -> io::Result<i32> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkRoute,
    )?;
    send(netlink.as_raw_fd(), request, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let unexpected = || io::Error::other("an answer of the kernel that is no acknowledgement");
    let answer = answer.get(..length).ok_or_else(unexpected)?;
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let errno = answer
        .get(HEADER..HEADER + 4)
        .and_then(|bytes| bytes.try_into().ok());
    match (kind, errno.map(i32::from_ne_bytes)) {
        (Some(ERROR), Some(errno)) => Ok(-errno),
        _ => Err(unexpected()),
    }
}
