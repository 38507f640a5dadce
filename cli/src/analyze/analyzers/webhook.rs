//! IST0139: webhook configurations that claim the same pods, so that these are injected twice, or that
//! lead to a Service that does not exist, so that pods are refused.

use super::super::code::INVALID_WEBHOOK;
use super::super::report::Report;
use super::super::world::World;
use crate::hooks::contest::contests;

/// Looks at injectors.
pub(super) fn analyze(world: &World, report: &mut Report) {
    let hooks = world.hooks();
    let contests = contests(&hooks);
    for hook in &hooks {
        let Some(webhook) = world.webhooks.get("", hook.name()) else {
            continue;
        };
        for contest in &contests {
            let mut rivals = contest.hooks.clone();
            rivals.retain(|name| name != hook.name());
            if rivals.len() < contest.hooks.len() {
                let text = format!(
                    "{} claims the same pods, for example with {} on the namespace and {} on the pod: they are injected twice",
                    rivals.join(" and "),
                    contest.namespace,
                    contest.pod
                );
                report.add(webhook, &INVALID_WEBHOOK, text);
            }
        }
        if let Some(service) = hook.service()
            && world.services.is_complete
            && world
                .services
                .get(&service.namespace, &service.name)
                .is_none()
        {
            let text = format!(
                "its injector, Service {}/{}, does not exist: the pods that it claims are refused",
                service.namespace, service.name
            );
            report.add(webhook, &INVALID_WEBHOOK, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::example::{heads, installed, told, told_of_some};
    use super::*;

    fn without_services(objects: &[Value]) -> Vec<Value> {
        let is_kept = |object: &&Value| object["kind"] != "Service";
        objects.iter().filter(is_kept).cloned().collect()
    }

    #[test]
    fn injectors_side_by_side_are_well() {
        let mut objects = installed("default", &[]);
        objects.extend(installed("canary", &[]));
        assert_eq!(told(analyze, &objects), Vec::<String>::new());
    }

    #[test]
    fn rivals_are_told_of_each_other() {
        let mut objects = installed("default", &[]);
        let mut rival = objects
            .iter()
            .find(|object| object["kind"] == "MutatingWebhookConfiguration")
            .unwrap()
            .clone();
        rival["metadata"]["name"] = "rival".into();
        objects.push(rival);
        let told = told(analyze, &objects);
        assert_eq!(
            heads(&told),
            [
                "IST0139 MutatingWebhookConfiguration istio-sidecar-injector",
                "IST0139 MutatingWebhookConfiguration rival"
            ]
        );
        assert!(told[0].contains("rival claims the same pods"), "{told:?}");
    }

    #[test]
    fn injectors_that_do_not_exist_are_told() {
        let objects = without_services(&installed("default", &[]));
        let told = told(analyze, &objects);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("Service istio-system/istio-sidecar-injector, does not exist"),
            "{told:?}"
        );
        assert_eq!(told_of_some(analyze, &objects), Vec::<String>::new());
    }
}
