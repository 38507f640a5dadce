//! Names and types of discovery resources: which message answers to which name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Type URL of [`crate::lateen::Destination`].
pub const DESTINATION: &str = "type.lateen.dev/lateen.v1.Destination";
/// Type URL of [`crate::lateen::EndpointSlice`]; names are `NAMESPACE/NAME`.
pub const ENDPOINT_SLICE: &str = "type.lateen.dev/lateen.v1.EndpointSlice";
/// Type URL of [`crate::lateen::Workload`]; the name is the workload's address.
pub const WORKLOAD: &str = "type.lateen.dev/lateen.v1.Workload";
/// Type URL of [`crate::lateen::HostAddresses`]; the name is a host.
pub const HOST_ADDRESSES: &str = "type.lateen.dev/lateen.v1.HostAddresses";
/// Type URL of [`crate::lateen::Own`].
pub const OWN: &str = "type.lateen.dev/lateen.v1.Own";
/// Name of the only resource of type [`OWN`].
pub const OWN_NAME: &str = "self";

/// Destinations, and likewise workloads and hosts' addresses, that a proxy follows at most: more are
/// refused by control.
pub const MAX_NAMES: usize = 1_000;

/// Longest host in a destination's name (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 255;

/// What a proxy asks about: the authority as the application wrote it, or the address it connected
/// to, with the port the connection was made to. Printed as `HOST:PORT`, with IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationName {
    /// A host or an address.
    pub host: Host,
    /// The destination port of the captured connection.
    pub port: u16,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address; IPv4-mapped IPv6 is never here.
    Address(IpAddr),
    /// A lower-case DNS name without the trailing dot.
    Name(String),
}

/// A text cannot name a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name a destination: expected HOST:PORT with a DNS name or an address")]
pub struct InvalidName(String);

impl Host {
    /// Reads a host as it stands in an authority, without its port: case and a trailing dot do not
    /// count, and brackets round IPv6 are taken off.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let valid = !name.is_empty()
            && name.len() <= MAX_HOST
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        valid.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl DestinationName {
    /// The name of an address and port.
    #[must_use]
    pub fn of_address(address: IpAddr, port: u16) -> Self {
        Self {
            host: Host::Address(address.to_canonical()),
            port,
        }
    }
}

impl fmt::Display for DestinationName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

impl FromStr for DestinationName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidName(text.chars().take(MAX_HOST).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        Ok(Self {
            host: Host::parse(host).ok_or_else(invalid)?,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_dot_brackets_and_mapped_addresses_do_not_count() {
        for (text, printed) in [
            ("Reviews:9080", "reviews:9080"),
            (
                "reviews.default.svc.cluster.local.:80",
                "reviews.default.svc.cluster.local:80",
            ),
            ("[FD00::1]:80", "[fd00::1]:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ] {
            assert_eq!(
                text.parse::<DestinationName>().unwrap().to_string(),
                printed
            );
        }
    }

    #[test]
    fn refuses_what_no_host_can_be() {
        for text in [
            "",
            ":80",
            "a b:80",
            "reviews",
            "reviews:99999",
            "a/b:1",
            "[fd00::1:80",
        ] {
            assert!(text.parse::<DestinationName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_to_what_parses_the_same(text in "\\PC{0,40}") {
            if let Ok(name) = text.parse::<DestinationName>() {
                prop_assert_eq!(name.to_string().parse::<DestinationName>().unwrap(), name);
            }
        }
    }
}
