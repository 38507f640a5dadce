//! Who is injected: key `config` of ConfigMap `istio-sidecar-injector`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::Value;

use lateen_api::{Error, document};

use super::templates::{self, Templates};

/// What errors call the text.
pub(crate) const SOURCE: &str = "config";

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
    /// What there is to inject.
    pub templates: Templates,
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

/// The form of the text.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    policy: Policy,
    default_templates: Vec<String>,
    templates: BTreeMap<String, Value>,
    aliases: BTreeMap<String, Vec<String>>,
    never_inject_selector: Vec<LabelSelector>,
    always_inject_selector: Vec<LabelSelector>,
    injected_annotations: BTreeMap<String, String>,
}

impl InjectionConfig {
    /// Reads the YAML of key `config`. Returned beside it: one sentence for everything that has no
    /// effect.
    ///
    /// # Errors
    /// When the text is not YAML, or a field has a value it cannot have.
    pub fn parse(yaml: &str) -> Result<(Self, Vec<String>), Error> {
        let (document, unknown) = document::parse::<Document>(SOURCE, yaml)?;
        let (templates, of_templates) = Templates::parse(templates::Document {
            default_templates: document.default_templates,
            templates: document.templates,
            aliases: document.aliases,
        })?;
        let unknown = unknown
            .iter()
            .map(|field| format!("{field}: unknown field"));
        let notices = unknown.chain(of_templates).collect();
        let config = Self {
            policy: document.policy,
            never_inject: selectors("neverInjectSelector", document.never_inject_selector)?,
            always_inject: selectors("alwaysInjectSelector", document.always_inject_selector)?,
            injected_annotations: document.injected_annotations,
            templates,
        };
        Ok((config, notices))
    }
}

/// Whether one of the selectors matches. A selector without a condition matches nothing.
pub(crate) fn any_matches(selectors: &[Selector], labels: &BTreeMap<String, String>) -> bool {
    selectors
        .iter()
        .any(|selector| !selector.selects_all() && selector.matches(labels))
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
