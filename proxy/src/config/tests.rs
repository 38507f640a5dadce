//! Reading the configuration.

use std::collections::HashMap;

use super::*;

fn environment() -> HashMap<&'static str, &'static str> {
    HashMap::from([
        ("POD_NAME", "productpage-v1-7d"),
        ("POD_NAMESPACE", "default"),
        ("INSTANCE_IP", "10.0.0.5,fd00::5"),
        ("SERVICE_ACCOUNT", "bookinfo-productpage"),
        (
            "PROXY_CONFIG",
            r#"{"terminationDrainDuration":"1m30s","statusPort":16020,"tracing":{}}"#,
        ),
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
    ])
}

fn read(environment: &HashMap<&'static str, &'static str>) -> Result<Config, InvalidConfig> {
    Config::read(&Arguments::default(), |name| {
        environment.get(name).map(|&value| value.to_owned())
    })
}

#[test]
fn reads_what_injection_gives() {
    let config = read(&environment()).unwrap();
    assert_eq!(
        config.identity.to_string(),
        "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"
    );
    assert_eq!(config.pod.addresses.len(), 2);
    assert_eq!(config.drain.termination, Duration::from_secs(90));
    assert_eq!(config.ports.status, 16020);
    assert_eq!(config.ports.health, 15021);
    assert_eq!(config.workers, 1);
    assert_eq!(
        config.discovery.to_string(),
        "istiod.istio-system.svc:15012"
    );
    assert_eq!(config.pod.domain, "default.svc.cluster.local");
}

#[test]
fn connections_are_passed_on_as_the_mode_says() {
    let interception = |mode| {
        let mut environment = environment();
        environment.insert("ISTIO_META_INTERCEPTION_MODE", mode);
        read(&environment).map(|config| config.listen.interception)
    };
    assert_eq!(interception(""), Ok(Interception::Redirect));
    assert_eq!(interception("REDIRECT"), Ok(Interception::Redirect));
    assert_eq!(interception("NONE"), Ok(Interception::Redirect));
    assert_eq!(interception("TPROXY"), Ok(Interception::Tproxy));
    assert!(interception("tproxy").is_err());
}

#[test]
fn dns_is_captured_where_redirection_captures_it() {
    let captures = |value| {
        let mut environment = environment();
        environment.insert("ISTIO_META_DNS_CAPTURE", value);
        read(&environment).map(|config| config.dns.is_some())
    };
    let captured = captures("true");
    assert_ne!(captured, captures("false"));
    for value in ["1", "True", " true "] {
        assert_eq!(captures(value), captured, "{value:?}");
    }
}

#[test]
fn names_every_problem_at_once() {
    let mut wrong = environment();
    wrong.remove("POD_NAME");
    wrong.insert("INSTANCE_IP", "nowhere");
    wrong.insert("CA_ADDR", "istiod");
    wrong.insert("ENVOY_STATUS_PORT", "99999");
    let problems = read(&wrong).unwrap_err().problems.join("\n");
    for part in ["POD_NAME", "INSTANCE_IP", "CA_ADDR", "ENVOY_STATUS_PORT"] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
}

#[test]
fn knows_a_loop() {
    let config = read(&environment()).unwrap();
    for (address, is_loop) in [
        ("10.0.0.5:15001", true),
        ("[fd00::5]:15006", true),
        ("127.0.0.1:15006", true),
        ("10.0.0.6:15006", false),
        ("10.0.0.5:8080", false),
    ] {
        assert_eq!(
            config.is_loop(address.parse().unwrap()),
            is_loop,
            "{address}"
        );
    }
}

#[test]
fn takes_the_flags_of_pilot_agent() {
    let line = "proxy sidecar --domain default.svc.cluster.local --proxyLogLevel=warning \
                --proxyComponentLogLevel=misc:error --log_output_level=default:info --log_as_json";
    let Command::Proxy(arguments) = Command::read(line.split_whitespace().map(Into::into)).unwrap()
    else {
        panic!("not a proxy");
    };
    assert_eq!(
        arguments.domain.as_deref(),
        Some("default.svc.cluster.local")
    );
    assert!(arguments.log_as_json);
    assert!(
        arguments
            .log_filter()
            .starts_with("info,lateen_proxy::inbound=warn")
    );
}

#[test]
fn refuses_a_flag_nobody_knows() {
    assert!(Command::read(["proxy", "--nonsense"].map(Into::into)).is_err());
    assert!(Command::read([]).is_err());
}
