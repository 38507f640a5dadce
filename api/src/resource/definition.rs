//! The CustomResourceDefinitions of all of Istio's kinds. A kind that Lateen does not act on yet is
//! stored all the same, and whoever applies one is warned.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Column, Kind, Spec, schema};
use crate::{extensions, networking, security, telemetry};

/// Kinds that Lateen acts on. Everything else carries a warning.
const SUPPORTED: &[&str] = &["ProxyConfig"];

/// The definition of every kind, sorted by name.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        definition::<networking::DestinationRule>(),
        definition::<networking::EnvoyFilter>(),
        definition::<networking::Gateway>(),
        definition::<networking::ProxyConfig>(),
        definition::<networking::ServiceEntry>(),
        definition::<networking::Sidecar>(),
        definition::<networking::VirtualService>(),
        definition::<networking::WorkloadEntry>(),
        definition::<networking::WorkloadGroup>(),
        definition::<security::AuthorizationPolicy>(),
        definition::<security::PeerAuthentication>(),
        definition::<security::RequestAuthentication>(),
        definition::<telemetry::Telemetry>(),
        definition::<extensions::TrafficExtension>(),
        definition::<extensions::WasmPlugin>(),
    ];
    definitions.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    definitions
}

fn definition<S: Spec>() -> CustomResourceDefinition {
    let kind = S::KIND;
    let schema = schema::of::<S>();
    let versions =
        kind.versions
            .iter()
            .enumerate()
            .map(|(index, version)| CustomResourceDefinitionVersion {
                name: (*version).to_owned(),
                served: true,
                storage: index == 0,
                deprecated: is_unsupported(&kind).then_some(true),
                deprecation_warning: is_unsupported(&kind).then(|| warning(&kind)),
                additional_printer_columns: columns(&kind),
                schema: Some(CustomResourceValidation {
                    open_api_v3_schema: Some(schema.clone()),
                }),
                subresources: Some(CustomResourceSubresources {
                    status: Some(CustomResourceSubresourceStatus(serde_json::json!({}))),
                    scale: None,
                }),
                selectable_fields: None,
            });
    CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", kind.plural, kind.group)),
            ..ObjectMeta::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: kind.group.to_owned(),
            names: names(&kind),
            scope: "Namespaced".to_owned(),
            versions: versions.collect(),
            ..CustomResourceDefinitionSpec::default()
        },
        status: None,
    }
}

fn names(kind: &Kind) -> CustomResourceDefinitionNames {
    let area = kind.group.split('.').next().unwrap_or_default();
    let short_names = kind.short_names.iter().map(|name| (*name).to_owned());
    CustomResourceDefinitionNames {
        kind: kind.kind.to_owned(),
        list_kind: Some(format!("{}List", kind.kind)),
        plural: kind.plural.to_owned(),
        singular: Some(kind.kind.to_ascii_lowercase()),
        short_names: (!kind.short_names.is_empty()).then(|| short_names.collect()),
        categories: Some(vec!["istio-io".to_owned(), format!("{area}-istio-io")]),
    }
}

fn columns(kind: &Kind) -> Option<Vec<CustomResourceColumnDefinition>> {
    let column = |column: &Column| CustomResourceColumnDefinition {
        name: column.name.to_owned(),
        json_path: column.path.to_owned(),
        type_: column.kind.to_owned(),
        description: Some(column.description.to_owned()),
        ..CustomResourceColumnDefinition::default()
    };
    (!kind.columns.is_empty()).then(|| kind.columns.iter().map(column).collect())
}

fn is_unsupported(kind: &Kind) -> bool {
    !SUPPORTED.contains(&kind.kind)
}

fn warning(kind: &Kind) -> String {
    format!(
        "Lateen stores this {} but does not act on it yet: it has no effect.",
        kind.kind
    )
}
