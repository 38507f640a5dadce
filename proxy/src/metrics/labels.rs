//! The labels of Istio's standard metrics, in Istio's order.

use std::fmt::{self, Write};

use lateen_wire::Identity;

use crate::discover::Workload;

/// What is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// Which side of a connection reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// The proxy of the caller.
    Source,
    /// The proxy of the called.
    Destination,
}

/// `connection_security_policy`; only the destination can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Reported by the source.
    Unknown,
    /// Both sides showed an identity.
    MutualTls,
    /// Plain text.
    None,
}

/// One end of the traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Party<'a> {
    /// Who runs there, if known.
    pub workload: Option<&'a Workload>,
    /// The identity shown over mutual TLS.
    pub principal: Option<&'a Identity>,
}

/// The service that was called.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLabels<'a> {
    /// Fully qualified host, or the host as called.
    pub host: &'a str,
    /// Short name, or `PassthroughCluster` and the like.
    pub name: &'a str,
    /// Namespace of the service.
    pub namespace: &'a str,
}

/// Who talks to whom: all labels that do not depend on a single response.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a> {
    /// Which side reports.
    pub reporter: Reporter,
    /// The caller.
    pub source: Party<'a>,
    /// The called.
    pub destination: Party<'a>,
    /// The service called.
    pub service: ServiceLabels<'a>,
    /// How the connection was secured.
    pub security: Security,
}

/// Why a response is not simply the upstream's (Envoy's response flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Flag {
    /// `UH`: no healthy upstream.
    NoHealthyUpstream = 1,
    /// `UF`: the upstream could not be connected to.
    UpstreamConnectionFailure = 1 << 1,
    /// `UO`: a limit of the destination is reached.
    UpstreamOverflow = 1 << 2,
    /// `NR`: no route, here a destination that must not be called.
    NoRoute = 1 << 3,
    /// `URX`: the limit of retries is reached.
    RetryLimit = 1 << 4,
    /// `DC`: the client went away.
    DownstreamConnectionTermination = 1 << 5,
    /// `UT`: the upstream took too long.
    UpstreamTimeout = 1 << 6,
    /// `UR`: the upstream reset the stream.
    UpstreamReset = 1 << 7,
    /// `UC`: the upstream closed the connection.
    UpstreamConnectionTermination = 1 << 8,
    /// `DPE`: the client broke the protocol.
    DownstreamProtocolError = 1 << 9,
    /// `UPE`: the upstream broke the protocol.
    UpstreamProtocolError = 1 << 10,
    /// `NC`: the destination is not known.
    NoCluster = 1 << 11,
}

/// A set of [`Flag`]s, printed as `UF,URX`, or `-` when empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

const NAMES: [(Flag, &str); 12] = [
    (Flag::NoHealthyUpstream, "UH"),
    (Flag::UpstreamConnectionFailure, "UF"),
    (Flag::UpstreamOverflow, "UO"),
    (Flag::NoRoute, "NR"),
    (Flag::RetryLimit, "URX"),
    (Flag::DownstreamConnectionTermination, "DC"),
    (Flag::UpstreamTimeout, "UT"),
    (Flag::UpstreamReset, "UR"),
    (Flag::UpstreamConnectionTermination, "UC"),
    (Flag::DownstreamProtocolError, "DPE"),
    (Flag::UpstreamProtocolError, "UPE"),
    (Flag::NoCluster, "NC"),
];

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// With one more flag.
    #[must_use]
    pub fn with(self, flag: Flag) -> Self {
        Self(self.0 | flag as u16)
    }

    /// Whether no flag is set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Flag> for Flags {
    fn from(flag: Flag) -> Self {
        Self(flag as u16)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("-");
        }
        let set = NAMES.iter().filter(|(flag, _)| self.0 & *flag as u16 != 0);
        for (index, (_, name)) in set.enumerate() {
            if index > 0 {
                formatter.write_char(',')?;
            }
            formatter.write_str(name)?;
        }
        Ok(())
    }
}

impl Security {
    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => UNKNOWN,
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
        }
    }
}

impl Traffic<'_> {
    /// Labels from `reporter` to `destination_cluster`, each followed by a comma.
    pub(super) fn to_labels(self) -> String {
        let mut labels = String::with_capacity(1024);
        let mut put = |name: &str, value: &str| push_label(&mut labels, name, value);
        put(
            "reporter",
            match self.reporter {
                Reporter::Source => "source",
                Reporter::Destination => "destination",
            },
        );
        let source = Values::of(self.source);
        put("source_workload", source.workload);
        put("source_canonical_service", source.canonical_service);
        put("source_canonical_revision", source.canonical_revision);
        put("source_workload_namespace", source.namespace);
        put("source_principal", &source.principal);
        put("source_app", source.app);
        put("source_version", source.version);
        put("source_cluster", source.cluster);
        let destination = Values::of(self.destination);
        put("destination_workload", destination.workload);
        put("destination_workload_namespace", destination.namespace);
        put("destination_principal", &destination.principal);
        put("destination_app", destination.app);
        put("destination_version", destination.version);
        put("destination_service", self.service.host);
        put(
            "destination_canonical_service",
            destination.canonical_service,
        );
        put(
            "destination_canonical_revision",
            destination.canonical_revision,
        );
        put("destination_service_name", self.service.name);
        put("destination_service_namespace", self.service.namespace);
        put("destination_cluster", destination.cluster);
        labels
    }
}

/// Label values of one party, with `unknown` for what is missing.
struct Values<'a> {
    workload: &'a str,
    canonical_service: &'a str,
    canonical_revision: &'a str,
    namespace: &'a str,
    principal: String,
    app: &'a str,
    version: &'a str,
    cluster: &'a str,
}

impl<'a> Values<'a> {
    fn of(party: Party<'a>) -> Self {
        let principal = party
            .principal
            .map_or_else(|| UNKNOWN.to_owned(), Identity::to_string);
        let identity_namespace = party.principal.map(Identity::namespace);
        match party.workload {
            None => Self {
                workload: UNKNOWN,
                canonical_service: UNKNOWN,
                canonical_revision: UNKNOWN,
                namespace: identity_namespace.unwrap_or(UNKNOWN),
                principal,
                app: UNKNOWN,
                version: UNKNOWN,
                cluster: UNKNOWN,
            },
            Some(workload) => Self {
                workload: or(&workload.name, UNKNOWN),
                canonical_service: or(&workload.canonical_name, UNKNOWN),
                canonical_revision: or(&workload.canonical_revision, "latest"),
                namespace: identity_namespace.unwrap_or(or(&workload.namespace, UNKNOWN)),
                principal,
                app: or(&workload.app, UNKNOWN),
                version: or(&workload.version, UNKNOWN),
                cluster: or(&workload.cluster, UNKNOWN),
            },
        }
    }
}

fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}

/// Appends `name="value",` with the escapes of the text format.
pub(super) fn push_label(labels: &mut String, name: &str, value: &str) {
    labels.push_str(name);
    labels.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push_str("\",");
}
