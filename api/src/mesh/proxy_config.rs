//! Settings of one proxy: Istio's `ProxyConfig`, the mesh's `defaultConfig` overlaid by the pod's
//! annotation `proxy.istio.io/config`, and handed to the proxy in its environment `PROXY_CONFIG`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use lateen_wire::ports;

use super::proxy_metadata::wrong_variables;
use super::unsupported;
use crate::{Duration, Error, Parsed, document};

const KIND: &str = "ProxyConfig";

/// Settings of one proxy. Fields that Lateen does not act on yet keep the form they were written in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyConfig {
    /// Where control is: `HOST:PORT`.
    pub discovery_address: String,
    /// Containers of the application start only when the proxy is ready.
    pub hold_application_until_proxy_starts: bool,
    /// How connections reach the proxy.
    pub interception_mode: InterceptionMode,
    /// Environment variables of the proxy's container.
    pub proxy_metadata: BTreeMap<String, String>,
    /// Port of the agent's status page.
    pub status_port: u16,
    /// Worker threads; `None` follows the container's CPU limit, 0 is all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long connections may finish while a listener drains.
    pub drain_duration: Duration,
    /// How long the proxy stays after it was asked to end.
    pub termination_drain_duration: Duration,
    /// Variant of the proxy's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ProxyImage>,
    /// Name of the mesh in telemetry; empty is the trust domain.
    pub mesh_id: String,

    /// Folder for generated configuration.
    pub config_path: String,
    /// Path of the proxy's program.
    pub binary_path: String,
    /// Bootstrap file that replaces the generated one.
    pub custom_config_file: String,
    /// Name of the service in old statistics.
    pub service_cluster: String,
    /// How the service is named in traces.
    pub tracing_service_name: String,
    /// Delay between polls of old discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_refresh_delay: Option<Duration>,
    /// Old form of `tracing.zipkin.address`.
    pub zipkin_address: String,
    /// Where statistics are sent by StatsD.
    pub statsd_udp_address: String,
    /// Port of the proxy's admin page.
    pub proxy_admin_port: u16,
    /// How proxies prove themselves to control.
    pub control_plane_auth_policy: String,
    /// Longest name of a statistic.
    pub stat_name_length: u32,
    /// Template of the bootstrap file.
    pub proxy_bootstrap_template_path: String,
    /// Tracing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Value>,
    /// Old secret discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sds: Option<Value>,
    /// gRPC service for access logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envoy_access_log_service: Option<Value>,
    /// gRPC service for metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envoy_metrics_service: Option<Value>,
    /// Runtime values of the proxy.
    pub runtime_values: BTreeMap<String, String>,
    /// Labels added to statistics.
    pub extra_stat_tags: Vec<String>,
    /// Proxies in front of a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_topology: Option<Value>,
    /// Readiness of applications outside Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Value>,
    /// Which of the proxy's own statistics are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_stats_matcher: Option<Value>,
    /// Further root certificates, as PEM.
    pub ca_certificates_pem: Vec<String>,
    /// Where private keys are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key_provider: Option<Value>,
    /// Headers that the proxy adds and removes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_headers: Option<Value>,
    /// How often log files are flushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_flush_interval: Option<Duration>,
    /// Bytes, in KiB, after which log files are flushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_flush_min_size_kb: Option<u32>,
    /// The metrics page may be compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_compression: Option<bool>,
}

impl ProxyConfig {
    /// Lays a YAML text, such as the value of annotation `proxy.istio.io/config`, over this
    /// configuration: entries of maps are added to ours, every other field replaces ours.
    ///
    /// # Errors
    /// When the text is not YAML, or a field has a value it cannot have; the error names both.
    pub fn merge(&self, yaml: &str) -> Result<Parsed<Self>, Error> {
        let overlay = document::read(KIND, yaml)?;
        let (mut config, unknown) = document::check::<Self>(KIND, &overlay)?;
        let not_honoured = document::not_honoured(unsupported::PROXY_CONFIG, &overlay);
        if let Some(wrong) = wrong_variables(&config.proxy_metadata).next() {
            return Err(Error::Field {
                kind: KIND,
                path: format!("proxyMetadata.{}", wrong.name),
                reason: wrong.reason,
            });
        }
        let mut fields = self.fields();
        let set = overlay.as_object().into_iter().flat_map(Map::keys);
        let mut written = config.fields();
        fields.extend(set.filter_map(|name| written.remove_entry(name)));
        let mut proxy_metadata = self.proxy_metadata.clone();
        let mut runtime_values = self.runtime_values.clone();
        proxy_metadata.append(&mut config.proxy_metadata);
        runtime_values.append(&mut config.runtime_values);
        let (merged, _) = document::check::<Self>(KIND, &Value::Object(fields))?;
        merged.check()?;
        let config = Self {
            proxy_metadata,
            runtime_values,
            ..merged
        };
        Ok(Parsed {
            config,
            not_honoured,
            unknown,
        })
    }

