//! What the proxy is told at start: the environment that injection gives (`POD_NAME`,
//! `INSTANCE_IP`, `PROXY_CONFIG` and the rest), Istio's flags of `pilot-agent proxy`, and a few
//! `LATEEN_*` variables for machines that are no pods. Read once, checked as a whole; nothing else
//! in the crate looks at the environment.

mod arguments;
mod dns;
mod proxy_config;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lateen_wire::{Identity, names, ports};

pub use self::arguments::{Arguments, Command};
pub use self::dns::{Dns, NameServers};
use self::proxy_config::ProxyConfig;
use crate::listen::Capture;

/// Where the kubelet keeps the token that proves who the pod is.
const TOKEN_PATH: &str = "/var/run/secrets/tokens/istio-token";
/// Where the roots of the mesh are mounted.
const ROOT_PATH: &str = "/var/run/secrets/istio/root-cert.pem";
/// Control, unless `CA_ADDR` or `PROXY_CONFIG` name another.
const CONTROL: &str = "istiod.istio-system.svc:15012";
/// `terminationDrainDuration` and `MINIMUM_DRAIN_DURATION`, unless set.
const TERMINATION_DRAIN: Duration = Duration::from_secs(5);

/// The whole configuration of one proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pod the proxy belongs to.
    pub pod: Pod,
    /// The identity the certificate must carry.
    pub identity: Identity,
    /// Where discovery is served.
    pub discovery: HostPort,
    /// Where certificates are signed.
    pub authority: HostPort,
    /// The service account token; re-read at each use, since the kubelet replaces it.
    pub token_path: PathBuf,
    /// PEM file with the root certificates of the mesh; re-read at each use.
    pub root_path: PathBuf,
    /// Capture of redirected connections.
    pub listen: Listen,
    /// The name server, if DNS is captured.
    pub dns: Option<Dns>,
    /// Ports of the agent.
    pub ports: AgentPorts,
    /// Threads that carry traffic; at least 1.
    pub workers: usize,
    /// Times of a shutdown.
    pub drain: DrainTimes,
    /// `ISTIO_KUBE_APP_PROBERS`: the application's own probes as JSON, if the injector moved any.
    pub app_probers: Option<String>,
    /// `ISTIO_PROMETHEUS_ANNOTATIONS`: where the application's metrics are, as JSON.
    pub prometheus_annotations: Option<String>,
    /// What is logged, and how.
    pub log: Log,
}

/// The pod, as the downward API and the injector describe it.
#[derive(Clone, Debug)]
pub struct Pod {
    /// `POD_NAME`.
    pub name: String,
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `INSTANCE_IP`: the pod's addresses, first the one that names the proxy to control.
    pub addresses: Vec<IpAddr>,
    /// `ISTIO_META_WORKLOAD_NAME`; the pod's name when absent.
    pub workload_name: String,
    /// `ISTIO_META_CLUSTER_ID`, by default `Kubernetes`.
    pub cluster: String,
    /// DNS suffix of the pod's namespace, such as `default.svc.cluster.local`.
    pub domain: String,
}

/// Where redirected connections arrive and how their true destination is learnt.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address of both listeners; `::` takes IPv4 too.
    pub bind: IpAddr,
    /// Port of connections from the application.
    pub outbound: u16,
    /// Port of connections to the application.
    pub inbound: u16,
    /// How the original destination of a connection is found.
    pub capture: Capture,
    /// How connections to the application are taken and passed on.
    pub interception: Interception,
}

/// `ISTIO_META_INTERCEPTION_MODE`: how connections to the application are taken and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interception {
    /// `REDIRECT`: the application sees an address of the proxy's. Also `NONE`, in which nobody
    /// redirects anything.
    Redirect,
    /// `TPROXY`: the application sees the client's address. The proxy needs NET_ADMIN.
    Tproxy,
}

/// Ports the agent part of the proxy answers on.
#[derive(Clone, Copy, Debug)]
pub struct AgentPorts {
    /// Merged metrics, application probes, drain and quit (`statusPort`).
    pub status: u16,
    /// Readiness for the kubelet (`ENVOY_STATUS_PORT`).
    pub health: u16,
    /// Metrics of the proxy alone (`ENVOY_PROMETHEUS_PORT`).
    pub metrics: u16,
    /// Admin, on loopback (`proxyAdminPort`).
    pub admin: u16,
}

