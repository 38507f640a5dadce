//! Label selectors, condition by condition, so that people see which one decides. The meaning is that
//! of Kubernetes: all conditions must hold, and `NotIn` holds where there is no such label.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde::Serialize;

/// Labels of a namespace or a pod.
pub type Labels = BTreeMap<String, String>;

/// One condition of a selector, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The condition: `istio-injection In [enabled]`.
    pub condition: String,
    /// The label that it looked at: `istio-injection=enabled`; `None` if there is no such label.
    pub found: Option<String>,
    /// Whether it holds.
    pub holds: bool,
}

/// Whether a selector matches labels. No selector matches everything.
#[must_use]
pub fn matches(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    conditions(selector, labels)
        .iter()
        .all(|condition| condition.holds)
}

/// What each condition of a selector says of labels.
#[must_use]
pub fn conditions(selector: Option<&LabelSelector>, labels: &Labels) -> Vec<Condition> {
    let Some(selector) = selector else {
        return Vec::new();
    };
    let equal = selector.match_labels.iter().flatten();
    let equal = equal.map(|(key, value)| LabelSelectorRequirement {
        key: key.clone(),
        operator: "In".to_owned(),
        values: Some(vec![value.clone()]),
    });
    let expressions = selector.match_expressions.iter().flatten().cloned();
    equal
        .chain(expressions)
        .map(|requirement| condition(&requirement, labels))
        .collect()
}

fn condition(requirement: &LabelSelectorRequirement, labels: &Labels) -> Condition {
    let LabelSelectorRequirement {
        key,
        operator,
        values,
    } = requirement;
    let values = values.as_deref().unwrap_or_default();
    let label = labels.get(key);
    let is_listed = label.is_some_and(|label| values.contains(label));
    let holds = match operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        // The API server knows no others.
        _ => false,
    };
    let condition = if values.is_empty() {
        format!("{key} {operator}")
    } else {
        format!("{key} {operator} [{}]", values.join(", "))
    };
    Condition {
        condition,
        found: label.map(|value| format!("{key}={value}")),
        holds,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Selector, SelectorExt};
    use serde_json::json;

    use super::*;

    fn selector(value: serde_json::Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn every_operator_means_what_kubernetes_means() {
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        let selectors = [
            json!({}),
            json!({"matchLabels": {"a": "1"}}),
            expression("In", &["1", "2"]),
            expression("NotIn", &["1", "2"]),
            expression("Exists", &[]),
            expression("DoesNotExist", &[]),
            json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}),
        ];
        for text in selectors {
            for found in [
                &[][..],
                &[("a", "1")],
                &[("a", "3")],
                &[("a", "1"), ("b", "")],
            ] {
                let (selector, found) = (selector(text.clone()), labels(found));
                let reference = Selector::try_from(selector.clone()).unwrap();
                assert_eq!(
                    matches(Some(&selector), &found),
                    reference.matches(&found),
                    "{text} on {found:?}"
                );
            }
        }
        assert!(matches(None, &labels(&[])));
    }

    #[test]
    fn conditions_tell_what_they_found() {
        let selector = selector(json!({"matchExpressions": [
            {"key": "istio-injection", "operator": "In", "values": ["enabled"]},
            {"key": "istio.io/rev", "operator": "DoesNotExist"},
        ]}));
        let found = conditions(Some(&selector), &labels(&[("istio-injection", "off")]));
        assert_eq!(found[0].condition, "istio-injection In [enabled]");
        assert_eq!(found[0].found.as_deref(), Some("istio-injection=off"));
        assert!(!found[0].holds);
        assert_eq!(found[1].condition, "istio.io/rev DoesNotExist");
        assert_eq!((found[1].found.as_deref(), found[1].holds), (None, true));
    }
}
