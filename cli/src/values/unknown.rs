//! Finds values that no chart reads, most often typing errors, so that none is dropped in silence.

use serde_json::{Map, Value};

/// Parts of the tree whose fields are not the charts' own.
const OPEN: [&str; 4] = [
    "meshConfig",
    "global.proxy.resources",
    "pilot.resources",
    "sidecarInjectorWebhook.resources",
];

/// Paths of the overlay that the defaults do not have. Below an empty map of the defaults
/// everything is allowed: that is where users put their own keys.
pub(super) fn unknown(defaults: &Map<String, Value>, overlay: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    collect("", defaults, overlay, &mut found);
    found
}

fn collect(
    parent: &str,
    defaults: &Map<String, Value>,
    overlay: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    for (key, value) in overlay {
        let path = if parent.is_empty() {
            key.clone()
        } else {
            format!("{parent}.{key}")
        };
        match (defaults.get(key), value) {
            _ if OPEN.contains(&path.as_str()) => {}
            (None, _) => found.push(path),
            (Some(Value::Object(below)), Value::Object(above)) if !below.is_empty() => {
                collect(&path, below, above, found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_defaults_lack_is_unknown() {
        let defaults = json!({"global": {"hub": "", "proxy": {"resources": {"limits": {}}}},
            "pilot": {"env": {}}, "meshConfig": {"trustDomain": "td"}});
        let overlay = json!({"global": {"hubb": "", "proxy": {"resources": {"requests": {"cpu": 1}}, "x": {"y": 1}}},
            "pilot": {"env": {"A": "b"}}, "meshConfig": {"anything": true}, "gateways": {}});
        let found = unknown(defaults.as_object().unwrap(), overlay.as_object().unwrap());
        assert_eq!(found, ["gateways", "global.hubb", "global.proxy.x"]);
    }
}
