//! Control's messages as checked values: what is in here cannot be wrong. A message that cannot
//! become one is refused as a whole (NACK), and what was known before stays in force.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use lateen_wire::{Identity, lateen, names};

use crate::config::Config;
use crate::upstream::{Endpoint, EndpointSet};

/// `connectTimeout`, unless set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who answers to a name or an address.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A port of a service.
    Service(Arc<Service>),
    /// A workload, called by its own address.
    Workload(Arc<Endpoint>),
    /// Nobody in the mesh.
    Unknown,
}

/// What an application speaks on a port, as far as it declared it (`appProtocol`, port name).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Application {
    /// To be found out from the first bytes.
    #[default]
    Undeclared,
    /// HTTP/1.
    Http,
    /// HTTP/2, gRPC included.
    Http2,
    /// TLS of the application, or any other protocol that is not ours to read.
    Opaque,
}

/// A port of a service.
#[derive(Debug)]
pub struct Service {
    /// Everything but the endpoints.
    pub definition: ServiceDefinition,
    /// Who serves it at the moment.
    pub endpoints: ArcSwap<EndpointSet>,
}

/// What a service's port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDefinition {
    /// Short name.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Fully qualified host.
    pub host: String,
    /// Port of the service.
    pub port: u16,
    /// Selects the port in each slice.
    pub port_name: String,
    /// What the port declares to speak.
    pub application: Application,
    /// The application chose an endpoint by DNS, and that choice stands.
    pub headless: bool,
    /// Connections of one client stay on one endpoint.
    pub client_affinity: bool,
    /// Names of the slices with its endpoints.
    pub slices: Vec<String>,
}

/// One EndpointSlice.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) ports: Vec<(String, u16)>,
    pub(super) endpoints: Vec<SliceEndpoint>,
}

/// One address of a slice.
#[derive(Debug)]
pub(super) struct SliceEndpoint {
    pub(super) address: IpAddr,
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) ready: bool,
    pub(super) terminating: bool,
}

/// Who runs at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Name of the owner, or of a bare pod.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Kubernetes service account.
    pub service_account: String,
    /// Canonical service.
    pub canonical_name: String,
    /// Canonical revision.
    pub canonical_revision: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// Cluster it runs in.
    pub cluster: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// The identity to demand of it; present when it takes mesh mTLS.
    pub mesh_identity: Option<Identity>,
}

/// What the proxy knows of its own workload and of the mesh.
#[derive(Clone, Debug)]
pub struct Own {
    /// Counts changes, so that what was derived from an older one can be told.
    pub version: u64,
    /// The workload.
    pub workload: Workload,
    /// Ports that services target.
    pub inbound: AHashMap<u16, InboundPort>,
    /// Address ranges of services.
    pub service_ranges: Vec<IpNet>,
    /// MeshConfig.
    pub mesh: Mesh,
}

/// A port of the own workload that a service targets.
#[derive(Clone, Debug)]
pub struct InboundPort {
    /// What the port declares to speak.
    pub application: Application,
    /// Short name of the oldest service that targets it.
    pub service_name: String,
    /// Its namespace.
    pub service_namespace: String,
    /// Its fully qualified host.
    pub service_host: String,
    /// Its port.
    pub service_port: u16,
}

/// The part of MeshConfig that a proxy acts on.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// `trustDomain` and `trustDomainAliases`.
    pub trust_domains: Vec<String>,
    /// `connectTimeout`.
    pub connect_timeout: Duration,
    /// `protocolDetectionTimeout`, when set.
    pub detection_timeout: Option<Duration>,
    /// `accessLogFile` is set.
    pub access_log: bool,
    /// `accessLogEncoding: JSON`.
    pub access_log_json: bool,
    /// `accessLogFormat`, when set.
    pub access_log_format: Option<String>,
    /// `outboundTrafficPolicy.mode: REGISTRY_ONLY`.
    pub registry_only: bool,
    /// `enableAutoMtls`.
    pub auto_mtls: bool,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is wrong: {reason}")]
pub(super) struct Invalid {
    field: &'static str,
    reason: String,
}

