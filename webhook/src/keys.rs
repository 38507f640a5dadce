//! Keys of annotations and labels that only the injector deals with, spelt as Istio spells them
//! (resource annotations and resource labels of istio.io/docs/reference/config).

use lateen_wire::names;

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
pub(crate) const STATISTICS_LISTS: [&str; 4] = [
    "sidecar.istio.io/statsInclusionPrefixes",
    "sidecar.istio.io/statsInclusionSuffixes",
    "sidecar.istio.io/statsInclusionRegexps",
    "sidecar.istio.io/statsHistogramBins",
];
pub(crate) const STATISTICS_INTERVALS: [&str; 2] = [
    "sidecar.istio.io/statsFlushInterval",
    "sidecar.istio.io/statsEvictionInterval",
];
pub(crate) const STATISTICS_BUCKETS: &str = "sidecar.istio.io/statsHistogramBuckets";
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

pub(crate) const MULTUS_NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub(crate) const DATADOG_VARIABLES: &str = "apm.datadoghq.com/env";
pub(crate) const OTEL_NAMESPACE: &str = "resource.opentelemetry.io/service.namespace";
pub(crate) const OTEL_VERSION: &str = "resource.opentelemetry.io/service.version";
pub(crate) const OTEL_INSTANCE: &str = "resource.opentelemetry.io/service.instance.id";

/// Annotations that have an effect on a pod, or would have one in Istio, but for those that others
/// share with us.
pub(crate) const ANNOTATIONS: &[&str] = &[
    names::INJECT,
    names::STATUS,
    TEMPLATES,
    PROXY_CONFIG,
    OVERRIDES,
    NATIVE_SIDECAR,
    INTERCEPTION_MODE,
    PROXY_IMAGE,
    PROXY_IMAGE_TYPE,
    PROXY_CPU,
    PROXY_CPU_LIMIT,
    PROXY_MEMORY,
    PROXY_MEMORY_LIMIT,
    LOG_LEVEL,
    COMPONENT_LOG_LEVEL,
    AGENT_LOG_LEVEL,
    BOOTSTRAP_OVERRIDE,
    DISCOVERY_ADDRESS,
    EXTRA_STAT_TAGS,
    USER_VOLUME,
    USER_VOLUME_MOUNT,
    CAP_NET_BIND_SERVICE,
    REWRITE_PROBES,
    STATUS_PORT,
    READINESS_INITIAL_DELAY,
    READINESS_PERIOD,
    READINESS_FAILURES,
    READINESS_PORTS,
    INCLUDE_OUTBOUND_RANGES,
    EXCLUDE_OUTBOUND_RANGES,
    INCLUDE_INBOUND_PORTS,
    EXCLUDE_INBOUND_PORTS,
    INCLUDE_OUTBOUND_PORTS,
    EXCLUDE_OUTBOUND_PORTS,
    EXCLUDE_INTERFACES,
    KUBEVIRT_INTERFACES,
    REROUTE_INTERFACES,
    MERGE_METRICS,
    SCRAPE_TARGETS,
    SECURE_PORT,
];

/// Labels that have an effect on a pod.
pub(crate) const LABELS: &[&str] = &[
    names::INJECT,
    names::REVISION,
    names::TLS_MODE,
    names::CANONICAL_NAME,
    names::CANONICAL_REVISION,
    names::WORKLOAD_NAME,
    NETWORK,
    TUNNEL,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_golden_row() {
        let rows = include_str!("../tests/golden/rows.yaml");
        let has_row = |key: &&&str| rows.contains(&format!("- {{row: {key}, case: "));
        let keys = ANNOTATIONS.iter().chain(LABELS);
        let statistics = STATISTICS_LISTS.iter().chain(&STATISTICS_INTERVALS);
        let all = keys.chain(statistics).chain([&STATISTICS_BUCKETS]);
        let missing: Vec<&&str> = all.filter(|key| !has_row(key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
