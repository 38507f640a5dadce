use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;

use super::*;
use crate::{extensions, networking, security, telemetry};

static CRDS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(crds);

/// Every part of a schema, with its path.
fn parts(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    collect("", schema, &mut found);
    found
}

fn collect(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), schema.clone()));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), property, found);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(inner) {
            collect(&format!("{path}[]"), part, found);
        }
    }
}

/// The schema of a kind's stored version.
fn schema(kind: &str) -> Value {
    let crd = CRDS.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = crd.spec.versions[0].schema.clone().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.unwrap()).unwrap()
}

#[test]
fn every_kind_has_istios_names_and_versions() {
    let rows: Vec<String> = CRDS
        .iter()
        .map(|crd| {
            let (names, versions) = (&crd.spec.names, &crd.spec.versions);
            let stored: Vec<_> = versions.iter().filter(|version| version.storage).collect();
            assert_eq!(stored.len(), 1, "{} is stored once", names.kind);
            assert_eq!(names.categories.as_ref().unwrap()[0], "istio-io");
            let served: Vec<&str> = versions
                .iter()
                .map(|version| version.name.as_str())
                .collect();
            let columns = versions[0]
                .additional_printer_columns
                .clone()
                .unwrap_or_default();
            let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let name = crd.metadata.name.as_deref().unwrap();
            let short = names.short_names.clone().unwrap_or_default().join(",");
            format!(
                "{name} {} [{short}] {} {}",
                names.kind,
                served.join(","),
                columns.join(",")
            )
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    authorizationpolicies.security.istio.io AuthorizationPolicy [ap] v1,v1beta1 Action,Age
    destinationrules.networking.istio.io DestinationRule [dr] v1,v1beta1,v1alpha3 Host,Age
    envoyfilters.networking.istio.io EnvoyFilter [] v1alpha3 
    gateways.networking.istio.io Gateway [gw] v1,v1beta1,v1alpha3 
    peerauthentications.security.istio.io PeerAuthentication [pa] v1,v1beta1 Mode,Age
    proxyconfigs.networking.istio.io ProxyConfig [] v1beta1 
    requestauthentications.security.istio.io RequestAuthentication [ra] v1,v1beta1 
    serviceentries.networking.istio.io ServiceEntry [se] v1,v1beta1,v1alpha3 Hosts,Location,Resolution,Age
    sidecars.networking.istio.io Sidecar [] v1,v1beta1,v1alpha3 
    telemetries.telemetry.istio.io Telemetry [telemetry] v1,v1alpha1 Age
    trafficextensions.extensions.istio.io TrafficExtension [] v1alpha1 Age
    virtualservices.networking.istio.io VirtualService [vs] v1,v1beta1,v1alpha3 Gateways,Hosts,Age
    wasmplugins.extensions.istio.io WasmPlugin [] v1alpha1 Age
    workloadentries.networking.istio.io WorkloadEntry [we] v1,v1beta1,v1alpha3 Age,Address
    workloadgroups.networking.istio.io WorkloadGroup [wg] v1,v1beta1,v1alpha3 Age
    ");
}

#[test]
fn kinds_without_support_warn_whoever_applies_them() {
    for crd in CRDS.iter() {
        let is_supported = crd.spec.names.kind == "ProxyConfig";
        for version in &crd.spec.versions {
            assert_eq!(version.deprecated, (!is_supported).then_some(true));
            assert_eq!(version.deprecation_warning.is_none(), is_supported);
            let Some(warning) = &version.deprecation_warning else {
                continue;
            };
            assert!(
                warning.contains(&crd.spec.names.kind) && warning.len() <= 256,
                "{warning}"
            );
        }
    }
}

#[test]
fn schemas_are_structural() {
    const KNOWN: [&str; 16] = [
        "additionalProperties",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
        "x-kubernetes-preserve-unknown-fields",
        "minProperties",
    ];
    for crd in CRDS.iter() {
        let kind = crd.spec.names.kind.as_str();
        for (path, part) in parts(&schema(kind)) {
            let fields = part.as_object().unwrap();
            assert!(part["type"].is_string(), "{kind}{path} has a type: {part}");
            for name in fields.keys() {
                assert!(KNOWN.contains(&name.as_str()), "{kind}{path} has {name}");
            }
            if let Some(format) = part.get("format") {
                let known = ["byte", "date-time", "double", "int32", "int64"];
                assert!(
                    known.contains(&format.as_str().unwrap()),
                    "{kind}{path}: {format}"
                );
            }
            let names = part["properties"].as_object();
            for required in part["required"].as_array().into_iter().flatten() {
                assert!(
                    names.unwrap().contains_key(required.as_str().unwrap()),
                    "{kind}{path}"
                );
            }
            let is_map = part.get("additionalProperties").is_some();
            assert!(
                !(is_map && names.is_some()),
                "{kind}{path} is a map and an object"
            );
        }
    }
}

#[test]
fn every_field_is_described() {
    for crd in CRDS.iter() {
        let kind = crd.spec.names.kind.as_str();
        for (path, part) in parts(&schema(kind)) {
            let described = part["description"].is_string();
            let named = path.starts_with('.') && !path.ends_with("[]");
            assert!(described || !named, "{kind}{path}");
        }
    }
}

#[test]
fn a_field_is_described_by_itself_and_not_by_its_type() {
    let rule = &schema("DestinationRule")["properties"]["spec"]["properties"];
    assert_eq!(
        rule["trafficPolicy"]["description"],
        "Policy for all of the service."
    );
    assert_eq!(rule["trafficPolicy"]["type"], "object");
    let simple = &rule["trafficPolicy"]["properties"]["loadBalancer"]["properties"]["simple"];
    assert_eq!(simple["type"], "string");
    assert_eq!(simple["enum"][0], "UNSPECIFIED");
}

#[test]
fn of_some_fields_only_one_may_be_set() {
    let schema = schema("VirtualService");
    let route = &schema["properties"]["spec"]["properties"]["http"]["items"]["properties"];
    let uri = &route["match"]["items"]["properties"]["uri"];
    assert_eq!(
        uri["oneOf"],
        json!([
            {"not": {"anyOf": [
                {"required": ["exact"]}, {"required": ["prefix"]}, {"required": ["regex"]},
            ]}},
            {"required": ["exact"]},
            {"required": ["prefix"]},
            {"required": ["regex"]},
        ])
    );
}

#[test]
fn what_another_program_understands_is_kept_as_it_is() {
    let kept: Vec<String> = CRDS
        .iter()
        .flat_map(|crd| {
            let kind = crd.spec.names.kind.clone();
            parts(&schema(&kind))
                .into_iter()
                .filter(|(_, part)| part["x-kubernetes-preserve-unknown-fields"] == true)
                .map(move |(path, _)| format!("{kind}{path}"))
        })
        .filter(|path| !path.ends_with(".status"))
        .collect();
    assert_eq!(
        kept,
        [
            "EnvoyFilter.spec.configPatches[].patch.value",
            "TrafficExtension.spec.wasm.pluginConfig",
            "WasmPlugin.spec.pluginConfig",
        ]
    );
}

/// What a manifest's spec becomes: every field that was written is still there, as it was.
fn keeps_everything<S: Spec>(spec: &Value) {
    let (read, unknown) = document::check::<S>(S::KIND.kind, spec).unwrap_or_else(|error| {
        panic!("{error}");
    });
    assert_eq!(unknown, Vec::<String>::new(), "{}", S::KIND.kind);
    assert_within("spec", spec, &serde_json::to_value(&read).unwrap());
}

fn assert_within(path: &str, written: &Value, read: &Value) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                assert_within(&path, value, read.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{path}");
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                assert_within(&format!("{path}[{index}]"), written, read);
            }
        }
        (Value::Number(written), Value::Number(read)) => {
            assert_eq!(written.as_f64(), read.as_f64(), "{path}");
        }
        (Value::String(written), Value::String(read)) if written != read => {
            let duration = |text: &str| text.parse::<crate::Duration>().unwrap();
            assert_eq!(duration(written), duration(read), "{path}");
        }
        _ => assert_eq!(written, read, "{path}"),
    }
}