/// A destination's answer before endpoints are known.
#[derive(Debug)]
pub(super) enum Definition {
    Service(ServiceDefinition),
    Workload(Workload),
    Unknown,
}

impl Definition {
    pub(super) fn read(message: lateen::Destination) -> Result<Self, Invalid> {
        use lateen::destination::Answer as Wire;
        match message.answer {
            Some(Wire::Service(service)) => ServiceDefinition::read(service).map(Self::Service),
            Some(Wire::Workload(workload)) => Workload::read(workload).map(Self::Workload),
            // An answer of a kind that a newer control may know: nobody we could call better.
            Some(Wire::Unknown(_)) | None => Ok(Self::Unknown),
        }
    }
}

impl ServiceDefinition {
    fn read(message: lateen::Service) -> Result<Self, Invalid> {
        Ok(Self {
            application: Application::read(message.protocol()),
            port: port("service.port", message.port)?,
            name: message.name,
            namespace: message.namespace,
            host: message.host,
            port_name: message.port_name,
            headless: message.headless,
            client_affinity: message.client_affinity,
            slices: message.endpoint_slices,
        })
    }
}

impl Application {
    fn read(protocol: lateen::Protocol) -> Self {
        match protocol {
            lateen::Protocol::Undeclared => Self::Undeclared,
            lateen::Protocol::Http => Self::Http,
            lateen::Protocol::Http2 | lateen::Protocol::Grpc => Self::Http2,
            lateen::Protocol::Tls | lateen::Protocol::Tcp | lateen::Protocol::Udp => Self::Opaque,
        }
    }
}

