//! Keys of annotations and labels that only the injector deals with, spelt as Istio spells them
//! (resource annotations and resource labels of istio.io/docs/reference/config).

pub(crate) const TEMPLATES: &str = "inject.istio.io/templates";
pub(crate) const PROXY_CONFIG: &str = "proxy.istio.io/config";
pub(crate) const OVERRIDES: &str = "proxy.istio.io/overrides";

pub(crate) const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
pub(crate) const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
pub(crate) const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
pub(crate) const PROXY_IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";
pub(crate) const PROXY_CPU: &str = "sidecar.istio.io/proxyCPU";
pub(crate) const PROXY_CPU_LIMIT: &str = "sidecar.istio.io/proxyCPULimit";
pub(crate) const PROXY_MEMORY: &str = "sidecar.istio.io/proxyMemory";
pub(crate) const PROXY_MEMORY_LIMIT: &str = "sidecar.istio.io/proxyMemoryLimit";
pub(crate) const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
pub(crate) const COMPONENT_LOG_LEVEL: &str = "sidecar.istio.io/componentLogLevel";
pub(crate) const AGENT_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
pub(crate) const BOOTSTRAP_OVERRIDE: &str = "sidecar.istio.io/bootstrapOverride";
pub(crate) const DISCOVERY_ADDRESS: &str = "sidecar.istio.io/discoveryAddress";
pub(crate) const EXTRA_STAT_TAGS: &str = "sidecar.istio.io/extraStatTags";
pub(crate) const USER_VOLUME: &str = "sidecar.istio.io/userVolume";
pub(crate) const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";
pub(crate) const CAP_NET_BIND_SERVICE: &str = "sidecar.istio.io/capNetBindService";
pub(crate) const REWRITE_PROBES: &str = "sidecar.istio.io/rewriteAppHTTPProbers";

pub(crate) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(crate) const READINESS_INITIAL_DELAY: &str =
    "readiness.status.sidecar.istio.io/initialDelaySeconds";
pub(crate) const READINESS_PERIOD: &str = "readiness.status.sidecar.istio.io/periodSeconds";
pub(crate) const READINESS_FAILURES: &str = "readiness.status.sidecar.istio.io/failureThreshold";
pub(crate) const READINESS_PORTS: &str = "readiness.status.sidecar.istio.io/applicationPorts";

pub(crate) const INCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
pub(crate) const EXCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
pub(crate) const INCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeInboundPorts";
pub(crate) const EXCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
pub(crate) const INCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
pub(crate) const EXCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
pub(crate) const EXCLUDE_INTERFACES: &str = "traffic.sidecar.istio.io/excludeInterfaces";
pub(crate) const KUBEVIRT_INTERFACES: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
pub(crate) const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";

pub(crate) const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
pub(crate) const SCRAPE_TARGETS: &str = "prometheus.istio.io/scrape-targets";
pub(crate) const SECURE_PORT: &str = "prometheus.istio.io/secure-port";
pub(crate) const PROMETHEUS_PORT: &str = "prometheus.io/port";
pub(crate) const PROMETHEUS_PATH: &str = "prometheus.io/path";
pub(crate) const PROMETHEUS_SCRAPE: &str = "prometheus.io/scrape";

pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
pub(crate) const DEFAULT_LOGS_CONTAINER: &str = "kubectl.kubernetes.io/default-logs-container";

pub(crate) const NETWORK: &str = "topology.istio.io/network";
pub(crate) const TUNNEL: &str = "networking.istio.io/tunnel";
