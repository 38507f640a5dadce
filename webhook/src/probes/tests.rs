use serde_json::{Value, json};

use super::*;

/// Rewrites the probes of one container; the container and what the agent is told.
fn rewritten(container: &Value) -> (Value, Value) {
    let spec = json!({"containers": [container]});
    let mut spec: PodSpec = serde_json::from_value(spec).unwrap();
    let probers = rewrite(&mut spec, 15020, true);
    let container = serde_json::to_value(&spec.containers[0]).unwrap();
    (container, serde_json::to_value(probers).unwrap())
}

#[test]
fn the_agent_asks_what_the_kubelet_would_have_asked() {
    let (container, probers) = rewritten(&json!({
        "name": "web",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {
                "path": "/ready", "port": "http", "scheme": "HTTPS",
                "httpHeaders": [{"name": "X-Probe", "value": "1"}],
            },
            "timeoutSeconds": 3,
            "periodSeconds": 7,
        },
        "livenessProbe": {"tcpSocket": {"port": 3306}},
        "startupProbe": {"grpc": {"port": 9090, "service": "shop"}, "timeoutSeconds": 1},
        "lifecycle": {
            "preStop": {"httpGet": {"path": "/stop", "port": 8080}},
            "postStart": {"tcpSocket": {"port": "http"}},
        },
    }));
    assert_eq!(
        container["readinessProbe"],
        json!({
            "httpGet": {
                "path": "/app-health/web/readyz", "port": 15020, "scheme": "HTTP",
                "httpHeaders": [{"name": "X-Probe", "value": "1"}],
            },
            "timeoutSeconds": 3,
            "periodSeconds": 7,
        })
    );
    let to_agent = |path: &str| json!({"httpGet": {"path": path, "port": 15020}});
    assert_eq!(
        container["livenessProbe"],
        to_agent("/app-health/web/livez")
    );
    assert_eq!(
        container["startupProbe"]["httpGet"],
        to_agent("/app-health/web/startupz")["httpGet"]
    );
    assert_eq!(container["startupProbe"]["grpc"], Value::Null);
    assert_eq!(
        container["lifecycle"],
        json!({
            "preStop": to_agent("/app-lifecycle/web/prestopz"),
            "postStart": to_agent("/app-lifecycle/web/poststartz"),
        })
    );
    assert_eq!(
        probers,
        json!({
            "/app-health/web/readyz": {
                "httpGet": {
                    "path": "/ready", "port": 8080, "scheme": "HTTPS",
                    "httpHeaders": [{"name": "X-Probe", "value": "1"}],
                },
                "timeoutSeconds": 3,
            },
            "/app-health/web/livez": {"tcpSocket": {"port": 3306}},
            "/app-health/web/startupz": {
                "grpc": {"port": 9090, "service": "shop"}, "timeoutSeconds": 1,
            },
            "/app-lifecycle/web/prestopz": {"httpGet": {"path": "/stop", "port": 8080}},
            "/app-lifecycle/web/poststartz": {"tcpSocket": {"port": 8080}},
        })
    );
}

#[test]
fn probes_that_are_none_of_ours_stay() {
    for probe in [
        json!({"exec": {"command": ["true"]}}),
        json!({"httpGet": {"port": "nowhere"}}),
        json!({"httpGet": {"port": 80, "host": "example.org"}}),
        json!({"tcpSocket": {"port": 80, "host": "10.0.0.1"}}),
        json!({"httpGet": {"port": 15020, "path": "/app-health/web/livez"}}),
    ] {
        let container = json!({"name": "web", "livenessProbe": probe});
        let (after, probers) = rewritten(&container);
        assert_eq!((after, probers), (container, json!({})));
    }
    let hooks =
        json!({"preStop": {"exec": {"command": ["x"]}}, "postStart": {"sleep": {"seconds": 1}}});
    let container = json!({"name": "web", "lifecycle": hooks});
    assert_eq!(rewritten(&container), (container, json!({})));
}

#[test]
fn init_containers_are_rewritten_only_where_the_agent_is_before_them() {
    for native in [true, false] {
        let sidecar = json!({
            "name": "helper", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}},
        });
        let spec = json!({"containers": [], "initContainers": [sidecar]});
        let mut spec: PodSpec = serde_json::from_value(spec).unwrap();
        let probers = rewrite(&mut spec, 15020, native);
        assert_eq!(probers.contains_key("/app-health/helper/startupz"), native);
    }
}