impl Slice {
    pub(super) fn read(message: lateen::EndpointSlice) -> Result<Self, Invalid> {
        let workloads: Vec<Arc<Workload>> = message
            .workloads
            .into_iter()
            .map(|workload| Workload::read(workload).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let endpoints = message
            .endpoints
            .into_iter()
            .map(|endpoint| SliceEndpoint::read(&endpoint, &workloads))
            .collect::<Result<_, _>>()?;
        // A headless service may have no port, which Kubernetes writes as one without a number.
        let ports = message
            .ports
            .into_iter()
            .filter(|entry| entry.number != 0)
            .map(|entry| Ok((entry.name, port("slice port", entry.number)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { ports, endpoints })
    }
}

impl SliceEndpoint {
    fn read(message: &lateen::Endpoint, workloads: &[Arc<Workload>]) -> Result<Self, Invalid> {
        let workload = match usize::try_from(message.workload).unwrap_or(usize::MAX) {
            0 => None,
            index => Some(workloads.get(index - 1).cloned().ok_or_else(|| Invalid {
                field: "endpoint.workload",
                reason: format!("there is no workload {index}"),
            })?),
        };
        Ok(Self {
            address: address(&message.address)?,
            workload,
            ready: message.ready,
            terminating: message.terminating,
        })
    }
}

/// What DNS says of a host.
pub(super) fn host_addresses(message: &lateen::HostAddresses) -> Result<Vec<IpAddr>, Invalid> {
    message
        .addresses
        .iter()
        .map(|bytes| address(bytes))
        .collect()
}

impl Workload {
    pub(super) fn read(message: lateen::Workload) -> Result<Self, Invalid> {
        let mesh_identity = if message.mutual_tls && !message.host_network {
            Some(identity(&message)?)
        } else {
            None
        };
        Ok(Self {
            name: message.name,
            namespace: message.namespace,
            service_account: message.service_account,
            canonical_name: message.canonical_name,
            canonical_revision: message.canonical_revision,
            app: message.app,
            version: message.version,
            cluster: message.cluster,
            locality: message.locality,
            mesh_identity,
        })
    }

    /// Whether a certificate's identity is one that this workload may have.
    #[must_use]
    pub fn is(&self, identity: &Identity) -> bool {
        self.namespace == identity.namespace() && self.service_account == identity.service_account()
    }
}

impl Own {
    /// What can be said before control has spoken.
    #[must_use]
    pub fn assumed(config: &Config) -> Self {
        Self {
            version: 0,
            workload: Workload {
                name: config.pod.workload_name.clone(),
                namespace: config.pod.namespace.clone(),
                service_account: config.identity.service_account().to_owned(),
                cluster: config.pod.cluster.clone(),
                ..Workload::default()
            },
            inbound: AHashMap::new(),
            service_ranges: Vec::new(),
            mesh: Mesh::assumed(config.identity.trust_domain()),
        }
    }

    pub(super) fn read(message: lateen::Own, version: u64) -> Result<Self, Invalid> {
        let workload = Workload::read(message.workload.unwrap_or_default())?;
        let service_ranges = message
            .service_ranges
            .iter()
            .map(|text| {
                text.parse().map_err(|_| Invalid {
                    field: "own.service_ranges",
                    reason: format!("'{text}' is not an address range"),
                })
            })
            .collect::<Result<_, _>>()?;
        let inbound = message
            .inbound
            .into_iter()
            .map(|entry| {
                Ok((
                    port("inbound.target_port", entry.target_port)?,
                    InboundPort::read(entry)?,
                ))
            })
            .collect::<Result<_, Invalid>>()?;
        let mesh = Mesh::read(message.mesh.unwrap_or_default());
        Ok(Self {
            version,
            workload,
            inbound,
            service_ranges,
            mesh,
        })
    }

    /// Whether services have their addresses there.
    #[must_use]
    pub fn is_service_address(&self, address: IpAddr) -> bool {
        self.service_ranges
            .iter()
            .any(|range| range.contains(&address))
    }
}

impl InboundPort {
    fn read(message: lateen::InboundPort) -> Result<Self, Invalid> {
        Ok(Self {
            application: Application::read(message.protocol()),
            service_port: port("inbound.service_port", message.service_port)?,
            service_name: message.service_name,
            service_namespace: message.service_namespace,
            service_host: message.service_host,
        })
    }
}

impl Mesh {
    fn assumed(trust_domain: &str) -> Self {
        Self::read(lateen::Mesh {
            trust_domain: trust_domain.to_owned(),
            ..lateen::Mesh::default()
        })
    }

    fn read(message: lateen::Mesh) -> Self {
        let trust_domain = match message.trust_domain.as_str() {
            "" => names::TRUST_DOMAIN.to_owned(),
            _ => message.trust_domain,
        };
        let mut trust_domains = vec![trust_domain];
        trust_domains.extend(message.trust_domain_aliases);
        Self {
            trust_domains,
            connect_timeout: match message.connect_timeout_ms {
                0 => CONNECT_TIMEOUT,
                milliseconds => Duration::from_millis(milliseconds),
            },
            detection_timeout: message
                .protocol_detection_timeout_ms
                // Zero is how Istio's default is written, which is no timeout of the user's.
                .filter(|milliseconds| *milliseconds != 0)
                .map(Duration::from_millis),
            access_log: !message.access_log_file.is_empty(),
            access_log_json: message.access_log_json,
            access_log_format: Some(message.access_log_format).filter(|text| !text.is_empty()),
            registry_only: message.registry_only,
            auto_mtls: !message.auto_mtls_disabled,
        }
    }
}

fn identity(message: &lateen::Workload) -> Result<Identity, Invalid> {
    let trust_domain = match message.trust_domain.as_str() {
        "" => names::TRUST_DOMAIN,
        text => text,
    };
    Identity::new(trust_domain, &message.namespace, &message.service_account).map_err(|error| {
        Invalid {
            field: "workload identity",
            reason: error.to_string(),
        }
    })
}

fn port(field: &'static str, number: u32) -> Result<u16, Invalid> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Invalid {
            field,
            reason: format!("{number} is not a port"),
        })
}

fn address(bytes: &[u8]) -> Result<IpAddr, Invalid> {
    let address = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).map(IpAddr::from),
    };
    address
        .map(|address| address.to_canonical())
        .map_err(|_| Invalid {
            field: "endpoint.address",
            reason: format!("{} bytes are not an address", bytes.len()),
        })
}
