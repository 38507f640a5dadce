//! Settings, from the environment and from flags that Istio's charts pass too.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use lateen_wire::resource::Host;
use lateen_wire::{Revision, names, ports};
use tracing_subscriber::filter::Targets;

use crate::ca::Lifetimes;
use crate::snapshot::Cluster;

/// Port of `/ready`.
const HEALTH: u16 = 8080;

/// All settings of the process.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Name of our pod; who we are in the leader election.
    #[arg(long, env = "POD_NAME", default_value = "istiod")]
    pub pod_name: String,
    /// Namespace of our pod.
    #[arg(long, env = "POD_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    pub pod_namespace: String,
    /// Revision of this control plane.
    #[arg(long, env = "REVISION", default_value = names::DEFAULT_REVISION)]
    pub revision: Revision,
    /// Name of the cluster in metrics.
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// DNS domain of the cluster.
    #[arg(long, env = "CLUSTER_DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub domain: String,
    /// Audience of the tokens that workloads prove themselves with.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = names::TOKEN_AUDIENCE)]
    pub token_audience: String,
    /// Life of workload certificates for those who ask for none, such as 24h or 1m.
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", default_value = "24h", value_parser = duration)]
    pub default_certificate_life: Duration,
    /// Longest life of workload certificates.
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", default_value = "2160h", value_parser = duration)]
    pub longest_certificate_life: Duration,
    /// Where discovery and the certificate authority listen.
    #[arg(long = "secureGRPCAddr", default_value_t = everywhere(ports::DISCOVERY), value_parser = address)]
    pub grpc_address: SocketAddr,
    /// Where metrics and debug pages are.
    #[arg(long = "monitoringAddr", default_value_t = everywhere(ports::MONITORING), value_parser = address)]
    pub monitoring_address: SocketAddr,
    /// Where `/ready` is.
    #[arg(long = "httpAddr", default_value_t = everywhere(HEALTH), value_parser = address)]
    pub health_address: SocketAddr,
    /// What is logged: a level, or `module=level` with commas.
    #[arg(long = "log_output_level", env = "RUST_LOG", default_value = "info")]
    pub log_level: Targets,
}

impl Config {
    /// What does not change about the cluster.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster {
            id: self.cluster_id.clone(),
            domain: self.domain.clone(),
        }
    }

    /// Lifetimes of workload certificates.
    #[must_use]
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            default: self.default_certificate_life,
            longest: self.longest_certificate_life,
        }
    }

    /// The DNS names that control serves under. Proxies of any revision may ask any control, so the
    /// default one's are among them.
    #[must_use]
    pub fn server_names(&self) -> Vec<String> {
        let mut names = self.service_names(names::CONTROL);
        if !self.revision.is_default() {
            names.extend(self.names_of(names::CONTROL));
        }
        names
    }

    /// The DNS names of our revision's Service of that name, in our namespace.
    #[must_use]
    pub fn service_names(&self, service: &str) -> Vec<String> {
        self.names_of(&self.revision.name_of(service))
    }

    fn names_of(&self, service: &str) -> Vec<String> {
        let (namespace, domain) = (&self.pod_namespace, &self.domain);
        vec![
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{domain}"),
        ]
    }
}

const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<lateen_api::Duration>()
        .map_err(|error| error.to_string())?;
    if parsed == lateen_api::Duration::ZERO {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(parsed.into())
}

/// Names are compared in lower case and without the trailing dot.
fn domain(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Some(Host::Name(domain)) => Ok(domain),
        _ => Err(format!(
            "'{text}' is not a DNS domain, such as cluster.local"
        )),
    }
}

/// Go's form of an address, in which the host may be left out: `:15012`.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port
            .parse()
            .map_err(|_| format!("'{port}' is not a port"))?;
        return Ok(everywhere(port));
    }
    text.parse()
        .map_err(|_| format!("'{text}' is not ADDRESS:PORT or :PORT"))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn config(flags: &[&str]) -> Config {
        let command = Config::augment_args(Command::new("discovery"));
        let matches = command.try_get_matches_from([&["discovery"], flags].concat());
        Config::from_arg_matches(&matches.unwrap()).unwrap()
    }

    #[test]
    fn a_revision_serves_under_its_own_names_and_the_default_ones() {
        let config = config(&["--revision", "canary"]);
        let served = config.server_names();
        for name in ["istiod-canary.istio-system.svc", "istiod.istio-system.svc"] {
            assert!(served.iter().any(|known| known == name), "{served:?}");
        }
        let injector = config.service_names("istio-sidecar-injector");
        assert_eq!(injector[0], "istio-sidecar-injector-canary");
        assert_eq!(injector.len(), 4);
    }

    #[test]
    fn the_clusters_domain_is_in_our_names() {
        let config = config(&["--domain", "Corp.Example."]);
        assert_eq!(config.cluster().domain, "corp.example");
        assert_eq!(
            config.service_names("istiod"),
            [
                "istiod",
                "istiod.istio-system",
                "istiod.istio-system.svc",
                "istiod.istio-system.svc.corp.example",
            ]
        );
        assert!(domain("10.0.0.1").is_err() && domain("").is_err());
    }

    #[test]
    fn addresses_are_read_in_go_form_too() {
        assert_eq!(address(":15012"), Ok("[::]:15012".parse().unwrap()));
        assert_eq!(address("127.0.0.1:1"), Ok("127.0.0.1:1".parse().unwrap()));
        assert!(address("localhost").is_err());
    }

    #[test]
    fn a_lifetime_is_a_duration_longer_than_nothing() {
        assert_eq!(duration("24h0m0s"), Ok(Duration::from_secs(86_400)));
        assert!(duration("0s").is_err());
        assert!(duration("a day").is_err());
    }
}