    /// Refuses values that are of the right type and that no proxy can work with.
    fn check(&self) -> Result<(), Error> {
        let addresses = [
            ("discoveryAddress", &self.discovery_address),
            ("zipkinAddress", &self.zipkin_address),
            ("statsdUdpAddress", &self.statsd_udp_address),
        ];
        let mut addresses = addresses.into_iter();
        let bad = addresses.find(|(_, address)| !address.is_empty() && !is_address(address));
        let whole_seconds = self.drain_duration.0.subsec_nanos() == 0;
        let (path, reason) = if let Some((field, address)) = bad {
            (field, format!("{address:?} is not HOST:PORT"))
        } else if self.proxy_admin_port == 0 {
            (
                "proxyAdminPort",
                "0 is not a port number from 1 to 65535".to_owned(),
            )
        } else if self.drain_duration == Duration::ZERO || !whole_seconds {
            let reason = format!("{} is not a whole number of seconds", self.drain_duration);
            ("drainDuration", reason)
        } else {
            return Ok(());
        };
        Err(Error::Field {
            kind: KIND,
            path: path.to_owned(),
            reason,
        })
    }

    /// The fields that differ from the defaults, as the proxy gets them in `PROXY_CONFIG`: `{}` for
    /// the default configuration.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let defaults = Self::default().fields();
        let mut fields = self.fields();
        fields.retain(|name, value| defaults.get(name) != Some(value));
        Value::Object(fields)
    }

    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => unreachable!("a struct with string keys is a JSON object"),
        }
    }
}

/// `HOST:PORT`, where the host is a name or an address.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:$()".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_legal);
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            discovery_address: format!("istiod.istio-system.svc:{}", ports::DISCOVERY),
            hold_application_until_proxy_starts: false,
            interception_mode: InterceptionMode::Redirect,
            proxy_metadata: BTreeMap::new(),
            status_port: ports::STATUS,
            concurrency: None,
            drain_duration: Duration::from_secs(45),
            termination_drain_duration: Duration::from_secs(5),
            image: None,
            mesh_id: String::new(),
            config_path: "./etc/istio/proxy".to_owned(),
            binary_path: "/usr/local/bin/envoy".to_owned(),
            custom_config_file: String::new(),
            service_cluster: "istio-proxy".to_owned(),
            tracing_service_name: "APP_LABEL_AND_NAMESPACE".to_owned(),
            discovery_refresh_delay: None,
            zipkin_address: String::new(),
            statsd_udp_address: String::new(),
            proxy_admin_port: ports::ADMIN,
            control_plane_auth_policy: "MUTUAL_TLS".to_owned(),
            stat_name_length: 189,
            proxy_bootstrap_template_path: String::new(),
            tracing: None,
            sds: None,
            envoy_access_log_service: None,
            envoy_metrics_service: None,
            runtime_values: BTreeMap::new(),
            extra_stat_tags: Vec::new(),
            gateway_topology: None,
            readiness_probe: None,
            proxy_stats_matcher: None,
            ca_certificates_pem: Vec::new(),
            private_key_provider: None,
            proxy_headers: None,
            file_flush_interval: None,
            file_flush_min_size_kb: None,
            stats_compression: None,
        }
    }
}

/// How connections reach the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InterceptionMode {
    /// Nothing is redirected.
    None,
    /// netfilter's REDIRECT.
    #[default]
    Redirect,
    /// netfilter's TPROXY for inbound connections.
    Tproxy,
}

impl InterceptionMode {
    /// The mode as annotations and `ISTIO_META_INTERCEPTION_MODE` spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Redirect => "REDIRECT",
            Self::Tproxy => "TPROXY",
        }
    }
}

/// Variant of the proxy's image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyImage {
    /// `default`, `debug` or `distroless`; a suffix of the image's tag.
    pub image_type: String,
}
