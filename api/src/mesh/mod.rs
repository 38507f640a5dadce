//! Settings of the whole mesh: Istio's `MeshConfig`, found in ConfigMap `istio` under key `mesh`.

mod proxy_config;
mod proxy_metadata;
mod unsupported;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use lateen_wire::names;

use crate::{Duration, Error, Parsed, document};

pub use proxy_config::{InterceptionMode, ProxyConfig, ProxyImage};
pub use proxy_metadata::{WrongVariable, wrong_variables};

const KIND: &str = "MeshConfig";

/// Settings of the whole mesh. Fields that Lateen does not act on yet keep the form they were
/// written in; [`MeshConfig::parse`] names those that are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MeshConfig {
    /// Trust domain of every identity of the mesh.
    pub trust_domain: String,
    /// Other trust domains whose identities count as our own.
    pub trust_domain_aliases: Vec<String>,
    /// Namespace whose policies hold for the whole mesh.
    pub root_namespace: String,
    /// How long a proxy tries to connect to an endpoint.
    pub connect_timeout: Duration,
    /// How long a proxy waits for first bytes that tell the protocol; `None` is Lateen's own
    /// default, zero waits for ever.
    pub protocol_detection_timeout: Option<Duration>,
    /// Proxies use mutual TLS wherever both ends have a sidecar.
    pub enable_auto_mtls: bool,
    /// What becomes of connections to destinations that nobody knows.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// File for access logs, such as `/dev/stdout`; empty is no access log.
    pub access_log_file: String,
    /// Form of a line of the access log.
    pub access_log_encoding: AccessLogEncoding,
    /// Format of a line of the access log; empty is the default format of the encoding.
    pub access_log_format: String,
    /// The agent's metrics page includes the application's.
    pub enable_prometheus_merge: bool,
    /// Settings of every proxy, unless its pod says otherwise.
    pub default_config: ProxyConfig,

    /// Tracing is on wherever a provider is set.
    pub enable_tracing: bool,
    /// Where telemetry and authorization may be sent, by name.
    pub extension_providers: Vec<Value>,
    /// Names of providers for those who name none.
    pub default_providers: Option<Value>,
    /// Port of the proxy for captured outbound connections.
    pub proxy_listen_port: u16,
    /// Port of the proxy for captured inbound connections.
    pub proxy_inbound_listen_port: u16,
    /// Port of an HTTP forward proxy; 0 is none.
    pub proxy_http_port: u16,
    /// Keep-alive probes of TCP.
    pub tcp_keepalive: Option<Value>,
    /// Class of the `Ingress` resources that are ours.
    pub ingress_class: String,
    /// Service of the ingress gateway.
    pub ingress_service: String,
    /// `OFF`, `DEFAULT` or `STRICT`: which `Ingress` resources are ours.
    pub ingress_controller_mode: String,
    /// Label value of the ingress gateway's pods.
    pub ingress_selector: String,
    /// Access logs go to a gRPC service.
    pub enable_envoy_access_log_service: bool,
    /// Connections that match no listener are not logged.
    pub disable_envoy_listener_log: bool,
    /// What becomes of inbound connections to ports without a Service.
    pub inbound_traffic_policy: Option<Value>,
    /// Further sources of configuration.
    pub config_sources: Vec<Value>,
    /// Further root certificates.
    pub ca_certificates: Vec<Value>,
    /// An external certificate authority.
    pub ca: Option<Value>,
    /// DNS certificates to issue.
    pub certificates: Vec<Value>,
    /// Who sees Services that do not say so.
    pub default_service_export_to: Vec<String>,
    /// Who sees VirtualServices that do not say so.
    pub default_virtual_service_export_to: Vec<String>,
    /// Who sees DestinationRules that do not say so.
    pub default_destination_rule_export_to: Vec<String>,
    /// Balancing by locality.
    pub locality_lb_setting: Option<Value>,
    /// How often DNS names of endpoints are resolved.
    pub dns_refresh_rate: Duration,
    /// Whether HTTP/1.1 is carried over HTTP/2 between proxies.
    pub h2_upgrade_policy: String,
    /// Pattern of names in statistics, inbound.
    pub inbound_cluster_stat_name: String,
    /// Pattern of names in statistics, outbound.
    pub outbound_cluster_stat_name: String,
    /// TLS settings without names or roots verify the peer by default.
    pub verify_certificate_at_client: Option<bool>,
    /// Namespaces that control looks at.
    pub discovery_selectors: Vec<Value>,
    /// How paths are normalised before they are compared.
    pub path_normalization: Option<Value>,
    /// Retries of routes that name none.
    pub default_http_retry_policy: Option<Value>,
    /// Traffic policy of hosts that have none.
    pub default_traffic_policy: Option<Value>,
    /// TLS versions and ciphers between proxies.
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: Option<Value>,
    /// TLS versions and ciphers of everything else.
    pub tls_defaults: Option<Value>,
    /// Services that belong to one cluster.
    pub service_settings: Vec<Value>,
    /// Services of ambient mode that are global.
    pub service_scope_configs: Vec<Value>,
    /// Rate limits of Thrift.
    pub thrift_config: Option<Value>,
    /// How long an idle tunnel of ambient mode stays open.
    pub hbone_idle_timeout: Option<Duration>,
}

