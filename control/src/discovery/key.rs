//! Names of resources, checked, and how each is resolved.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_wire::resource::{self, DestinationName, Host};
use prost::Message;
use sha2::{Digest, Sha256};

use super::answers::{Answer, Resource};
use crate::resolve::{self, Client, Resolved};
use crate::snapshot::{Facts, Snapshot};

/// Bytes of the content's hash that make a version.
const VERSION_BYTES: usize = 12;

/// The types of resources, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The proxy's own workload.
    Own,
    /// Who is `HOST:PORT`.
    Destination,
    /// Endpoints.
    EndpointSlice,
    /// Who is at an address.
    Workload,
    /// What DNS says of a host.
    HostAddresses,
}

impl Kind {
    /// All types, in the order in which they are sent.
    pub const ALL: [Self; 5] = [
        Self::Own,
        Self::Destination,
        Self::EndpointSlice,
        Self::Workload,
        Self::HostAddresses,
    ];

    /// The type of a type URL.
    #[must_use]
    pub fn of_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The type URL.
    #[must_use]
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Own => resource::OWN,
            Self::Destination => resource::DESTINATION,
            Self::EndpointSlice => resource::ENDPOINT_SLICE,
            Self::Workload => resource::WORKLOAD,
            Self::HostAddresses => resource::HOST_ADDRESSES,
        }
    }

    /// Label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Destination => "destination",
            Self::EndpointSlice => "endpoint_slice",
            Self::Workload => "workload",
            Self::HostAddresses => "host_addresses",
        }
    }
}

/// What one answer answers, the same for all proxies that would get the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The workload of this namespace and pod.
    Own(Arc<str>, Arc<str>),
    /// Who has this host and port, asked from this namespace.
    Destination(Arc<str>, DestinationName),
    /// The slice of this namespace and name.
    EndpointSlice(Box<str>, Box<str>),
    /// Who is at this address.
    Workload(IpAddr),
    /// What DNS says of this host, asked from this namespace.
    HostAddresses(Arc<str>, String),
}

impl Key {
    /// Reads the name of a resource as a proxy of this namespace and pod means it. None when no
    /// resource can have that name; every resource has exactly one name.
    #[must_use]
    pub fn parse(kind: Kind, name: &str, namespace: &Arc<str>, pod: &Arc<str>) -> Option<Self> {
        let key = match kind {
            Kind::Own => Self::Own(namespace.clone(), pod.clone()),
            Kind::Destination => {
                let name: DestinationName = name.parse().ok()?;
                // An address means the same everywhere.
                let everywhere = matches!(name.host, Host::Address(_));
                let asker = if everywhere {
                    Arc::default()
                } else {
                    namespace.clone()
                };
                Self::Destination(asker, name)
            }
            Kind::EndpointSlice => {
                let (namespace, slice) = name.split_once('/')?;
                Self::EndpointSlice(namespace.into(), slice.into())
            }
            Kind::Workload => Self::Workload(name.parse::<IpAddr>().ok()?.to_canonical()),
            Kind::HostAddresses => match Host::parse(name)? {
                Host::Name(host) => Self::HostAddresses(namespace.clone(), host),
                Host::Address(_) => return None,
            },
        };
        (key.name() == name).then_some(key)
    }

    /// The resource's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Own(..) => resource::OWN_NAME.to_owned(),
            Self::Destination(_, name) => name.to_string(),
            Self::EndpointSlice(namespace, name) => format!("{namespace}/{name}"),
            Self::Workload(address) => address.to_string(),
            Self::HostAddresses(_, host) => host.clone(),
        }
    }

    /// The resource's type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Own(..) => Kind::Own,
            Self::Destination(..) => Kind::Destination,
            Self::EndpointSlice(..) => Kind::EndpointSlice,
            Self::Workload(_) => Kind::Workload,
            Self::HostAddresses(..) => Kind::HostAddresses,
        }
    }

    /// The answer, and the facts it stands on.
    #[must_use]
    pub fn resolve(&self, snapshot: &Snapshot) -> (Answer, Facts) {
        match self {
            Self::Own(namespace, pod) => encoded(resolve::own(snapshot, namespace, pod)),
            Self::Destination(namespace, name) => {
                let client = Client { namespace };
                let Resolved {
                    message,
                    dependencies,
                } = resolve::destination(snapshot, client, name);
                encoded(Resolved {
                    message: Some(message),
                    dependencies,
                })
            }
            Self::EndpointSlice(namespace, name) => {
                encoded(resolve::endpoint_slice(snapshot, namespace, name))
            }
            Self::Workload(address) => encoded(resolve::workload(snapshot, *address)),
            Self::HostAddresses(namespace, host) => {
                let client = Client { namespace };
                encoded(resolve::host_addresses(snapshot, client, host))
            }
        }
    }
}

fn encoded(resolved: Resolved<Option<impl Message>>) -> (Answer, Facts) {
    let answer = match resolved.message {
        Some(message) => {
            let content = message.encode_to_vec();
            Answer::Resource(Arc::new(Resource {
                version: version(&content),
                content,
            }))
        }
        None => Answer::Absent,
    };
    (answer, resolved.dependencies)
}

/// A version says no more than whether contents are equal, and says the same on every replica.
fn version(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content)
        .iter()
        .take(VERSION_BYTES)
        .fold(String::new(), |mut text, byte| {
            // Writing into a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_one_name() {
        let (namespace, pod) = (Arc::from("shop"), Arc::from("web-0"));
        let parse = |kind, name| Key::parse(kind, name, &namespace, &pod);
        for (kind, name, valid) in [
            (Kind::Own, "self", true),
            (Kind::Own, "*", false),
            (Kind::Destination, "reviews:9080", true),
            (Kind::Destination, "Reviews:9080", false),
            (Kind::Destination, "reviews", false),
            (Kind::Destination, "[fd00::1]:80", true),
            (Kind::Destination, "[fd00:0::1]:80", false),
            (Kind::EndpointSlice, "shop/web-abc", true),
            (Kind::EndpointSlice, "shop", false),
            (Kind::Workload, "10.0.0.1", true),
            (Kind::Workload, "::ffff:10.0.0.1", false),
            (Kind::Workload, "web-0", false),
            (
                Kind::HostAddresses,
                "web-0.web.shop.svc.cluster.local",
                true,
            ),
            (Kind::HostAddresses, "Web", false),
            (Kind::HostAddresses, "web.", false),
            (Kind::HostAddresses, "10.0.0.1", false),
        ] {
            let key = parse(kind, name);
            assert_eq!(key.is_some(), valid, "{kind:?} {name}");
            assert!(key.is_none_or(|key| key.kind() == kind && key.name() == name));
        }
    }
}
