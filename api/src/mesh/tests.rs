use serde_json::json;

use super::*;
use crate::NotHonoured;

fn paths(fields: &[NotHonoured]) -> Vec<&str> {
    fields.iter().map(|field| field.path.as_str()).collect()
}

#[test]
fn an_empty_text_is_the_default() {
    for yaml in ["", "{}", "# nothing\n", "trustDomain: null\n"] {
        let parsed = MeshConfig::parse(yaml).unwrap();
        assert_eq!(parsed.config, MeshConfig::default(), "{yaml:?}");
        assert_eq!((parsed.not_honoured, parsed.unknown), (vec![], vec![]));
    }
}

#[test]
fn reads_the_mesh_of_an_ordinary_installation() {
    let parsed = MeshConfig::parse(
        "
accessLogFile: /dev/stdout
accessLogEncoding: JSON
connectTimeout: 1.5s
protocolDetectionTimeout: 0s
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  holdApplicationUntilProxyStarts: true
  concurrency: 2
  proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true'}
  image: {imageType: distroless}
defaultProviders: {metrics: [prometheus]}
enablePrometheusMerge: false
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
rootNamespace: istio-system
trustDomain: example.org
trustDomainAliases: [old.example.org]
",
    )
    .unwrap();
    assert_eq!((parsed.not_honoured, parsed.unknown), (vec![], vec![]));
    let mesh = parsed.config;
    assert_eq!(mesh.trust_domain, "example.org");
    assert_eq!(mesh.connect_timeout.to_string(), "1.5s");
    assert_eq!(mesh.protocol_detection_timeout, Some(Duration::ZERO));
    assert_eq!(mesh.access_log_encoding, AccessLogEncoding::Json);
    assert_eq!(
        mesh.outbound_traffic_policy.mode,
        OutboundTrafficMode::RegistryOnly
    );
    assert!(!mesh.enable_prometheus_merge && mesh.enable_auto_mtls);
    assert_eq!(mesh.default_config.concurrency, Some(2));
    assert!(mesh.default_config.hold_application_until_proxy_starts);
}

#[test]
fn names_what_has_no_effect_and_what_nobody_knows() {
    let parsed = MeshConfig::parse(
        "
accesLogFile: /dev/stdout
extensionProviders: [{name: zipkin, zipkin: {service: zipkin, port: 9411}}]
proxyListenPort: 15001
pathNormalization: {normalization: MERGE_SLASHES}
discoverySelectors: []
defaultConfig:
  tracing: {sampling: 100}
  parentShutdownDuration: 60s
  image: {imageTyp: debug}
",
    )
    .unwrap();
    assert_eq!(
        paths(&parsed.not_honoured),
        [
            "extensionProviders",
            "pathNormalization.normalization",
            "defaultConfig.tracing"
        ]
    );
    assert_eq!(
        parsed.unknown,
        [
            "accesLogFile",
            "defaultConfig.image.imageTyp",
            "defaultConfig.parentShutdownDuration"
        ]
    );
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    let cases = [
        (
            "defaultConfig: {interceptionMode: IPVS}",
            "defaultConfig.interceptionMode",
            "`TPROXY`",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW}",
            "outboundTrafficPolicy.mode",
            "`REGISTRY_ONLY`",
        ),
        ("connectTimeout: 10", "connectTimeout", "expected a string"),
        ("connectTimeout: '10'", "connectTimeout", "allowed are"),
        (
            "defaultConfig: {statusPort: 70000}",
            "defaultConfig.statusPort",
            "expected u16",
        ),
        (
            "trustDomainAliases: [a, 7]",
            "trustDomainAliases[1]",
            "expected a string",
        ),
        ("- a", "field .:", "MeshConfig"),
        ("a: [", "as YAML", "line 1"),
    ];
    for (yaml, path, allowed) in cases {
        let error = MeshConfig::parse(yaml).unwrap_err().to_string();
        assert!(
            error.contains(path) && error.contains(allowed),
            "{yaml}: {error}"
        );
    }
}

