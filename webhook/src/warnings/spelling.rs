//! Keys and values of labels and annotations that are almost, but not quite, those that have an
//! effect.

use k8s_openapi::api::core::v1::Pod;

use lateen_wire::names;

use crate::keys::{ANNOTATIONS, LABELS};

/// How many letters may be wrong, missing, too many or swapped in a misspelt key.
const MOST_ERRORS: usize = 2;

/// Values of label `security.istio.io/tlsMode`.
const TLS_MODES: [&str; 2] = [names::TLS_MODE_ISTIO, "disabled"];

/// Suspicious labels and annotations of a pod.
pub(crate) fn of_keys(pod: &Pod) -> Vec<String> {
    let labels = pod.metadata.labels.iter().flatten();
    let annotations = pod.metadata.annotations.iter().flatten();
    let mut warnings = Vec::new();
    for (key, value) in labels {
        if key == names::INJECTION {
            warnings.push(format!(
                "label {key} has no effect on a pod: it is for namespaces, and {} is for pods",
                names::INJECT
            ));
        } else if key == names::TLS_MODE && !TLS_MODES.contains(&value.as_str()) {
            let allowed = TLS_MODES.join(" or ");
            warnings.push(format!(
                "label {key} has no effect: {value:?} is not {allowed}"
            ));
        }
        warnings.extend(misspelt("label", key, LABELS));
    }
    for (key, _) in annotations {
        warnings.extend(misspelt("annotation", key, ANNOTATIONS));
    }
    warnings
}

fn misspelt(what: &str, key: &str, known: &[&str]) -> Option<String> {
    let has_domain = key.contains('/');
    if !has_domain || LABELS.contains(&key) || ANNOTATIONS.contains(&key) {
        return None;
    }
    let close = |errors: usize| {
        let mut known = known.iter();
        known.find(|known| differ_at_most(errors, key.as_bytes(), known.as_bytes()))
    };
    let other_case = known.iter().find(|known| known.eq_ignore_ascii_case(key));
    let meant = other_case.or_else(|| (1..=MOST_ERRORS).find_map(close))?;
    Some(format!(
        "{what} {key} has no effect: there is none by this name; is {meant} meant?"
    ))
}

/// Whether so many errors of typing make one text of the other.
fn differ_at_most(errors: usize, one: &[u8], other: &[u8]) -> bool {
    if one.len().abs_diff(other.len()) > errors {
        return false;
    }
    match (one, other) {
        ([], rest) | (rest, []) => rest.len() <= errors,
        ([first, one_rest @ ..], [second, other_rest @ ..]) if first == second => {
            differ_at_most(errors, one_rest, other_rest)
        }
        ([first, one_rest @ ..], [second, other_rest @ ..]) => {
            let Some(errors) = errors.checked_sub(1) else {
                return false;
            };
            let swapped = match (one_rest, other_rest) {
                ([next, one_rest @ ..], [after, other_rest @ ..]) => {
                    first == after && second == next && differ_at_most(errors, one_rest, other_rest)
                }
                _ => false,
            };
            swapped
                || differ_at_most(errors, one_rest, other_rest)
                || differ_at_most(errors, one_rest, other)
                || differ_at_most(errors, one, other_rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_told_from_other_keys() {
        let meant = |key: &str| misspelt("annotation", key, ANNOTATIONS);
        for near in [
            "sidecar.istio.io/proxyCpu",
            "sidecar.isito.io/proxyCPU",
            "Sidecar.Istio.io/ProxyCPU",
            "sidecar.istio.io/proxiCPUU",
        ] {
            let warning = meant(near).unwrap();
            assert!(
                warning.contains("is sidecar.istio.io/proxyCPU meant?"),
                "{warning}"
            );
        }
        for other in [
            "sidecar.istio.io/proxyCPU",
            "prometheus.io/probe",
            "example.org/proxyCPU",
            "sidecar.istio.io/statsCompression",
            "istio.io/use-waypoint",
            "app",
            "",
        ] {
            assert_eq!(meant(other), None, "{other}");
        }
        let label = misspelt("label", "sidecar.istio.io/injct", LABELS).unwrap();
        assert!(
            label.contains("is sidecar.istio.io/inject meant?"),
            "{label}"
        );
    }
}