/// How long a shutdown may take. See [`crate::drain`].
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// `terminationDrainDuration`: the longest time from SIGTERM to the end.
    pub termination: Duration,
    /// `MINIMUM_DRAIN_DURATION`: the shortest, for a proxy that stops together with its
    /// application instead of after it.
    pub minimum: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// `HOST:PORT` of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Everything that is wrong with the environment and the arguments, at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfig {
    /// One sentence for each problem.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads the configuration from arguments and a look-up of environment variables.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn read(
        arguments: &Arguments,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidConfig> {
        let mut reader = Reader {
            lookup: &lookup,
            problems: Vec::new(),
        };
        let config = read_all(arguments, &mut reader);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(InvalidConfig {
                problems: reader.problems,
            }),
        }
    }

    /// Whether the address is one of the pod's own.
    #[must_use]
    pub fn is_own_address(&self, address: IpAddr) -> bool {
        self.pod.addresses.contains(&address)
    }

    /// Whether a captured connection claims to go to our own capture ports, where forwarding it
    /// would make it go round for ever.
    #[must_use]
    pub fn is_loop(&self, destination: SocketAddr) -> bool {
        let port = destination.port();
        let ours = destination.ip().is_loopback()
            || destination.ip().is_unspecified()
            || self.is_own_address(destination.ip());
        ours && (port == self.listen.outbound || port == self.listen.inbound)
    }
}

fn read_all(arguments: &Arguments, reader: &mut Reader<'_>) -> Option<Config> {
    let proxy_config = reader.proxy_config();
    let trust_domain = reader.text("TRUST_DOMAIN", names::TRUST_DOMAIN);
    let name = reader.required("POD_NAME");
    let namespace = reader.required("POD_NAMESPACE");
    let service_account = reader.text("SERVICE_ACCOUNT", "default");
    let addresses = reader.addresses("INSTANCE_IP");
    let discovery = reader.host_port(
        "PROXY_CONFIG.discoveryAddress",
        proxy_config.discovery_address.as_deref().unwrap_or(CONTROL),
    );
    let authority = match (reader.lookup)("CA_ADDR").filter(|text| !text.is_empty()) {
        Some(text) => reader.host_port("CA_ADDR", &text),
        None => discovery.clone(),
    };
    let identity = reader.identity(&trust_domain, namespace.as_deref(), &service_account);
    let listen = Listen::read(reader);
    let dns = Dns::read(reader);
    let agent_ports = AgentPorts::read(&proxy_config, reader);
    let drain = DrainTimes::read(&proxy_config, reader);
    let (name, namespace) = (name?, namespace?);
    let domain = match &arguments.domain {
        Some(domain) => domain.clone(),
        None => format!("{namespace}.svc.cluster.local"),
    };
    Some(Config {
        pod: Pod {
            workload_name: reader.text("ISTIO_META_WORKLOAD_NAME", &name),
            cluster: reader.text("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            name,
            namespace,
            addresses: addresses?,
            domain,
        },
        identity: identity?,
        discovery: discovery?,
        authority: authority?,
        token_path: reader.text("LATEEN_TOKEN_PATH", TOKEN_PATH).into(),
        root_path: reader.text("LATEEN_ROOT_CERT_PATH", ROOT_PATH).into(),
        listen,
        dns,
        ports: agent_ports,
        workers: worker_count(arguments.concurrency.or(proxy_config.concurrency)),
        drain,
        app_probers: (reader.lookup)("ISTIO_KUBE_APP_PROBERS"),
        prometheus_annotations: (reader.lookup)("ISTIO_PROMETHEUS_ANNOTATIONS"),
        log: Log {
            filter: arguments.log_filter(),
            json: arguments.log_as_json,
        },
    })
}

impl Listen {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            bind: reader.parsed("LATEEN_BIND_ADDRESS", IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            outbound: reader.parsed("LATEEN_OUTBOUND_PORT", ports::OUTBOUND),
            inbound: reader.parsed("LATEEN_INBOUND_PORT", ports::INBOUND),
            capture: Capture::Kernel,
            interception: reader.parsed("ISTIO_META_INTERCEPTION_MODE", Interception::Redirect),
        }
    }
}

