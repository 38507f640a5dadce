//! Settings that Istio has and Lateen does not act on yet: whoever sets one is told so.

use crate::document::Unsupported;

const TELEMETRY: &str = "tracing and telemetry providers are not supported yet; metrics are always \
                         offered to Prometheus and access logs go to a file";
const INGRESS: &str = "Ingress resources are not supported yet and are left alone";
const EXPORT: &str = "visibility is not supported yet; everybody sees everything";
const ENVOY: &str = "there is no Envoy and nothing to set";
const ADDRESS: &str = "the port is fixed";

const fn row(
    path: &'static str,
    harmless: &'static [&'static str],
    reason: &'static str,
) -> Unsupported {
    Unsupported {
        path,
        harmless,
        reason,
    }
}

/// Fields of `MeshConfig`, without those of its `defaultConfig`.
pub(super) const MESH_CONFIG: &[Unsupported] = &[
    row(
        "outboundTrafficPolicy.mode",
        &["\"ALLOW_ANY\"", "\"REGISTRY_ONLY\""],
        "is not supported yet and is treated as ALLOW_ANY",
    ),
    row("extensionProviders", &[], TELEMETRY),
    row(
        "defaultProviders",
        &[r#"{"metrics":["prometheus"]}"#],
        TELEMETRY,
    ),
    row("enableEnvoyAccessLogService", &["false"], TELEMETRY),
    row("proxyListenPort", &["15001"], ADDRESS),
    row("proxyInboundListenPort", &["15006"], ADDRESS),
    row("proxyHttpPort", &["0"], "there is no HTTP forward proxy"),
    row(
        "tcpKeepalive",
        &[],
        "is not supported yet; the system's settings hold",
    ),
    row("ingressClass", &["\"istio\""], INGRESS),
    row("ingressService", &["\"istio-ingressgateway\""], INGRESS),
    row("ingressControllerMode", &["\"STRICT\"", "\"OFF\""], INGRESS),
    row("ingressSelector", &["\"ingressgateway\""], INGRESS),
    row(
        "inboundTrafficPolicy.mode",
        &["\"PASSTHROUGH\""],
        "is not supported yet and is treated as PASSTHROUGH",
    ),
    row(
        "configSources",
        &[],
        "configuration is read from the Kubernetes API alone",
    ),
    row(
        "caCertificates",
        &[],
        "further roots are not supported yet and are not trusted",
    ),
    row(
        "ca",
        &[],
        "an external certificate authority is not supported yet; control signs",
    ),
    row("certificates", &[], "DNS certificates are not issued"),
    row("defaultServiceExportTo", &[r#"["*"]"#], EXPORT),
    row("defaultVirtualServiceExportTo", &[r#"["*"]"#], EXPORT),
    row("defaultDestinationRuleExportTo", &[r#"["*"]"#], EXPORT),
    row(
        "localityLbSetting",
        &[r#"{"enabled":true}"#, r#"{"enabled":false}"#],
        "balancing by locality is not supported yet",
    ),
    row(
        "dnsRefreshRate",
        &["\"60s\""],
        "endpoints with DNS names are not supported yet",
    ),
    row(
        "h2UpgradePolicy",
        &["\"DO_NOT_UPGRADE\""],
        "is not supported yet; requests keep their version of HTTP",
    ),
    row("inboundClusterStatName", &[], ENVOY),
    row("outboundClusterStatName", &[], ENVOY),
    row(
        "verifyCertificateAtClient",
        &["true"],
        "certificates are always verified",
    ),
    row(
        "discoverySelectors",
        &[],
        "is not supported yet; control sees all namespaces",
    ),
    row(
        "pathNormalization.normalization",
        &["\"NONE\"", "\"DEFAULT\""],
        "is not supported yet; paths are passed on as they are",
    ),
    row(
        "defaultHttpRetryPolicy",
        &[],
        "is not supported yet; Istio's default retries hold",
    ),
    row(
        "defaultTrafficPolicy",
        &[],
        "is not supported yet; Istio's defaults hold",
    ),
    row(
        "meshMTLS",
        &[r#"{"minProtocolVersion":"TLSV1_2"}"#],
        "is not supported yet",
    ),
    row("tlsDefaults", &[], "is not supported yet"),
    row(
        "serviceSettings",
        &[],
        "is not supported yet; there is one cluster",
    ),
    row("serviceScopeConfigs", &[], "ambient mode is not supported"),
    row(
        "thriftConfig",
        &[],
        "rate limits of Thrift are not supported",
    ),
    row("hboneIdleTimeout", &[], "ambient mode is not supported"),
];

/// Fields of `ProxyConfig`.
pub(super) const PROXY_CONFIG: &[Unsupported] = &[
    row(
        "configPath",
        &["\"./etc/istio/proxy\"", "\"/etc/istio/proxy\""],
        ENVOY,
    ),
    row("binaryPath", &["\"/usr/local/bin/envoy\""], ENVOY),
    row("customConfigFile", &[], ENVOY),
    row(
        "serviceCluster",
        &["\"istio-proxy\""],
        "the workload's own name is used",
    ),
    row(
        "tracingServiceName",
        &["\"APP_LABEL_AND_NAMESPACE\""],
        TELEMETRY,
    ),
    row(
        "discoveryRefreshDelay",
        &[],
        "changes are pushed as they happen",
    ),
    row("zipkinAddress", &[], TELEMETRY),
    row("statsdUdpAddress", &[], TELEMETRY),
    row("proxyAdminPort", &["15000"], ADDRESS),
    row(
        "controlPlaneAuthPolicy",
        &["\"MUTUAL_TLS\""],
        "control is always met over mutual TLS",
    ),
    row("statNameLength", &["189"], ENVOY),
    row("proxyBootstrapTemplatePath", &[], ENVOY),
    row("tracing", &[], TELEMETRY),
    row("sds", &[], ENVOY),
    row("envoyAccessLogService", &[], TELEMETRY),
    row("envoyMetricsService", &[], TELEMETRY),
    row("runtimeValues", &[], ENVOY),
    row(
        "extraStatTags",
        &[],
        "labels of metrics cannot be changed yet",
    ),
    row("gatewayTopology", &[], "gateways are not supported yet"),
    row(
        "readinessProbe",
        &[],
        "workloads outside Kubernetes are not supported yet",
    ),
    row("proxyStatsMatcher", &[], ENVOY),
    row(
        "caCertificatesPem",
        &[],
        "further roots are not supported yet and are not trusted",
    ),
    row(
        "privateKeyProvider",
        &[],
        "private keys are kept in the proxy's memory",
    ),
    row(
        "proxyHeaders",
        &[],
        "headers of the proxy cannot be changed yet",
    ),
    row(
        "fileFlushInterval",
        &[],
        "log lines are written as they come",
    ),
    row(
        "fileFlushMinSizeKb",
        &[],
        "log lines are written as they come",
    ),
    row(
        "statsCompression",
        &["false"],
        "the metrics page is not compressed",
    ),
];
