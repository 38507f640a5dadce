//! Whether an injected pod that is presented again is what injection would make of it. It has passed
//! the API server in between, which fills in defaults, writes quantities in its own way and mounts
//! the service account's token.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};

use crate::quantity::Amount;

/// Fields of containers, probes and volumes that the API server fills in.
const DEFAULTED: [&str; 12] = [
    "apiVersion",
    "defaultMode",
    "divisor",
    "expirationSeconds",
    "imagePullPolicy",
    "initialDelaySeconds",
    "protocol",
    "scheme",
    "successThreshold",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "timeoutSeconds",
];

/// Where the API server mounts the token of the service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Whether `present` is `wanted`, but for what the API server does to every pod.
pub(crate) fn is_same(present: &Pod, wanted: &Pod) -> bool {
    let tree = |pod: &Pod| serde_json::to_value(pod).unwrap_or_default();
    is_value("", &tree(present), &tree(wanted))
}

fn is_value(name: &str, present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => are_fields(name, present, wanted),
        (Value::Array(present), Value::Array(wanted)) => are_items(name, present, wanted),
        _ => present == wanted,
    }
}

fn are_fields(name: &str, present: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    if ["limits", "requests"].contains(&name) {
        return are_amounts(present, wanted);
    }
    let all_wanted = wanted
        .iter()
        .all(|(field, value)| match present.get(field) {
            Some(present) => is_value(field, present, value),
            None => *value == Value::String(String::new()),
        });
    let mut more = present
        .iter()
        .filter(|(field, _)| !wanted.contains_key(*field));
    all_wanted
        && more.all(|(field, value)| {
            DEFAULTED.contains(&field.as_str())
                || value
                    .as_array()
                    .is_some_and(|items| are_items(field, items, &[]))
        })
}

fn are_items(name: &str, present: &[Value], wanted: &[Value]) -> bool {
    let is_ours = |item: &&Value| {
        name != "volumeMounts"
            || item
                .get("mountPath")
                .is_none_or(|path| path != SERVICE_ACCOUNT)
    };
    let (mut present, mut wanted) = (
        present.iter().filter(is_ours),
        wanted.iter().filter(is_ours),
    );
    let mut pairs = std::iter::from_fn(|| match (present.next(), wanted.next()) {
        (None, None) => None,
        pair => Some(pair),
    });
    pairs.all(|pair| match pair {
        (Some(present), Some(wanted)) => is_value("", present, wanted),
        _ => false,
    })
}

fn are_amounts(present: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    let amount = |value: &Value| value.as_str().and_then(Amount::parse);
    let is_same = |(resource, value): (&String, &Value)| {
        let present = present.get(resource).and_then(amount);
        present.is_some_and(|present| amount(value).is_some_and(|wanted| wanted.equals(&present)))
    };
    present.len() == wanted.len() && wanted.iter().all(is_same)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_server_fills_in_makes_no_other_pod() {
        let wanted = json!({
            "name": "istio-proxy", "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}},
            "env": [{"name": "A", "value": ""}, {"name": "B", "value": "1"}],
            "volumeMounts": [{"name": "a", "mountPath": "/a"}],
        });
        let stored = json!({
            "name": "istio-proxy", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "env": [{"name": "A"}, {"name": "B", "value": "1"}],
            "volumeMounts": [
                {"name": "a", "mountPath": "/a"},
                {"name": "t", "mountPath": SERVICE_ACCOUNT, "readOnly": true},
            ],
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
        });
        assert!(is_value("", &stored, &wanted));
        let others = [
            ("/resources/limits/cpu", json!("3")),
            ("/env/1/value", json!("2")),
            ("/env/0/name", json!("C")),
            ("/volumeMounts/0/mountPath", json!("/b")),
            ("/name", json!("web")),
        ];
        for (path, value) in others {
            let mut other = stored.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert!(!is_value("", &other, &wanted), "{path}");
        }
        let mut other = stored;
        other["stdin"] = json!(true);
        assert!(!is_value("", &other, &wanted));
    }
}
