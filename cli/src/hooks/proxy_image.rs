//! The image of the proxy that pods get from an injector: key `values` of its ConfigMap
//! `istio-sidecar-injector[-REVISION]`.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use lateen_webhook::config::Values;
use lateen_wire::{Revision, names};

use super::Hook;

/// Namespace and name of an injector's configuration; `None` if it is outside of the cluster.
pub(crate) fn place(hook: &Hook) -> Option<[String; 2]> {
    let revision: Revision = hook.revision().parse().ok()?;
    let namespace = &hook.service()?.namespace;
    Some([namespace.clone(), revision.name_of(names::INJECTOR)])
}

/// An injector's configuration, if there is one.
///
/// # Errors
/// The API server refuses to show it.
pub(crate) async fn configuration(client: &Client, hook: &Hook) -> Result<Option<ConfigMap>> {
    let Some([namespace, name]) = place(hook) else {
        return Ok(None);
    };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    maps.get_opt(&name)
        .await
        .with_context(|| format!("cannot look at ConfigMap {namespace}/{name}"))
}

/// The image that a configuration names, for pods that ask for no other.
pub(crate) fn of(configuration: &ConfigMap) -> Option<String> {
    let text = configuration.data.as_ref()?.get("values")?;
    let (values, _) = Values::parse(text).ok()?;
    Some(values.proxy_image())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_named_by_values() {
        for (values, expected) in [
            (
                r#"{"global": {"hub": "h", "tag": "1", "proxy": {"image": "proxyv2"}}}"#,
                Some("h/proxyv2:1"),
            ),
            (
                r#"{"global": {"proxy": {"image": "own/proxy:2"}}}"#,
                Some("own/proxy:2"),
            ),
            ("{", None),
        ] {
            let map = serde_json::from_value(json!({"data": {"values": values}})).unwrap();
            assert_eq!(of(&map).as_deref(), expected, "{values}");
        }
    }
}
