//! ConfigMap `istio` (mesh configuration) and ConfigMap `istio-sidecar-injector` (policy, templates
//! and values of injection), with Istio's keys and formats.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use lateen_wire::{names, ports};
use serde_json::{Map, Value, json};

use super::component::Component;
use super::object::Object;
use crate::values::Values;

/// The template that pods get unless they or the values name others.
const SIDECAR_TEMPLATE: &str = "sidecar";

/// Both ConfigMaps.
pub(super) fn objects(values: &Values) -> Result<Vec<Object>> {
    let mesh_networks = json!({ "networks": values.global.mesh_networks });
    let mesh = [
        ("mesh", yaml(mesh(values))?),
        ("meshNetworks", yaml(mesh_networks)?),
    ];
    let injection = [
        ("config", yaml(injection_config(values))?),
        ("values", injection_values(values)?),
    ];
    Ok(vec![
        Object::new(&config_map(
            Component::Control,
            names::MESH_CONFIG_MAP,
            values,
            mesh,
        ))?,
        Object::new(&config_map(
            Component::Injector,
            names::INJECTOR,
            values,
            injection,
        ))?,
    ])
}

fn config_map(
    component: Component,
    name: &str,
    values: &Values,
    data: [(&str, String); 2],
) -> ConfigMap {
    let mut metadata = component.metadata(values);
    metadata.name = Some(values.revision.name_of(name));
    ConfigMap {
        metadata,
        data: Some(
            data.into_iter()
                .map(|(key, text)| (key.to_owned(), text))
                .collect(),
        ),
        ..ConfigMap::default()
    }
}

/// The user's mesh configuration, completed with what depends on the namespace.
fn mesh(values: &Values) -> Value {
    let namespace = values.namespace();
    let mut mesh = values.mesh_config.clone();
    mesh.entry("rootNamespace")
        .or_insert_with(|| Value::from(namespace));
    let proxy = mesh
        .entry("defaultConfig")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(proxy) = proxy.as_object_mut() {
        proxy.entry("discoveryAddress").or_insert_with(|| {
            Value::from(format!(
                "{}.{namespace}.svc:{}",
                Component::Control.name_in(&values.revision),
                ports::DISCOVERY
            ))
        });
    }
    Value::Object(mesh)
}

/// Policy and templates of injection.
fn injection_config(values: &Values) -> Value {
    let webhook = values.raw("sidecarInjectorWebhook");
    let mut config = pick(
        &webhook,
        &[
            "aliases",
            "alwaysInjectSelector",
            "neverInjectSelector",
            "injectedAnnotations",
            "templates",
        ],
    );
    let templates = webhook.get("defaultTemplates").and_then(Value::as_array);
    let templates = templates.filter(|templates| !templates.is_empty()).cloned();
    config.insert("policy".to_owned(), json!(values.global.proxy.auto_inject));
    config.insert(
        "defaultTemplates".to_owned(),
        templates.map_or_else(|| json!([SIDECAR_TEMPLATE]), Value::Array),
    );
    Value::Object(config)
}

/// The part of the values that is about injected pods.
fn injection_values(values: &Values) -> Result<String> {
    let mut global = omit(
        values.raw("global"),
        &[
            "defaultPodDisruptionBudget",
            "meshNetworks",
            "networkPolicy",
            "priorityClassName",
        ],
    );
    let proxy = omit(global.remove("proxy").unwrap_or_default(), &["autoInject"]);
    global.insert("istioNamespace".to_owned(), Value::from(values.namespace()));
    global.insert("proxy".to_owned(), Value::Object(proxy));
    let mut all = json!({
        "gateways": values.raw("gateways"),
        "global": global,
        "pilot": pick(&values.raw("pilot"), &["cni", "crlConfigMapName", "env"]),
        "revision": values.revision.name_of("").trim_start_matches('-'),
        "sidecarInjectorWebhook": pick(&values.raw("sidecarInjectorWebhook"), &["rewriteAppHTTPProbe"]),
    });
    all.sort_all_objects();
    let text = serde_json::to_string_pretty(&all)
        .context("cannot write the values of injection as JSON")?;
    Ok(escape_as_go(&text))
}

/// A map without some of its keys.
fn omit(map: Value, keys: &[&str]) -> Map<String, Value> {
    let Value::Object(mut map) = map else {
        return Map::new();
    };
    map.retain(|key, _| !keys.contains(&key.as_str()));
    map
}

/// Those of the keys that a map has.
fn pick(map: &Value, keys: &[&str]) -> Map<String, Value> {
    let entries = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), map.get(key)?.clone())));
    entries.collect()
}

/// Helm writes JSON with Go's escapes; the same text keeps a change of installer from being a
/// change of configuration.
fn escape_as_go(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// YAML without the newline at its end, as a block scalar in a chart gives it.
fn yaml(mut value: Value) -> Result<String> {
    value.sort_all_objects();
    let text = serde_saphyr::to_string(&value).context("cannot write configuration as YAML")?;
    Ok(text.trim_end().to_owned())
}