impl FromStr for Interception {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "REDIRECT" | "NONE" => Ok(Self::Redirect),
            "TPROXY" => Ok(Self::Tproxy),
            _ => Err(format!("'{text}' is none of REDIRECT, TPROXY, NONE")),
        }
    }
}

impl AgentPorts {
    fn read(proxy_config: &ProxyConfig, reader: &mut Reader<'_>) -> Self {
        Self {
            status: proxy_config.status_port.unwrap_or(ports::STATUS),
            health: reader.parsed("ENVOY_STATUS_PORT", ports::HEALTH),
            metrics: reader.parsed("ENVOY_PROMETHEUS_PORT", ports::METRICS),
            admin: proxy_config.proxy_admin_port.unwrap_or(ports::ADMIN),
        }
    }
}

impl DrainTimes {
    fn read(proxy_config: &ProxyConfig, reader: &mut Reader<'_>) -> Self {
        Self {
            termination: proxy_config
                .termination_drain(reader)
                .unwrap_or(TERMINATION_DRAIN),
            minimum: reader.duration("MINIMUM_DRAIN_DURATION", TERMINATION_DRAIN),
        }
    }
}

/// `concurrency`: unset is one thread, 0 is one for each core.
fn worker_count(concurrency: Option<usize>) -> usize {
    match concurrency {
        None => 1,
        Some(0) => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        Some(count) => count,
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the proxy's configuration is wrong: {}",
            self.problems.join("; ")
        )
    }
}

/// Looks variables up and collects what is wrong with them.
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str, default: &str) -> String {
        (self.lookup)(name)
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| default.to_owned())
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let text = (self.lookup)(name).filter(|text| !text.is_empty());
        if text.is_none() {
            self.problems
                .push(format!("{name} is not set; injection sets it"));
        }
        text
    }

    fn parsed<T: FromStr>(&mut self, name: &str, default: T) -> T {
        let Some(text) = (self.lookup)(name).filter(|text| !text.is_empty()) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            self.problems.push(format!("{name}: cannot read '{text}'"));
            default
        })
    }

    fn addresses(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        let text = self.required(name)?;
        let parsed: Result<Vec<IpAddr>, _> = text
            .split(',')
            .map(|part| part.trim().parse::<IpAddr>())
            .collect();
        match parsed {
            Ok(addresses) => Some(addresses.iter().map(IpAddr::to_canonical).collect()),
            Err(_) => {
                self.problems
                    .push(format!("{name}: '{text}' is not an address"));
                None
            }
        }
    }

    fn host_port(&mut self, name: &str, text: &str) -> Option<HostPort> {
        text.parse()
            .map_err(|problem| self.problems.push(format!("{name}: {problem}")))
            .ok()
    }

    fn identity(
        &mut self,
        trust_domain: &str,
        namespace: Option<&str>,
        service_account: &str,
    ) -> Option<Identity> {
        Identity::new(trust_domain, namespace?, service_account)
            .map_err(|problem| self.problems.push(problem.to_string()))
            .ok()
    }

    fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let Some(text) = (self.lookup)(name).filter(|text| !text.is_empty()) else {
            return default;
        };
        proxy_config::parse_duration(&text).unwrap_or_else(|| {
            self.problems
                .push(format!("{name}: '{text}' is not a duration such as 5s"));
            default
        })
    }

    fn proxy_config(&mut self) -> ProxyConfig {
        let Some(text) = (self.lookup)("PROXY_CONFIG").filter(|text| !text.trim().is_empty())
        else {
            return ProxyConfig::default();
        };
        serde_json::from_str(&text).unwrap_or_else(|problem| {
            self.problems.push(format!(
                "PROXY_CONFIG is not the JSON of a ProxyConfig: {problem}"
            ));
            ProxyConfig::default()
        })
    }
}
