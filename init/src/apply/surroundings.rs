//! What the rules need beside themselves: the address that the proxy sends from, and the way of
//! marked packets.

use super::step::Step;
use crate::Error;
use crate::family::Family;
use crate::netlink::address;
use crate::netlink::route::{self, MarkedRoute};

/// That `lo` has the proxy's IPv6 address, or has not.
pub(super) struct Address {
    wanted: bool,
    changed: bool,
}

impl Address {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            changed: false,
        }
    }

    fn set(wanted: bool) -> Result<bool, Error> {
        let attempt = if wanted { "add" } else { "remove" };
        address::set(wanted).map_err(|cause| Error::Address { attempt, cause })
    }
}

impl Step for Address {
    fn bring_about(&mut self) -> Result<(), Error> {
        self.changed = Self::set(self.wanted)?;
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Error> {
        if self.changed {
            Self::set(!self.wanted)?;
        }
        Ok(())
    }
}

/// That marked packets of a family are routed to the proxy. The new way comes first, then the ones
/// of earlier runs go.
pub(super) struct Route {
    family: Family,
    before: Vec<MarkedRoute>,
    wanted: Option<MarkedRoute>,
}

impl Route {
    pub(super) fn read(family: Family, wanted: Option<MarkedRoute>) -> Result<Self, Error> {
        Ok(Self {
            family,
            before: ours(family)?,
            wanted,
        })
    }

    /// From those that are there to those that are wanted.
    fn make(&self, wanted: &[MarkedRoute], there: &[MarkedRoute]) -> Result<(), Error> {
        for route in wanted {
            let added = route.add(self.family, there.contains(route));
            added.map_err(|cause| failed("add", self.family, cause))?;
        }
        for route in there.iter().filter(|route| !wanted.contains(route)) {
            let removed = route.remove(self.family);
            removed.map_err(|cause| failed("remove", self.family, cause))?;
        }
        Ok(())
    }

    /// That the kernel sends marked packets where they are meant to go.
    fn verify(&self, wanted: MarkedRoute) -> Result<(), Error> {
        let family = self.family;
        match wanted.leads_here(family) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::OtherRoute {
                family,
                table: wanted.table,
            }),
            Err(cause) => Err(failed("verify", family, cause)),
        }
    }
}

impl Step for Route {
    fn bring_about(&mut self) -> Result<(), Error> {
        self.make(self.wanted.as_slice(), &self.before)?;
        self.wanted.map_or(Ok(()), |wanted| self.verify(wanted))
    }

    fn take_back(&mut self) -> Result<(), Error> {
        self.make(&self.before, &ours(self.family)?)
    }
}

fn ours(family: Family) -> Result<Vec<MarkedRoute>, Error> {
    route::ours(family).map_err(|cause| failed("read", family, cause))
}

fn failed(attempt: &'static str, family: Family, cause: std::io::Error) -> Error {
    Error::Route {
        attempt,
        family,
        cause,
    }
}
