use super::values::Backend;
use super::*;

fn parse(config: &str, values: &str, mesh: &str) -> Result<(Config, Vec<String>), Error> {
    Config::parse(Sources {
        config,
        values,
        mesh,
    })
}

#[test]
fn empty_texts_are_the_defaults() {
    let (config, notices) = parse("", "", "").unwrap();
    assert_eq!(config.values, Values::default());
    assert_eq!(config.injection.policy, Policy::Enabled);
    assert!(notices.is_empty(), "{notices:?}");
}

#[test]
fn reads_the_values_of_istio_s_charts() {
    let values = r#"{
        "global": {
            "hub": "docker.example/istio", "tag": 1.25, "imagePullPolicy": "", "meshID": null,
            "proxy": {
                "excludeInboundPorts": 8080, "logLevel": "warning", "statusPort": 15020,
                "includeIPRanges": "*", "resources": {"requests": {"cpu": "10m"}},
                "startupProbe": {"enabled": false}, "tracer": "none"
            },
            "proxy_init": {"image": "proxyv2", "forceApplyIptables": true},
            "sds": {"token": {"aud": "istio-ca"}},
            "multiCluster": {"clusterName": "east", "enabled": false}
        },
        "sidecarInjectorWebhook": {"rewriteAppHTTPProbe": false},
        "revision": ""
    }"#;
    let (config, notices) = parse("", values, "").unwrap();
    let global = &config.values.global;
    assert_eq!((global.tag.as_str(), global.mesh_id.as_str()), ("1.25", ""));
    assert_eq!(global.proxy.exclude_inbound_ports, "8080");
    assert_eq!(global.proxy.cluster_domain, "cluster.local");
    assert_eq!(
        global
            .proxy
            .resources
            .requests
            .as_ref()
            .map(|requests| requests.len()),
        Some(1)
    );
    assert!(global.proxy.resources.limits.is_none());
    assert!(global.proxy_init.force_apply_iptables && !global.proxy.startup_probe.enabled);
    assert_eq!(global.multi_cluster.cluster_name, "east");
    assert!(
        !config
            .values
            .sidecar_injector_webhook
            .rewrite_app_http_probe
    );
    assert_eq!(config.values.revision(), "default");
    assert_eq!(
        notices,
        ["values: global.multiCluster.enabled: unknown field"]
    );
}

#[test]
fn a_back_end_is_one_of_three_and_no_other_than_istio_s_value_says() {
    let read = |native: bool, backend: &str| {
        let global =
            format!(r#"{{"nativeNftables": {native}, "proxy_init": {{"backend": "{backend}"}}}}"#);
        parse("", &format!(r#"{{"global": {global}}}"#), "").map(|(config, notices)| {
            assert!(notices.is_empty(), "{notices:?}");
            config.values.global.proxy_init.backend
        })
    };
    for (backend, expected) in [
        ("auto", Backend::Auto),
        ("iptables", Backend::Iptables),
        ("nftables", Backend::Nftables),
    ] {
        assert_eq!(read(false, backend).unwrap(), expected);
    }
    assert_eq!(read(true, "nftables").unwrap(), Backend::Nftables);
    assert_eq!(
        read(true, "iptables").unwrap_err().to_string(),
        "cannot read values: field global.proxy_init.backend: iptables contradicts \
         global.nativeNftables, which is true"
    );
    let error = read(false, "ebpf").unwrap_err().to_string();
    let (path, allowed) = (
        "field global.proxy_init.backend",
        "`auto`, `iptables`, `nftables`",
    );
    assert!(error.contains(path) && error.contains(allowed), "{error}");
}

#[test]
fn an_empty_object_is_none() {
    let values = r#"{"global":{"proxy":{"seccompProfile":{},"lifecycle":{}}},"gateways":{"securityContext":{}}}"#;
    let (config, notices) = parse("", values, "").unwrap();
    assert_eq!((config.values, notices), (Values::default(), Vec::new()));
}

#[test]
fn a_token_has_an_audience() {
    for (aud, expected) in [("own", "own"), ("", "istio-ca")] {
        let values = format!(r#"{{"global":{{"sds":{{"token":{{"aud":"{aud}"}}}}}}}}"#);
        let (config, _) = parse("", &values, "").unwrap();
        assert_eq!(config.values.global.sds.token.audience(), expected);
    }
}

#[test]
fn json_keeps_its_own_escapes() {
    let (config, _) = parse("", r#"{"global":{"network":"\ud83d\ude00\/"}}"#, "").unwrap();
    assert_eq!(config.values.global.network, "\u{1f600}/");
}

#[test]
fn a_policy_that_no_proxy_follows_is_named() {
    let values = r#"{"pilot":{"env":{"COMPLIANCE_POLICY":"fips-140-3"}}}"#;
    let (_, notices) = parse("", values, "").unwrap();
    let [notice] = notices.as_slice() else {
        panic!("{notices:?}")
    };
    assert!(
        notice.starts_with("values: pilot.env.COMPLIANCE_POLICY: proxies are told"),
        "{notice}"
    );
}

#[test]
fn templates_without_effect_are_named() {
    let (_, notices) = parse("templates: {sidecar: 'x', gateway: 'y'}", "", "").unwrap();
    assert_eq!(
        notices,
        [
            "config: templates.gateway: no effect, Istio's templates are built in",
            "config: templates.sidecar: no effect, Istio's templates are built in",
        ]
    );
}

#[test]
fn errors_name_the_text_the_field_and_what_is_allowed() {
    let cases = [
        (
            ("policy: sometimes", "", ""),
            "config: field policy: unknown variant `sometimes`",
        ),
        (("", "{]", ""), "cannot read values as YAML"),
        (
            ("", r#"{"global":{"proxy":{"statusPort":"x"}}}"#, ""),
            "field global.proxy.statusPort",
        ),
        (
            ("", r#"{"global":{"tag":[]}}"#, ""),
            "field global.tag: expected a text",
        ),
        (
            ("", "", "defaultConfig: {interceptionMode: X}"),
            "defaultConfig.interceptionMode",
        ),
        (
            (
                "neverInjectSelector: [{matchExpressions: [{key: a, operator: Near}]}]",
                "",
                "",
            ),
            "neverInjectSelector[0]",
        ),
    ];
    for ((config, values, mesh), expected) in cases {
        let error = parse(config, values, mesh).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
