//! Who is injected: key `config` of ConfigMap `istio-sidecar-injector`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;

use lateen_api::{Error, document};

/// What errors call the text.
pub(crate) const SOURCE: &str = "config";

/// The template that injects a sidecar.
pub const SIDECAR_TEMPLATE: &str = "sidecar";

/// Who is injected, and with which templates.
#[derive(Clone, Debug, Default)]
pub struct InjectionConfig {
    /// What becomes of pods that say nothing about injection.
    pub policy: Policy,
    /// Pods that say nothing and match one of these are not injected.
    pub never_inject: Vec<Selector>,
    /// Pods that say nothing and match one of these are injected, whatever the policy.
    pub always_inject: Vec<Selector>,
    /// Annotations that every injected pod gets.
    pub injected_annotations: BTreeMap<String, String>,
}

/// What becomes of pods that say nothing about injection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They are not injected.
    Disabled,
    /// They are injected.
    #[default]
    Enabled,
}

/// The form of the text. Istio's charts always write the Go templates of all injection templates
/// into it; ours are built in, so the key is known and only its presence tolerated.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    policy: Policy,
    default_templates: Vec<String>,
    templates: BTreeMap<String, serde_json::Value>,
    aliases: BTreeMap<String, Vec<String>>,
    never_inject_selector: Vec<LabelSelector>,
    always_inject_selector: Vec<LabelSelector>,
    injected_annotations: BTreeMap<String, String>,
}

impl InjectionConfig {
    /// Reads the YAML of key `config`, and names the fields that have no effect.
    ///
    /// # Errors
    /// When the text is not YAML, or a field has a value it cannot have.
    pub fn parse(yaml: &str) -> Result<(Self, Vec<String>), Error> {
        let (document, mut unknown) = document::parse::<Document>(SOURCE, yaml)?;
        refuse_other_templates(&document)?;
        unknown.extend(
            document
                .templates
                .keys()
                .map(|name| format!("templates.{name}")),
        );
        unknown.extend(
            document
                .aliases
                .keys()
                .map(|name| format!("aliases.{name}")),
        );
        let config = Self {
            policy: document.policy,
            never_inject: selectors("neverInjectSelector", document.never_inject_selector)?,
            always_inject: selectors("alwaysInjectSelector", document.always_inject_selector)?,
            injected_annotations: document.injected_annotations,
        };
        Ok((config, unknown))
    }
}

/// Whether one of the selectors matches. A selector without a condition matches nothing.
pub(crate) fn any_matches(selectors: &[Selector], labels: &BTreeMap<String, String>) -> bool {
    selectors
        .iter()
        .any(|selector| !selector.selects_all() && selector.matches(labels))
}

fn refuse_other_templates(document: &Document) -> Result<(), Error> {
    match document
        .default_templates
        .iter()
        .find(|name| *name != SIDECAR_TEMPLATE)
    {
        None => Ok(()),
        Some(name) => Err(Error::Field {
            kind: SOURCE,
            path: "defaultTemplates".to_owned(),
            reason: format!("template {name:?} is not known; allowed is {SIDECAR_TEMPLATE:?}"),
        }),
    }
}

fn selectors(field: &'static str, selectors: Vec<LabelSelector>) -> Result<Vec<Selector>, Error> {
    let parse = |(index, selector)| {
        <Selector as TryFrom<LabelSelector>>::try_from(selector).map_err(|error| Error::Field {
            kind: SOURCE,
            path: format!("{field}[{index}]"),
            reason: error.to_string(),
        })
    };
    selectors.into_iter().enumerate().map(parse).collect()
}
