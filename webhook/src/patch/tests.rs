use serde_json::json;

use super::*;

/// The raw pod after the patch that turns its typed form into another.
fn patched(raw: &Value, change: impl FnOnce(&mut Pod)) -> (Value, Patch) {
    let before: Pod = serde_json::from_value(raw.clone()).unwrap();
    let mut after = before.clone();
    change(&mut after);
    let patch = diff(before, after);
    let mut value = raw.clone();
    patch.apply(&mut value).unwrap();
    (value, patch)
}

fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        ..Container::default()
    }
}

#[test]
fn equal_pods_give_no_operations() {
    let (_, patch) = patched(
        &json!({"metadata": {}, "spec": {"containers": [{"name": "a"}]}}),
        |_| {},
    );
    assert!(patch.is_empty(), "{patch:?}");
}

#[test]
fn unknown_fields_stay_with_their_items() {
    let raw = json!({
        "metadata": {"labels": null, "annotations": {}, "new": 1},
        "spec": {
            "new": {"x": 1},
            "initContainers": [{"name": "a", "new": "a"}, {"name": "b", "new": "b"}],
            "containers": [{"name": "c", "new": "c", "livenessProbe": {"new": 1, "tcpSocket": {"port": 1}}}],
        },
    });
    let (value, _) = patched(&raw, |pod| {
        pod.metadata
            .labels
            .get_or_insert_default()
            .insert("k/l".into(), "v".into());
        pod.metadata
            .annotations
            .get_or_insert_default()
            .insert("~".into(), "v".into());
        let spec = pod.spec.as_mut().unwrap();
        let init = spec.init_containers.as_mut().unwrap();
        init.insert(0, container("first"));
        init.push(container("last"));
        let probe = spec.containers[0].liveness_probe.as_mut().unwrap();
        probe.tcp_socket = None;
        probe.period_seconds = Some(7);
        spec.hostname = Some("h".to_owned());
        spec.volumes = Some(vec![Volume {
            name: "v".to_owned(),
            ..Volume::default()
        }]);
    });
    assert_eq!(
        value,
        json!({
            "metadata": {"labels": {"k/l": "v"}, "annotations": {"~": "v"}, "new": 1},
            "spec": {
                "new": {"x": 1},
                "hostname": "h",
                "initContainers": [
                    {"name": "first"}, {"name": "a", "new": "a"},
                    {"name": "b", "new": "b"}, {"name": "last"},
                ],
                "containers": [{"name": "c", "new": "c", "livenessProbe": {"new": 1, "periodSeconds": 7}}],
                "volumes": [{"name": "v"}],
            },
        })
    );
}

#[test]
fn items_come_and_go_by_name() {
    let raw = json!({"metadata": {}, "spec": {"containers": [
        {"name": "a", "new": 1}, {"name": "b"}, {"name": "c", "new": 3}, {"name": "d"},
    ]}});
    let (value, _) = patched(&raw, |pod| {
        pod.spec.as_mut().unwrap().containers = ["x", "a", "y", "c", "z"].map(container).into();
    });
    let names = json!([
        {"name": "x"}, {"name": "a", "new": 1}, {"name": "y"}, {"name": "c", "new": 3}, {"name": "z"},
    ]);
    assert_eq!(value["spec"]["containers"], names);
}

#[test]
fn lists_in_another_order_are_replaced() {
    let raw = json!({"metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
    let (value, _) = patched(&raw, |pod| {
        pod.spec.as_mut().unwrap().containers = ["b", "a"].map(container).into();
    });
    assert_eq!(
        value["spec"]["containers"],
        json!([{"name": "b"}, {"name": "a"}])
    );
}

#[test]
fn a_proxy_of_the_user_s_moves_and_the_application_stays() {
    for names in [["web", "istio-proxy"], ["istio-proxy", "web"]] {
        let containers = names.map(|name| json!({"name": name, "new": name}));
        let raw = json!({"spec": {"containers": containers}});
        let (value, _) = patched(&raw, |pod| {
            pod.spec.as_mut().unwrap().containers.reverse();
        });
        let containers = value["spec"]["containers"].as_array().unwrap();
        let web = json!({"name": "web", "new": "web"});
        assert!(containers.contains(&web), "{containers:?}");
    }
}
