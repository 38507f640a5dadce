//! Laying one part of a pod over another, as Kubernetes' strategic merge does: containers and
//! volumes by name, variables by name, mounts by path, arguments as a whole, and whatever is on top
//! wins.
//!
//! Where a field allows one of several members (the source of a volume, the handler of a probe), the
//! member on top takes the place of the other: both together would be no legal pod.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, Lifecycle, PodSpec, SecurityContext, Volume};

/// The image that a user writes who wants the injector's.
pub(crate) const AUTOMATIC_IMAGE: &str = "auto";

/// Lays a part of a pod over a pod.
pub(crate) fn lay_spec(under: &mut PodSpec, mut over: PodSpec) {
    let containers = std::mem::take(&mut over.containers);
    lay_containers(&mut under.containers, containers);
    if let Some(containers) = over.init_containers.take() {
        lay_containers(under.init_containers.get_or_insert_default(), containers);
    }
    if let Some(volumes) = over.volumes.take() {
        lay_volumes(under.volumes.get_or_insert_default(), volumes);
    }
    under.merge_from(over);
}

fn lay_containers(under: &mut Vec<Container>, over: Vec<Container>) {
    for container in over {
        match under.iter_mut().find(|own| own.name == container.name) {
            Some(own) => lay_container(own, container),
            None => under.push(container),
        }
    }
}

/// Adds volumes; one of a name that is taken replaces the other.
pub(crate) fn lay_volumes(under: &mut Vec<Volume>, over: Vec<Volume>) {
    for volume in over {
        match under.iter_mut().find(|own| own.name == volume.name) {
            Some(own) => *own = volume,
            None => under.push(volume),
        }
    }
}

/// Lays a container over another of the same name.
pub(crate) fn lay_container(under: &mut Container, mut over: Container) {
    over.image = over.image.filter(|image| image != AUTOMATIC_IMAGE);
    if let Some(variables) = &mut under.env {
        let replaced = |name: &str| {
            let mut variables = over.env.iter().flatten();
            variables.any(|variable| variable.name == name)
        };
        for variable in variables
            .iter_mut()
            .filter(|variable| replaced(&variable.name))
        {
            variable.value = None;
            variable.value_from = None;
        }
    }
    if let (Some(under), Some(over)) = (&mut under.lifecycle, &mut over.lifecycle) {
        drop_replaced_hooks(under, over);
    }
    if let (Some(ports), Some(over)) = (&mut under.ports, &over.ports) {
        let is_taken = |name: &String| over.iter().any(|port| port.name.as_ref() == Some(name));
        ports.retain(|port| !port.name.as_ref().is_some_and(is_taken));
    }
    if let (Some(under), Some(over)) = (&mut under.security_context, &over.security_context)
        && may_escalate(over)
    {
        under.allow_privilege_escalation = None;
    }
    for (under, over) in [
        (&mut under.liveness_probe, &over.liveness_probe),
        (&mut under.readiness_probe, &over.readiness_probe),
        (&mut under.startup_probe, &over.startup_probe),
    ] {
        if over.is_some() {
            *under = None;
        }
    }
    under.merge_from(over);
}

/// Whether a container has so much that Kubernetes refuses to have it told that it cannot get more.
fn may_escalate(context: &SecurityContext) -> bool {
    let capabilities = context.capabilities.as_ref();
    let mut added = capabilities.iter().flat_map(|all| all.add.iter().flatten());
    context.privileged == Some(true) || added.any(|capability| capability == "CAP_SYS_ADMIN")
}

fn drop_replaced_hooks(under: &mut Lifecycle, over: &Lifecycle) {
    if over.post_start.is_some() {
        under.post_start = None;
    }
    if over.pre_stop.is_some() {
        under.pre_stop = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn laid(under: Value, over: Value) -> Value {
        let mut under: PodSpec = serde_json::from_value(under).unwrap();
        lay_spec(&mut under, serde_json::from_value(over).unwrap());
        serde_json::to_value(under).unwrap()
    }

    #[test]
    fn what_is_on_top_wins_item_by_item() {
        let under = json!({
            "serviceAccountName": "web",
            "containers": [
                {"name": "web", "image": "web:1", "args": ["a", "b"],
                 "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3}},
            ],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        });
        let over = json!({
            "priorityClassName": "high",
            "containers": [
                {"name": "web", "image": "auto", "args": ["c"],
                 "env": [{"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}, {"name": "C", "value": "3"}],
                 "livenessProbe": {"tcpSocket": {"port": 80}}},
                {"name": "helper", "image": "helper:1"},
            ],
            "volumes": [{"name": "cache", "configMap": {"name": "c"}}, {"name": "more", "emptyDir": {}}],
        });
        let expected = json!({
            "serviceAccountName": "web",
            "priorityClassName": "high",
            "containers": [
                {"name": "web", "image": "web:1", "args": ["c"],
                 "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
                         {"name": "C", "value": "3"}],
                 "livenessProbe": {"tcpSocket": {"port": 80}}},
                {"name": "helper", "image": "helper:1"},
            ],
            "volumes": [{"name": "cache", "configMap": {"name": "c"}}, {"name": "more", "emptyDir": {}}],
        });
        assert_eq!(laid(under, over), expected);
    }

    #[test]
    fn a_name_of_a_port_is_of_the_port_on_top() {
        let port = |name: &str, number: u16| json!({"name": name, "containerPort": number});
        let proxy = |ports: Value| json!({"containers": [{"name": "istio-proxy", "ports": ports}]});
        let under = proxy(json!([port("metrics", 15090), port("status", 15021)]));
        let over = proxy(json!([port("metrics", 9090)]));
        let expected = proxy(json!([port("status", 15021), port("metrics", 9090)]));
        assert_eq!(laid(under, over), expected);
    }

    #[test]
    fn a_container_that_may_do_everything_is_not_told_that_it_gets_no_more() {
        let proxy = |context: &Value| json!({"containers": [{"name": "istio-proxy", "securityContext": context}]});
        let under = json!({"allowPrivilegeEscalation": false});
        for everything in [
            json!({"privileged": true}),
            json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
        ] {
            assert_eq!(laid(proxy(&under), proxy(&everything)), proxy(&everything));
        }
        let both = json!({"allowPrivilegeEscalation": false, "runAsUser": 0});
        assert_eq!(
            laid(proxy(&under), proxy(&json!({"runAsUser": 0}))),
            proxy(&both)
        );
    }
}