impl MeshConfig {
    /// Reads the YAML of key `mesh`. An empty text is the default configuration.
    ///
    /// # Errors
    /// When the text is not YAML, or a field has a value it cannot have; the error names both.
    pub fn parse(yaml: &str) -> Result<Parsed<Self>, Error> {
        let value = document::read(KIND, yaml)?;
        let (config, unknown) = document::check(KIND, &value)?;
        let mut not_honoured = document::not_honoured(unsupported::MESH_CONFIG, &value);
        if let Some(proxy) = value.get("defaultConfig") {
            let fields = document::not_honoured(unsupported::PROXY_CONFIG, proxy);
            not_honoured.extend(fields.into_iter().map(|field| document::NotHonoured {
                path: format!("defaultConfig.{}", field.path),
                ..field
            }));
        }
        Ok(Parsed {
            config,
            not_honoured,
            unknown,
        })
    }
}

impl Default for MeshConfig {
    fn default() -> Self {
        let everybody = || vec!["*".to_owned()];
        Self {
            trust_domain: names::TRUST_DOMAIN.to_owned(),
            trust_domain_aliases: Vec::new(),
            root_namespace: names::SYSTEM_NAMESPACE.to_owned(),
            connect_timeout: Duration::from_secs(10),
            protocol_detection_timeout: None,
            enable_auto_mtls: true,
            outbound_traffic_policy: OutboundTrafficPolicy::default(),
            access_log_file: String::new(),
            access_log_encoding: AccessLogEncoding::Text,
            access_log_format: String::new(),
            enable_prometheus_merge: true,
            default_config: ProxyConfig::default(),
            enable_tracing: true,
            extension_providers: Vec::new(),
            default_providers: None,
            proxy_listen_port: lateen_wire::ports::OUTBOUND,
            proxy_inbound_listen_port: lateen_wire::ports::INBOUND,
            proxy_http_port: 0,
            tcp_keepalive: None,
            ingress_class: "istio".to_owned(),
            ingress_service: "istio-ingressgateway".to_owned(),
            ingress_controller_mode: "STRICT".to_owned(),
            ingress_selector: String::new(),
            enable_envoy_access_log_service: false,
            disable_envoy_listener_log: false,
            inbound_traffic_policy: None,
            config_sources: Vec::new(),
            ca_certificates: Vec::new(),
            ca: None,
            certificates: Vec::new(),
            default_service_export_to: everybody(),
            default_virtual_service_export_to: everybody(),
            default_destination_rule_export_to: everybody(),
            locality_lb_setting: None,
            dns_refresh_rate: Duration::from_secs(60),
            h2_upgrade_policy: "DO_NOT_UPGRADE".to_owned(),
            inbound_cluster_stat_name: String::new(),
            outbound_cluster_stat_name: String::new(),
            verify_certificate_at_client: None,
            discovery_selectors: Vec::new(),
            path_normalization: None,
            default_http_retry_policy: None,
            default_traffic_policy: None,
            mesh_mtls: None,
            tls_defaults: None,
            service_settings: Vec::new(),
            service_scope_configs: Vec::new(),
            thrift_config: None,
            hbone_idle_timeout: None,
        }
    }
}

/// What becomes of connections to destinations that nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundTrafficPolicy {
    /// Whether they are let out.
    pub mode: OutboundTrafficMode,
}

/// Whether connections to unknown destinations are let out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundTrafficMode {
    /// They go to the address the application asked for.
    #[default]
    AllowAny,
    /// As [`Self::AllowAny`], with names resolved by the proxy.
    AllowAnyDynamicDns,
    /// They are refused.
    RegistryOnly,
}

/// Form of a line of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessLogEncoding {
    /// One JSON object.
    Json,
    /// Plain text.
    #[default]
    Text,
}
