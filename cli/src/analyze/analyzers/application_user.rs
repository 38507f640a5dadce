//! IST0144: applications that run as the user of the proxy. Their traffic is taken for the proxy's own,
//! and so is not redirected.

use k8s_openapi::api::core::v1::PodSpec;
use kube::{Resource as Kind, ResourceExt};
use lateen_wire::names;

use super::super::code::INVALID_APPLICATION_USER;
use super::super::report::Report;
use super::super::resource::Resource;
use super::super::world::World;

/// Containers that are to run as this user.
const OURS: [&str; 2] = [names::PROXY_CONTAINER, "istio-operator"];

/// Looks at pods and at the templates of Deployments.
pub(super) fn analyze(world: &World, report: &mut Report) {
    for pod in &world.pods {
        look(pod, pod.object.spec.as_ref(), report);
    }
    for deployment in &world.deployments {
        let spec = deployment.object.spec.as_ref();
        look(
            deployment,
            spec.and_then(|spec| spec.template.spec.as_ref()),
            report,
        );
    }
}

fn look<K: Kind>(resource: &Resource<K>, spec: Option<&PodSpec>, report: &mut Report) {
    let Some(spec) = spec.filter(|_| !is_of_the_mesh(resource)) else {
        return;
    };
    let is_proxys = |user: Option<i64>| user == Some(i64::from(names::PROXY_UID));
    let user = spec.security_context.as_ref();
    let user = user.and_then(|context| context.run_as_user);
    let applications = spec
        .containers
        .iter()
        .filter(|container| !OURS.contains(&container.name.as_str()));
    let mut taking = applications.filter(|container| {
        let own = container.security_context.as_ref();
        is_proxys(own.and_then(|context| context.run_as_user))
    });
    let who = match taking.next() {
        Some(container) => format!("container {}", container.name),
        None if is_proxys(user) => "the pod".to_owned(),
        None => return,
    };
    report.add(
        resource,
        &INVALID_APPLICATION_USER,
        format!(
            "{who} runs as user {}, which is the proxy's: its traffic bypasses the proxy; choose another runAsUser",
            names::PROXY_UID
        ),
    );
}

/// Whether it is a part of a control plane, or a gateway, by the labels that Istio gives them.
fn is_of_the_mesh<K: Kind>(resource: &Resource<K>) -> bool {
    let labels = resource.object.labels();
    let release = labels.get("release");
    labels.contains_key("istio") || release.is_some_and(|release| release == "istio")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::{deployment, heads, pod, told};
    use super::*;

    fn runs(name: &str, user: u32) -> Value {
        json!([{"name": name, "securityContext": {"runAsUser": user}}])
    }

    #[test]
    fn applications_that_run_as_the_proxy_are_told() {
        let whole = json!({"securityContext": {"runAsUser": 1337}});
        let objects = [
            pod("shop/whole", &json!({}), &whole),
            pod(
                "shop/one",
                &json!({}),
                &json!({"containers": runs("web", 1337)}),
            ),
            deployment("shop/web", &json!({}), &whole),
        ];
        assert_eq!(
            heads(&told(analyze, &objects)),
            [
                "IST0144 Deployment shop/web",
                "IST0144 Pod shop/one",
                "IST0144 Pod shop/whole"
            ]
        );
    }

    #[test]
    fn others_and_the_mesh_itself_are_not() {
        let proxy = json!({"containers": runs("istio-proxy", 1337)});
        let whole = json!({"securityContext": {"runAsUser": 1337}});
        let objects = [
            pod("shop/proxy", &json!({}), &proxy),
            pod(
                "shop/web",
                &json!({}),
                &json!({"containers": runs("web", 1000)}),
            ),
            pod(
                "mesh/gateway",
                &json!({"labels": {"istio": "ingressgateway"}}),
                &whole,
            ),
        ];
        assert_eq!(told(analyze, &objects), Vec::<String>::new());
    }
}