#[test]
fn manifests_of_courses_are_read_without_loss() {
    type Check = fn(&Value);
    let checks: BTreeMap<&str, Check> = [
        (
            "AuthorizationPolicy",
            keeps_everything::<security::AuthorizationPolicy> as Check,
        ),
        (
            "DestinationRule",
            keeps_everything::<networking::DestinationRule>,
        ),
        ("EnvoyFilter", keeps_everything::<networking::EnvoyFilter>),
        ("Gateway", keeps_everything::<networking::Gateway>),
        (
            "PeerAuthentication",
            keeps_everything::<security::PeerAuthentication>,
        ),
        ("ProxyConfig", keeps_everything::<networking::ProxyConfig>),
        (
            "RequestAuthentication",
            keeps_everything::<security::RequestAuthentication>,
        ),
        ("ServiceEntry", keeps_everything::<networking::ServiceEntry>),
        ("Sidecar", keeps_everything::<networking::Sidecar>),
        ("Telemetry", keeps_everything::<telemetry::Telemetry>),
        (
            "TrafficExtension",
            keeps_everything::<extensions::TrafficExtension>,
        ),
        (
            "VirtualService",
            keeps_everything::<networking::VirtualService>,
        ),
        ("WasmPlugin", keeps_everything::<extensions::WasmPlugin>),
        (
            "WorkloadEntry",
            keeps_everything::<networking::WorkloadEntry>,
        ),
        (
            "WorkloadGroup",
            keeps_everything::<networking::WorkloadGroup>,
        ),
    ]
    .into();
    let manifests: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("../../tests/manifests.yaml")).unwrap();
    let mut seen: Vec<&str> = Vec::new();
    for manifest in &manifests {
        let kind = manifest["kind"].as_str().unwrap();
        checks[kind](&manifest["spec"]);
        seen.push(kind);
    }
    for kind in checks.keys() {
        assert!(seen.contains(kind), "a manifest of {kind}");
    }
}

#[test]
fn errors_name_the_field() {
    let object = |spec: Value| -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "reviews"},
            "spec": spec,
        }))
        .unwrap()
    };
    let read = |spec| read_spec::<networking::DestinationRule>(&object(spec));
    assert_eq!(
        read(json!({"host": "a", "subsets": null})).unwrap().host,
        "a"
    );
    let error = read(json!({"host": "a", "trafficPolicy": {"tls": {"mode": "MAYBE"}}}));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("trafficPolicy.tls.mode") && error.contains("`SIMPLE`"),
        "{error}"
    );
    let error = read(json!({})).unwrap_err().to_string();
    assert!(error.contains("host"), "{error}");
}

#[test]
fn kinds_are_addressed_in_their_stored_version() {
    let resource = api_resource::<networking::VirtualService>();
    assert_eq!(resource.api_version, "networking.istio.io/v1");
    assert_eq!(resource.plural, "virtualservices");
}
