use super::*;

fn parse(entries: &[(&str, &str)]) -> (PodOptions, Vec<Problem>) {
    let entries = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PodOptions::parse(&entries.collect())
}

#[test]
fn no_annotations_ask_for_nothing() {
    assert_eq!(parse(&[]), (PodOptions::default(), Vec::new()));
    assert_eq!(
        parse(&[("example.org/whatever", "x")]),
        (PodOptions::default(), Vec::new())
    );
}

/// Values that are accepted, for every annotation that is read.
const GOOD: &[(&str, &[&str])] = &[
    (keys::NATIVE_SIDECAR, &["true", "false"]),
    (keys::INTERCEPTION_MODE, &["REDIRECT", "TPROXY", "NONE"]),
    (
        keys::PROXY_IMAGE,
        &["proxyv2", "registry:5000/a/b:1-x", "a/b@sha256:abc"],
    ),
    (keys::PROXY_IMAGE_TYPE, &["default", "debug", "distroless"]),
    (keys::PROXY_CPU, &["100m", "0.5", "1"]),
    (keys::PROXY_CPU_LIMIT, &["2"]),
    (keys::PROXY_MEMORY, &["128Mi", "1e8"]),
    (keys::PROXY_MEMORY_LIMIT, &["1Gi"]),
    (keys::LOG_LEVEL, &["warning", "debug", "off"]),
    (
        keys::COMPONENT_LOG_LEVEL,
        &["misc:error", "misc:error,http:debug"],
    ),
    (
        keys::AGENT_LOG_LEVEL,
        &["default:info", "info", "default:info,dns:debug"],
    ),
    (keys::BOOTSTRAP_OVERRIDE, &["my-map", "a.b"]),
    (keys::USER_VOLUME, &[r#"{"a":{"emptyDir":{}}}"#, "{}"]),
    (
        keys::USER_VOLUME_MOUNT,
        &[r#"{"a":{"mountPath":"/a","readOnly":true}}"#],
    ),
    (keys::CAP_NET_BIND_SERVICE, &["true", "false"]),
    (keys::REWRITE_PROBES, &["true", "0"]),
    (keys::STATUS_PORT, &["0", "15020", "65535"]),
    (keys::READINESS_INITIAL_DELAY, &["0", "10"]),
    (keys::READINESS_PERIOD, &["1"]),
    (keys::READINESS_FAILURES, &["30"]),
    (
        keys::INCLUDE_OUTBOUND_RANGES,
        &["*", "", "10.0.0.0/8,fd00::/8"],
    ),
    (keys::EXCLUDE_OUTBOUND_RANGES, &["", "10.0.0.0/8"]),
    (keys::INCLUDE_INBOUND_PORTS, &["*", "", "80, 443"]),
    (keys::EXCLUDE_INBOUND_PORTS, &["", "80"]),
    (keys::INCLUDE_OUTBOUND_PORTS, &["", "80,81"]),
    (keys::EXCLUDE_OUTBOUND_PORTS, &["80"]),
    (keys::EXCLUDE_INTERFACES, &["", "eth1", "eth1,net-1.2"]),
    (keys::KUBEVIRT_INTERFACES, &["tap0"]),
    (keys::REROUTE_INTERFACES, &["tap0,tap1"]),
    (keys::MERGE_METRICS, &["true", "false"]),
    (
        keys::SCRAPE_TARGETS,
        &["8080:/metrics", "8080:/a, 8081", "8080"],
    ),
    (
        keys::DISCOVERY_ADDRESS,
        &["istiod.mesh.svc:15012", "[fd00::1]:15012"],
    ),
    (keys::EXTRA_STAT_TAGS, &["a_b,c.d", "x, y"]),
    (keys::READINESS_PORTS, &["", "80,443"]),
    (keys::SECURE_PORT, &["15091"]),
    (keys::STATISTICS_BUCKETS, &[r#"{"istio.*":[1,5,10.5]}"#]),
    ("sidecar.istio.io/statsInclusionRegexps", &[".*_rq,a"]),
    ("sidecar.istio.io/statsFlushInterval", &["10s"]),
    ("prometheus.io/port", &["8080", "", "15020"]),
    ("prometheus-io.port", &["8080"]),
];

/// Values that are refused.
const BAD: &[(&str, &[&str])] = &[
    (keys::NATIVE_SIDECAR, &["yes", ""]),
    (keys::INTERCEPTION_MODE, &["redirect", "", "IPVS"]),
    (keys::PROXY_IMAGE, &["", "a b", "a\"b", "-x"]),
    (keys::PROXY_IMAGE_TYPE, &["", "a b", "a\n"]),
    (keys::PROXY_CPU, &["", "much", "-1", "100m\n"]),
    (keys::PROXY_CPU_LIMIT, &["x"]),
    (keys::PROXY_MEMORY, &["1 Gi"]),
    (keys::PROXY_MEMORY_LIMIT, &["1gi"]),
    (keys::LOG_LEVEL, &["loud", ""]),
    (
        keys::COMPONENT_LOG_LEVEL,
        &["misc:loud", "a b:info", ":info"],
    ),
    (keys::AGENT_LOG_LEVEL, &["x", "default:info,"]),
    (keys::BOOTSTRAP_OVERRIDE, &["", "A", "a/b", "-a"]),
    (
        keys::USER_VOLUME,
        &["", "[]", r#"{"a":1}"#, r#"{"a":{"emptyDir":7}}"#],
    ),
    (keys::USER_VOLUME_MOUNT, &["x", r#"{"a":{"mountPath":7}}"#]),
    (keys::CAP_NET_BIND_SERVICE, &["maybe"]),
    (keys::REWRITE_PROBES, &["on"]),
    (
        keys::STATUS_PORT,
        &["", "-1", "65536", "http", "+80", " 80", "15001", "15021"],
    ),
    (keys::READINESS_INITIAL_DELAY, &["-1", "1s"]),
    (keys::READINESS_PERIOD, &["0", "4294967296"]),
    (keys::READINESS_FAILURES, &["0"]),
    (
        keys::INCLUDE_OUTBOUND_RANGES,
        &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/8, 11.0.0.0/8", "*,*"],
    ),
    (keys::EXCLUDE_OUTBOUND_RANGES, &["*", "example.org"]),
    (
        keys::INCLUDE_INBOUND_PORTS,
        &["80,", "http", "65536", "80;90"],
    ),
    (keys::EXCLUDE_INBOUND_PORTS, &["*", "80-90"]),
    (keys::INCLUDE_OUTBOUND_PORTS, &["*", "80 90", "80\" ], \"x"]),
    (keys::EXCLUDE_OUTBOUND_PORTS, &["*"]),
    (
        keys::EXCLUDE_INTERFACES,
        &["1eth", "averyveryverylong", "eth0,", "eth0;id"],
    ),
    (keys::KUBEVIRT_INTERFACES, &["$(id)"]),
    (keys::REROUTE_INTERFACES, &["eth 0"]),
    (keys::MERGE_METRICS, &["sometimes"]),
    (
        keys::SCRAPE_TARGETS,
        &[
            "",
            "http:/metrics",
            "15090:/x",
            "15020:/x",
            "8080:metrics",
            "0:/x",
        ],
    ),
    (
        keys::DISCOVERY_ADDRESS,
        &["istiod", ":15012", "a b:1", "istiod:0"],
    ),
    (keys::EXTRA_STAT_TAGS, &["", "a b", "a,"]),
    (keys::READINESS_PORTS, &["http", "80,"]),
    (keys::SECURE_PORT, &["0", "tls"]),
    (keys::STATISTICS_BUCKETS, &["", "[]", r#"{"a":["b"]}"#]),
    ("sidecar.istio.io/statsInclusionRegexps", &["a\nb"]),
    ("sidecar.istio.io/statsFlushInterval", &["10", "soon"]),
    (
        "prometheus.io/port",
        &["http", "0", "65536", "15090", "15000"],
    ),
    ("prometheus_io_port", &["15001"]),
];

#[test]
fn every_value_is_looked_at() {
    for (key, values) in GOOD {
        for value in *values {
            let (_, problems) = parse(&[(key, value)]);
            assert!(problems.is_empty(), "{problems:?}");
        }
    }
    for (key, values) in BAD {
        for value in *values {
            let (_, problems) = parse(&[(key, value)]);
            assert_eq!(problems.len(), 1, "{key}: {value}");
            let message = problems[0].to_string();
            let quoted = format!("invalid value {value:?} for annotation {key:?}: allowed is ");
            assert!(message.starts_with(&quoted), "{message}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let bad: Vec<(&str, &str)> = BAD.iter().map(|(key, values)| (*key, values[0])).collect();
    let (_, problems) = parse(&bad);
    // The two spellings of the scrape port are one annotation, and the first one counts.
    assert_eq!(problems.len(), bad.len() - 1);
}

#[test]
fn a_limit_below_its_request_is_refused() {
    let (_, problems) = parse(&[(keys::PROXY_CPU, "2"), (keys::PROXY_CPU_LIMIT, "1500m")]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, keys::PROXY_CPU_LIMIT);
    assert!(problems[0].allowed.contains("\"2\""), "{}", problems[0]);
}

#[test]
fn the_new_name_of_rerouted_interfaces_wins() {
    let (options, _) = parse(&[
        (keys::REROUTE_INTERFACES, "a0"),
        (keys::KUBEVIRT_INTERFACES, "b0"),
    ]);
    assert_eq!(options.traffic.reroute_interfaces, ["a0"]);
    let (options, _) = parse(&[(keys::KUBEVIRT_INTERFACES, "b0")]);
    assert_eq!(options.traffic.reroute_interfaces, ["b0"]);
}

#[test]
fn scraping_is_read_in_every_spelling() {
    let (options, _) = parse(&[
        ("prometheus.io/scrape", "true"),
        ("prometheus.io.port", "8080"),
        ("prometheus-io/path", "/m"),
    ]);
    let expected = Scrape {
        scrape: "true".to_owned(),
        port: "8080".to_owned(),
        path: "/m".to_owned(),
        targets: String::new(),
    };
    assert_eq!(options.scrape, expected);
}

#[test]
fn all_problems_are_told_without_an_injector() {
    let told = |key: &str, value: &str| {
        let annotations = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        problems(&annotations).len()
    };
    for (key, good, bad) in [
        (keys::PROXY_CPU, "100m", "much"),
        (keys::PROXY_CONFIG, "concurrency: 2", "concurrency: many"),
    ] {
        assert_eq!((told(key, good), told(key, bad)), (0, 1), "{key}");
    }
}
