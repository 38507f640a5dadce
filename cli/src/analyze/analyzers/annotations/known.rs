//! Istio's annotations (istio.io/docs/reference/config/annotations): where they have an effect, and how
//! mature they are.

/// Objects of any kind.
pub(super) const ANY: &str = "Any";

/// What is known of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Kinds of objects that it has an effect on.
    pub(super) kinds: &'static [&'static str],
    pub(super) maturity: Maturity,
}

/// How mature an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maturity {
    /// Nothing else is said.
    Settled,
    /// It may change.
    Alpha,
    /// There is something better.
    Deprecated,
    /// Both.
    DeprecatedAlpha,
}

impl Maturity {
    pub(super) fn is_alpha(self) -> bool {
        matches!(self, Self::Alpha | Self::DeprecatedAlpha)
    }

    pub(super) fn is_deprecated(self) -> bool {
        matches!(self, Self::Deprecated | Self::DeprecatedAlpha)
    }
}

/// Annotations of the same kinds and maturity.
type Group = (&'static [&'static str], Maturity, &'static [&'static str]);

/// What is known of an annotation, if it is one of Istio's.
pub(super) fn known(key: &str) -> Option<Known> {
    let mut groups = GROUPS.iter();
    groups.find_map(|(kinds, maturity, keys)| {
        let (kinds, maturity) = (*kinds, *maturity);
        keys.contains(&key).then_some(Known { kinds, maturity })
    })
}

const POD: &[&str] = &["Pod"];
const GATEWAY: &[&str] = &["Gateway"];
const WORKLOAD_ENTRY: &[&str] = &["WorkloadEntry"];

const GROUPS: &[Group] = &[
    (
        POD,
        Maturity::Alpha,
        &[
            "ambient.istio.io/bypass-inbound-capture",
            "ambient.istio.io/dns-capture",
            "inject.istio.io/templates",
            "istio.io/reroute-virtual-interfaces",
            "istio.io/rev",
            "prometheus.istio.io/merge-metrics",
            "proxy.istio.io/overrides",
            "readiness.status.sidecar.istio.io/applicationPorts",
            "readiness.status.sidecar.istio.io/failureThreshold",
            "readiness.status.sidecar.istio.io/initialDelaySeconds",
            "readiness.status.sidecar.istio.io/periodSeconds",
            "sidecar.istio.io/agentLogLevel",
            "sidecar.istio.io/bootstrapOverride",
            "sidecar.istio.io/componentLogLevel",
            "sidecar.istio.io/interceptionMode",
            "sidecar.istio.io/logLevel",
            "sidecar.istio.io/nativeSidecar",
            "sidecar.istio.io/proxyCPU",
            "sidecar.istio.io/proxyCPULimit",
            "sidecar.istio.io/proxyImage",
            "sidecar.istio.io/proxyImageType",
            "sidecar.istio.io/proxyMemory",
            "sidecar.istio.io/rewriteAppHTTPProbers",
            "sidecar.istio.io/statsEvictionInterval",
            "sidecar.istio.io/statsFlushInterval",
            "sidecar.istio.io/statsHistogramBins",
            "sidecar.istio.io/statsHistogramBuckets",
            "sidecar.istio.io/status",
            "sidecar.istio.io/userVolume",
            "status.sidecar.istio.io/port",
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "traffic.sidecar.istio.io/excludeInterfaces",
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "traffic.sidecar.istio.io/excludeOutboundPorts",
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "traffic.sidecar.istio.io/includeOutboundPorts",
        ],
    ),
    (
        POD,
        Maturity::DeprecatedAlpha,
        &[
            "sidecar.istio.io/discoveryAddress",
            "sidecar.istio.io/extraStatTags",
            "sidecar.istio.io/statsCompression",
            "sidecar.istio.io/statsInclusionPrefixes",
            "sidecar.istio.io/statsInclusionRegexps",
            "sidecar.istio.io/statsInclusionSuffixes",
            "traffic.sidecar.istio.io/kubevirtInterfaces",
        ],
    ),
    (POD, Maturity::Deprecated, &["sidecar.istio.io/inject"]),
    (
        POD,
        Maturity::Settled,
        &[
            "ambient.istio.io/redirection",
            "prometheus.istio.io/scrape-targets",
            "prometheus.istio.io/secure-port",
            "proxy.istio.io/config",
            "sidecar.istio.io/capNetBindService",
            "sidecar.istio.io/proxyMemoryLimit",
            "sidecar.istio.io/userVolumeMount",
            "traffic.sidecar.istio.io/includeInboundPorts",
        ],
    ),
    (
        &["Service"],
        Maturity::Settled,
        &["traffic.istio.io/nodeSelector"],
    ),
    (
        &["Service"],
        Maturity::Alpha,
        &["networking.istio.io/exportTo"],
    ),
    (
        &["Service"],
        Maturity::DeprecatedAlpha,
        &[
            "alpha.istio.io/canonical-serviceaccounts",
            "alpha.istio.io/kubernetes-serviceaccounts",
        ],
    ),
    (
        &["Namespace", "Service", "ServiceEntry"],
        Maturity::Alpha,
        &[
            "istio.io/use-waypoint-canary-weight",
            "networking.istio.io/traffic-distribution",
        ],
    ),
    (
        &["Namespace"],
        Maturity::Alpha,
        &["topology.istio.io/controlPlaneClusters"],
    ),
    (
        &["Ingress"],
        Maturity::Settled,
        &["kubernetes.io/ingress.class"],
    ),
    (
        &["AuthorizationPolicy"],
        Maturity::Alpha,
        &["istio.io/dry-run"],
    ),
    (
        WORKLOAD_ENTRY,
        Maturity::Alpha,
        &[
            "istio.io/autoRegistrationGroup",
            "istio.io/connectedAt",
            "istio.io/disconnectedAt",
            "istio.io/workloadController",
        ],
    ),
    (
        GATEWAY,
        Maturity::Alpha,
        &[
            "gateway.istio.io/name-override",
            "gateway.istio.io/service-account",
            "networking.istio.io/service-type",
        ],
    ),
    (
        &["Gateway", "GatewayClass"],
        Maturity::Alpha,
        &["ambient.istio.io/waypoint-inbound-binding"],
    ),
    (
        &[ANY],
        Maturity::Alpha,
        &[
            "galley.istio.io/analyze-suppress",
            "gateway.istio.io/controller-version",
        ],
    ),
];
