//! The way of marked packets in TPROXY mode: a routing rule leads them to a table of their own, where
//! everything is local, so that they reach the proxy whatever their address.
//!
//! Ours are told from other people's by their protocol, the field that says who made a rule or a
//! route.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use super::message::{ACKNOWLEDGE, Attributes, CREATE, DUMP, Request, attribute, number};
use super::socket::Socket;
use crate::family::Family;

/// Who made a rule or a route: us. A number that nobody has registered.
const OURS: u8 = 117;

/// Kinds of messages, of rtnetlink(7).
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;
/// The fixed part of messages about rules and routes.
const FIXED: usize = 12;
/// Attributes of a rule.
const RULE_MARK: u16 = 10;
const RULE_TABLE: u16 = 15;
const RULE_PROTOCOL: u16 = 21;
/// What a rule does: it looks up a table.
const LOOK_UP: u8 = 1;
/// Attributes of a route, and of a question for one.
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_TABLE: u16 = 15;
const ROUTE_MARK: u16 = 16;
/// What a route means, and where in the fixed part it stands: the destination is this host.
const LOCAL: u8 = 2;
const MEANING: usize = 7;
const SCOPE_HOST: u8 = 254;

/// Packets with this mark are local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MarkedRoute {
    /// The mark.
    pub(crate) mark: u32,
    /// The routing table.
    pub(crate) table: u32,
}

/// The ways of marked packets of a family that we made. None where the kernel has no such rules.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn ours(family: Family) -> io::Result<Vec<MarkedRoute>> {
    let mut fixed = [0; FIXED];
    fixed[0] = family.number();
    let request = Request {
        kind: GET_RULE,
        flags: DUMP,
        body: Attributes::after(&fixed),
    };
    let mut found = Vec::new();
    let result = Socket::route()?.ask(&request, |answer| {
        let attributes = answer.body.get(FIXED..).unwrap_or_default();
        if attribute(attributes, RULE_PROTOCOL) == Some(&[OURS]) {
            let value = |kind| number(attribute(attributes, kind)?, 0);
            let route = value(RULE_MARK).zip(value(RULE_TABLE));
            found.extend(route.map(|(mark, table)| MarkedRoute { mark, table }));
        }
    });
    match result {
        Err(error) if says_there_is_no_such_thing(&error) => Ok(Vec::new()),
        result => result.map(|()| found),
    }
}

fn says_there_is_no_such_thing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT))
}

fn says_there_is_no_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EACCES)
    )
}

impl MarkedRoute {
    /// Makes the rule, unless it is there: the kernel would make a second one. Then makes the route that it
    /// leads to: a rule tells the next run what a run that was killed in between has made.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn add(self, family: Family, rule_is_there: bool) -> io::Result<()> {
        let socket = Socket::route()?;
        let request = |kind, body| Request {
            kind,
            flags: CREATE,
            body,
        };
        if !rule_is_there {
            socket.change(&request(NEW_RULE, self.rule(family)))?;
        }
        let route = request(NEW_ROUTE, self.route(family)?);
        unless(Errno::EEXIST, socket.change(&route))
    }

    /// Removes the route, and then the rule. What is not there is not missed.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn remove(self, family: Family) -> io::Result<()> {
        let socket = Socket::route()?;
        let request = |kind, body| Request {
            kind,
            flags: 0,
            body,
        };
        let route = request(DELETE_ROUTE, self.route(family)?);
        unless(Errno::ESRCH, socket.change(&route))?;
        let rule = request(DELETE_RULE, self.rule(family));
        unless(Errno::ENOENT, socket.change(&rule))
    }

    /// Whether marked packets do reach this host, whatever their address. A route of somebody else in
    /// the same table, or a rule before ours, may lead them elsewhere.
    ///
    /// # Errors
    /// What the kernel answered, other than that there is no way at all.
    pub(crate) fn leads_here(self, family: Family) -> io::Result<bool> {
        // Addresses of documentation, which no host has.
        let (length, address) = match family {
            Family::V4 => (32, Ipv4Addr::new(192, 0, 2, 1).octets().to_vec()),
            Family::V6 => (
                128,
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)
                    .octets()
                    .to_vec(),
            ),
        };
        let mut fixed = [0; FIXED];
        [fixed[0], fixed[1]] = [family.number(), length];
        let request = Request {
            kind: GET_ROUTE,
            flags: ACKNOWLEDGE,
            body: Attributes::after(&fixed)
                .with(ROUTE_DESTINATION, &address)
                .with(ROUTE_MARK, &self.mark.to_ne_bytes()),
        };
        let mut here = false;
        let asked = Socket::route()?.ask(&request, |answer| {
            here = answer.body.get(MEANING) == Some(&LOCAL);
        });
        match asked {
            Err(error) if says_there_is_no_way(&error) => Ok(false),
            asked => asked.map(|()| here),
        }
    }

    fn rule(self, family: Family) -> Attributes {
        let mut fixed = [0; FIXED];
        fixed[0] = family.number();
        fixed[7] = LOOK_UP;
        Attributes::after(&fixed)
            .with(RULE_MARK, &self.mark.to_ne_bytes())
            .with(RULE_TABLE, &self.table.to_ne_bytes())
            .with(RULE_PROTOCOL, &[OURS])
    }

    fn route(self, family: Family) -> io::Result<Attributes> {
        let mut fixed = [0; FIXED];
        fixed[0] = family.number();
        [fixed[5], fixed[6], fixed[MEANING]] = [OURS, SCOPE_HOST, LOCAL];
        Ok(Attributes::after(&fixed)
            .with(ROUTE_INTERFACE, &if_nametoindex("lo")?.to_ne_bytes())
            .with(ROUTE_TABLE, &self.table.to_ne_bytes()))
    }
}

/// A result without the error that says that everything is as it should be.
fn unless(fine: Errno, result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(fine as i32) => Ok(()),
        result => result,
    }
}
