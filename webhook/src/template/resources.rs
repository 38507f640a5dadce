//! Resources of the injected containers: the installation's, with each annotation replacing its own
//! value alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::annotations::ResourceOptions;
use crate::quantity::Amount;

type Amounts = Option<BTreeMap<String, Quantity>>;

/// The installation's resources with the pod's wishes laid over them. A default that contradicts a
/// wish gives way to it: a request above the default limit raises the limit, a limit below the
/// default request lowers the request. Where the pod says what its containers have together
/// (`shared`, the field `spec.resources`), there are no defaults: they would not fit into what the
/// others leave.
pub(super) fn resolve(
    defaults: &ResourceRequirements,
    options: &ResourceOptions,
    shared: Option<&ResourceRequirements>,
) -> ResourceRequirements {
    let mut resources = match shared {
        Some(shared) if *shared != ResourceRequirements::default() => {
            ResourceRequirements::default()
        }
        _ => defaults.clone(),
    };
    let wishes = [
        ("cpu", &options.cpu, &options.cpu_limit),
        ("memory", &options.memory, &options.memory_limit),
    ];
    for (resource, request, limit) in wishes {
        if let Some(request) = request {
            set(&mut resources.requests, resource, request);
            if amount(&resources.limits, resource).is_some_and(|limit| request.exceeds(&limit)) {
                set(&mut resources.limits, resource, request);
            }
        }
        if let Some(limit) = limit {
            set(&mut resources.limits, resource, limit);
            if amount(&resources.requests, resource).is_some_and(|request| request.exceeds(limit)) {
                set(&mut resources.requests, resource, limit);
            }
        }
    }
    resources
}

fn set(amounts: &mut Amounts, resource: &str, amount: &Amount) {
    amounts
        .get_or_insert_default()
        .insert(resource.to_owned(), amount.to_quantity());
}

fn amount(amounts: &Amounts, resource: &str) -> Option<Amount> {
    Amount::parse(&amounts.as_ref()?.get(resource)?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(cpu: Option<&str>, cpu_limit: Option<&str>) -> serde_json::Value {
        resolved_within(None, cpu, cpu_limit)
    }

    fn resolved_within(
        shared: Option<&ResourceRequirements>,
        cpu: Option<&str>,
        cpu_limit: Option<&str>,
    ) -> serde_json::Value {
        let defaults = serde_json::from_value(json!({
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        }));
        let options = ResourceOptions {
            cpu: cpu.map(|text| Amount::parse(text).unwrap()),
            cpu_limit: cpu_limit.map(|text| Amount::parse(text).unwrap()),
            ..ResourceOptions::default()
        };
        serde_json::to_value(resolve(&defaults.unwrap(), &options, shared)).unwrap()
    }

    #[test]
    fn what_containers_share_leaves_wishes_alone() {
        let shared = serde_json::from_value(json!({"limits": {"cpu": "1"}})).unwrap();
        let resolved = |cpu| resolved_within(Some(&shared), cpu, None);
        assert_eq!(resolved(None), json!({}));
        assert_eq!(resolved(Some("3")), json!({"requests": {"cpu": "3"}}));
        let nothing = ResourceRequirements::default();
        let alone = resolved_within(None, None, None);
        assert_eq!(resolved_within(Some(&nothing), None, None), alone);
    }

    #[test]
    fn one_wish_keeps_the_other_values() {
        let with_cpu = |request: &str, limit: &str| {
            json!({
                "requests": {"cpu": request, "memory": "128Mi"},
                "limits": {"cpu": limit, "memory": "1Gi"},
            })
        };
        assert_eq!(resolved(None, None), with_cpu("100m", "2"));
        assert_eq!(resolved(Some("500m"), None), with_cpu("500m", "2"));
        assert_eq!(resolved(Some("3"), None), with_cpu("3", "3"));
        assert_eq!(resolved(None, Some("50m")), with_cpu("50m", "50m"));
        assert_eq!(resolved(Some("1"), Some("4")), with_cpu("1", "4"));
    }
}
