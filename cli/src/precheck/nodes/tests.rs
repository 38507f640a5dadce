//! Room and taints.

use serde_json::{Value, json};

use super::*;
use crate::level::Level;
use crate::values::Sources;

fn node(name: &str, cpu: &str, spec: &Value) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": "1Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "6",
                "kubeProxyVersion": "", "kubeletVersion": "v1.34.0", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": "",
            },
        },
    }))
    .unwrap()
}

fn of_injector(assignments: &[&str], nodes: &[Node], used: &[(&str, u64)]) -> Finding {
    let assignments = assignments.iter().map(|text| (*text).to_owned()).collect();
    let values = Values::load(&Sources {
        assignments,
        ..Sources::default()
    });
    let used = used.iter().map(|(name, cpu)| {
        let amount = Amount {
            cpu: *cpu,
            memory: 0,
        };
        ((*name).to_owned(), amount)
    });
    room(
        Component::Injector,
        &values.unwrap(),
        nodes,
        &used.collect(),
    )
}

#[test]
fn room_is_what_others_leave() {
    let nodes = [node("a", "1", &json!({})), node("b", "100m", &json!({}))];
    assert_eq!(of_injector(&[], &nodes, &[]).level, Level::Info);
    let tight = of_injector(&[], &nodes, &[("a", 990), ("b", 80)]);
    assert_eq!(tight.level, Level::Warning);
    assert!(tight.message.contains("1 of 2 pods"), "{tight:?}");
    let full = of_injector(&[], &nodes, &[("a", 990), ("b", 90)]);
    assert_eq!(full.level, Level::Error);
    let smaller = ["sidecarInjectorWebhook.resources.requests.cpu=5m"];
    assert_eq!(
        of_injector(&smaller, &nodes, &[("a", 990), ("b", 90)]).level,
        Level::Info
    );
}

#[test]
fn a_node_is_closed_by_taints_that_are_not_tolerated() {
    let tainted = json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]});
    let nodes = [node("a", "1", &tainted)];
    let closed = of_injector(&[], &nodes, &[]);
    assert_eq!(closed.level, Level::Error);
    assert!(
        closed.message.contains("taint dedicated:NoSchedule"),
        "{closed:?}"
    );
    for tolerated in [
        "sidecarInjectorWebhook.tolerations[0].operator=Exists",
        "sidecarInjectorWebhook.tolerations[0].key=dedicated,sidecarInjectorWebhook.tolerations[0].value=db",
    ] {
        assert_eq!(
            of_injector(&[tolerated], &nodes, &[]).level,
            Level::Info,
            "{tolerated}"
        );
    }
    let other = "sidecarInjectorWebhook.tolerations[0].key=dedicated,sidecarInjectorWebhook.tolerations[0].value=web";
    assert_eq!(of_injector(&[other], &nodes, &[]).level, Level::Error);

    let cordoned = [node("a", "1", &json!({"unschedulable": true}))];
    assert!(
        of_injector(&[], &cordoned, &[])
            .message
            .contains("cordoned")
    );
    let preferred = json!({"taints": [{"key": "spot", "effect": "PreferNoSchedule"}]});
    assert_eq!(
        of_injector(&[], &[node("a", "1", &preferred)], &[]).level,
        Level::Info
    );
}

#[test]
fn old_kubelets_are_named() {
    let mut nodes = [node("new", "1", &json!({})), node("old", "1", &json!({}))];
    assert_eq!(kubelets(&nodes), []);
    let info = nodes[1]
        .status
        .as_mut()
        .unwrap()
        .node_info
        .as_mut()
        .unwrap();
    info.kubelet_version = "v1.30.1".to_owned();
    let found = kubelets(&nodes);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.ends_with(": old"), "{found:?}");
}

#[test]
fn quantities_are_read_as_kubernetes_writes_them() {
    for (text, expected) in [
        ("20m", Some(0.02)),
        ("2", Some(2.0)),
        ("1.5", Some(1.5)),
        ("1Ki", Some(1024.0)),
        ("1k", Some(1000.0)),
        ("1e3", Some(1000.0)),
        ("x", None),
        ("-1", None),
    ] {
        assert_eq!(quantity(text), expected, "{text}");
    }
}
