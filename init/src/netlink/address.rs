//! That `lo` has the address `::6/128`, or has not. The whole of 127.0.0.0/8 belongs to `lo`, so
//! 127.0.0.6 is there for IPv4. In IPv6 only `::1` is.

use std::io;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use super::message::{Attributes, CREATE, Request};
use super::socket::Socket;
use crate::family::Family;

/// Kinds of messages, of rtnetlink(7).
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
/// The attribute that carries an address.
const ADDRESS: u16 = 1;
/// Nobody else can have the address, and so it can be used at once, without asking around first.
const NO_DUPLICATE_DETECTION: u8 = 2;
/// An address that is good within this host alone.
const SCOPE_HOST: u8 = 254;

/// Adds the address that the proxy sends from to `lo`, or removes it. True if that changed anything.
///
/// # Errors
/// What the kernel answered, such as `EACCES` where IPv6 is switched off for `lo`.
pub(crate) fn set(wanted: bool) -> io::Result<bool> {
    let (kind, flags) = if wanted {
        (NEW_ADDRESS, CREATE)
    } else {
        (DELETE_ADDRESS, 0)
    };
    let body = address()?;
    match Socket::route()?.change(&Request { kind, flags, body }) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EEXIST | Errno::EADDRNOTAVAIL) => Ok(false),
            _ => Err(error),
        },
    }
}

fn address() -> io::Result<Attributes> {
    let std::net::IpAddr::V6(address) = Family::V6.proxy_source() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut fixed = vec![Family::V6.number(), 128, NO_DUPLICATE_DETECTION, SCOPE_HOST];
    fixed.extend(if_nametoindex("lo")?.to_ne_bytes());
    Ok(Attributes::after(&fixed).with(ADDRESS, &address.octets()))
}