#[test]
fn every_unsupported_field_is_a_field() {
    let known = |config: Value, path: &str| {
        let name = path.split('.').next().unwrap_or_default();
        let value = json!({ name: {"": ""} });
        config.get(name).is_some()
            || !matches!(
                document::check::<ProxyConfig>("ProxyConfig", &value),
                Ok((_, unknown)) if !unknown.is_empty()
            )
    };
    for row in unsupported::MESH_CONFIG {
        let mesh = serde_json::to_value(MeshConfig::default()).unwrap();
        assert!(known(mesh, row.path), "{}", row.path);
    }
    for row in unsupported::PROXY_CONFIG {
        let proxy = serde_json::to_value(ProxyConfig::default()).unwrap();
        assert!(known(proxy, row.path), "{}", row.path);
    }
}

#[test]
fn an_annotation_adds_to_maps_and_replaces_the_rest() {
    let mesh = MeshConfig::parse(
        "defaultConfig: {concurrency: 2, statusPort: 15025, proxyMetadata: {A: '1', B: '2'}}",
    )
    .unwrap()
    .config
    .default_config;
    let merged = mesh
        .merge("concurrency: 4\nproxyMetadata: {B: '3', C: '4'}\nterminationDrainDuration: 5s\n")
        .unwrap()
        .config;
    assert_eq!(
        merged.to_json(),
        json!({
            "concurrency": 4,
            "statusPort": 15025,
            "proxyMetadata": {"A": "1", "B": "3", "C": "4"},
        })
    );
}

#[test]
fn an_annotation_can_set_a_field_back_to_its_default() {
    let mesh = ProxyConfig {
        status_port: 15025,
        ..ProxyConfig::default()
    };
    let merged = mesh
        .merge("statusPort: 15020\ntracing: {}\nfoo: 1")
        .unwrap();
    assert_eq!(merged.config.status_port, 15020);
    assert_eq!(merged.unknown, ["foo"]);
    assert!(mesh.merge("statusPort: x").is_err());
}

#[test]
fn the_default_proxy_configuration_is_empty_json() {
    assert_eq!(ProxyConfig::default().to_json(), json!({}));
    let mesh = ProxyConfig {
        concurrency: Some(0),
        ..ProxyConfig::default()
    };
    let json = mesh.to_json();
    assert_eq!(json, json!({"concurrency": 0}));
    assert_eq!(
        ProxyConfig::default()
            .merge(&json.to_string())
            .unwrap()
            .config,
        mesh
    );
}

#[test]
fn an_annotation_cannot_ask_for_what_no_proxy_can_do() {
    let refused = [
        ("discoveryAddress: istiod", "discoveryAddress", "HOST:PORT"),
        ("zipkinAddress: ':9411'", "zipkinAddress", "HOST:PORT"),
        ("statsdUdpAddress: 'a b:1'", "statsdUdpAddress", "HOST:PORT"),
        (
            "discoveryAddress: 'istiod:0'",
            "discoveryAddress",
            "HOST:PORT",
        ),
        ("proxyAdminPort: 0", "proxyAdminPort", "from 1 to 65535"),
        (
            "drainDuration: 0s",
            "drainDuration",
            "whole number of seconds",
        ),
        (
            "drainDuration: 1.5s",
            "drainDuration",
            "whole number of seconds",
        ),
        (
            "proxyMetadata: {A: x, BACKEND: ipvs}",
            "proxyMetadata.BACKEND",
            "auto, iptables and nftables",
        ),
    ];
    for (yaml, path, allowed) in refused {
        let error = ProxyConfig::default().merge(yaml).unwrap_err().to_string();
        assert!(
            error.contains(path) && error.contains(allowed),
            "{yaml}: {error}"
        );
    }
    let yaml = "discoveryAddress: '[fd00::1]:15012'\nzipkinAddress: zipkin.tracing:9411";
    assert!(ProxyConfig::default().merge(yaml).is_ok());
}
