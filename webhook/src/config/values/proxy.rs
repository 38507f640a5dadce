//! Values of the proxy's containers: `global.proxy` and `global.proxy_init`.

use k8s_openapi::api::core::v1::{Lifecycle, ResourceRequirements, SeccompProfile};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use lateen_wire::ports;
use serde::Deserialize;

use super::{text, unless_empty};

/// Values under `global.proxy`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Proxy {
    /// Image: a name below the hub, or a whole reference if it holds a `/`.
    pub image: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Log level of the proxy.
    pub log_level: String,
    /// `COMPONENT:LEVEL,...` of the proxy.
    pub component_log_level: String,
    /// File for the proxy's log of endpoints that failed; empty is none.
    pub outlier_log_path: String,
    /// Kind of the tracer, such as `datadog`.
    pub tracer: String,
    /// The containers are privileged.
    pub privileged: bool,
    /// The proxy may listen on ports below 1024.
    pub cap_net_bind_service: bool,
    /// seccomp profile of the injected containers.
    #[serde(deserialize_with = "unless_empty")]
    pub seccomp_profile: Option<SeccompProfile>,
    /// Resources of the injected containers.
    pub resources: ResourceRequirements,
    /// Hooks of the proxy's container in place of the usual ones.
    #[serde(deserialize_with = "unless_empty")]
    pub lifecycle: Option<Lifecycle>,
    /// Containers of the application start only when the proxy is ready.
    pub hold_application_until_proxy_starts: bool,
    /// Containers of the application are told to stop only when their callers have left. A field of
    /// our own, which Istio's values do not have: false unless set.
    pub hold_application_until_callers_leave: bool,
    /// Port of the agent's status page.
    pub status_port: u16,
    /// `initialDelaySeconds` of the proxy's readiness probe.
    pub readiness_initial_delay_seconds: i32,
    /// `periodSeconds` of the proxy's readiness probe.
    pub readiness_period_seconds: i32,
    /// `failureThreshold` of the proxy's readiness probe.
    pub readiness_failure_threshold: i32,
    /// The proxy's startup probe.
    pub startup_probe: StartupProbe,
    /// Outbound ranges to capture.
    #[serde(rename = "includeIPRanges")]
    pub include_ip_ranges: String,
    /// Outbound ranges to leave alone.
    #[serde(rename = "excludeIPRanges")]
    pub exclude_ip_ranges: String,
    /// Inbound ports to capture.
    #[serde(deserialize_with = "text")]
    pub include_inbound_ports: String,
    /// Inbound ports to leave alone.
    #[serde(deserialize_with = "text")]
    pub exclude_inbound_ports: String,
    /// Outbound ports to capture whatever the range.
    #[serde(deserialize_with = "text")]
    pub include_outbound_ports: String,
    /// Outbound ports to leave alone.
    #[serde(deserialize_with = "text")]
    pub exclude_outbound_ports: String,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            image: "proxyv2".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            log_level: "warning".to_owned(),
            component_log_level: "misc:error".to_owned(),
            outlier_log_path: String::new(),
            tracer: "none".to_owned(),
            privileged: false,
            cap_net_bind_service: false,
            seccomp_profile: None,
            resources: default_resources(),
            lifecycle: None,
            hold_application_until_proxy_starts: false,
            hold_application_until_callers_leave: false,
            status_port: ports::STATUS,
            readiness_initial_delay_seconds: 0,
            readiness_period_seconds: 15,
            readiness_failure_threshold: 4,
            startup_probe: StartupProbe::default(),
            include_ip_ranges: "*".to_owned(),
            exclude_ip_ranges: String::new(),
            include_inbound_ports: "*".to_owned(),
            exclude_inbound_ports: String::new(),
            include_outbound_ports: String::new(),
            exclude_outbound_ports: String::new(),
        }
    }
}

fn default_resources() -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        let amount = |(name, amount): (&str, &str)| (name.to_owned(), Quantity(amount.to_owned()));
        Some([("cpu", cpu), ("memory", memory)].map(amount).into())
    };
    ResourceRequirements {
        requests: amounts("100m", "128Mi"),
        limits: amounts("2000m", "1024Mi"),
        ..ResourceRequirements::default()
    }
}

/// Values under `global.proxy.startupProbe`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StartupProbe {
    /// The proxy has a startup probe.
    pub enabled: bool,
    /// `failureThreshold` of the startup probe, which is tried once a second.
    pub failure_threshold: i32,
}

impl Default for StartupProbe {
    fn default() -> Self {
        Self {
            enabled: true,
            failure_threshold: 600,
        }
    }
}

/// Values under `global.proxy_init`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyInit {
    /// Image: a name below the hub, or a whole reference if it holds a `/`.
    pub image: String,
    /// Rules are written even when they seem to be there.
    pub force_apply_iptables: bool,
    /// What programs redirection. A field of our own, which Istio's values do not have.
    pub backend: Backend,
}

/// What programs redirection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The programs of iptables where they work, nf_tables where they do not.
    #[default]
    Auto,
    /// The programs of iptables.
    Iptables,
    /// nf_tables over netlink.
    Nftables,
}

impl Backend {
    /// How `istio-iptables` is told. It finds out by itself unless it is, so that a pod's own
    /// environment can say.
    pub(crate) const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Iptables => Some("--backend=iptables"),
            Self::Nftables => Some("--backend=nftables"),
        }
    }
}

impl Default for ProxyInit {
    fn default() -> Self {
        Self {
            image: "proxyv2".to_owned(),
            force_apply_iptables: false,
            backend: Backend::default(),
        }
    }
}
