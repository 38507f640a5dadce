//! Objects that tests apply, as JSON values: a name is a value and can never become structure.

use serde_json::{Value, json};

use super::image;

/// A pod template whose container `app` runs the sample program with `arguments`.
#[must_use]
pub fn template(app: &str, arguments: &[&str]) -> Value {
    json!({
        "metadata": { "labels": { "app": app, "version": "v1" } },
        "spec": {
            "serviceAccountName": app,
            "terminationGracePeriodSeconds": 10,
            "containers": [container(arguments)],
        }
    })
}

/// The container `app`.
#[must_use]
pub fn container(arguments: &[&str]) -> Value {
    json!({
        "name": "app",
        "image": image("samples"),
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "env": [{
            "name": "POD_NAME",
            "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } },
        }],
        "resources": { "requests": { "cpu": "5m", "memory": "16Mi" } },
    })
}

/// A ServiceAccount.
#[must_use]
pub fn service_account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } })
}

/// A pod of its own made from `template`; the ServiceAccount that it runs as is not with it.
#[must_use]
pub fn pod(name: &str, template: &Value) -> Value {
    let mut pod = template.clone();
    merge(
        &mut pod,
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name } }),
    );
    pod
}

/// A Deployment of `template`, with the ServiceAccount it runs as.
#[must_use]
pub fn deployment(app: &str, replicas: usize, template: &Value) -> Vec<Value> {
    workload(
        "Deployment",
        app,
        &json!({ "replicas": replicas }),
        template,
    )
}

/// A workload of group `apps` with the ServiceAccount it runs as; `spec` holds what the kind needs
/// beside selector and template.
#[must_use]
pub fn workload(kind: &str, app: &str, spec: &Value, template: &Value) -> Vec<Value> {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": app },
        "spec": { "selector": { "matchLabels": { "app": app } }, "template": template },
    });
    merge(&mut object, json!({ "spec": spec }));
    vec![service_account(app), object]
}

/// A Service of the pods with label `app`; a port is `(name, port, target port)`.
#[must_use]
pub fn service(app: &str, ports: &[(&str, u16, u16)]) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, target)| json!({ "name": name, "port": port, "targetPort": target }))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": app, "labels": { "app": app } },
        "spec": {
            "selector": { "app": app },
            "ports": ports,
            "ipFamilyPolicy": "PreferDualStack",
        },
    })
}

/// A Deployment of one pod that waits for commands: the client's side of a test.
#[must_use]
pub fn client(app: &str) -> Vec<Value> {
    deployment(app, 1, &template(app, &["sleep"]))
}

/// Takes the images of the samples from `hub`: in `objects`, at any depth, `lateen/NAME` becomes
/// `HUB/NAME`.
pub fn take_images_from(hub: &str, objects: &mut Value) {
    match objects {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("image", Value::String(image)) => {
                        if let Some(name) = image.strip_prefix("lateen/") {
                            *image = format!("{hub}/{name}");
                        }
                    }
                    (_, value) => take_images_from(hub, value),
                }
            }
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| take_images_from(hub, value)),
        _ => {}
    }
}

/// Puts `change` into `object`: objects member by member, everything else whole (RFC 7396).
pub fn merge(object: &mut Value, change: Value) {
    match (object, change) {
        (Value::Object(object), Value::Object(change)) => {
            for (key, value) in change {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, change) => *object = change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_images_move() {
        let mut pod = json!({ "spec": { "containers": [
            { "name": "image", "image": "lateen/httpbin:1" },
            { "name": "other", "image": "other/lateen/httpbin:1" },
        ] } });
        take_images_from("registry.example/mesh", &mut pod);
        let images: Vec<&Value> = pod["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|container| &container["image"])
            .collect();
        assert_eq!(
            images,
            ["registry.example/mesh/httpbin:1", "other/lateen/httpbin:1"]
        );
    }
}
