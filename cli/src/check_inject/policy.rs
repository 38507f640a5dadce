//! The policy of the injector that is asked: ConfigMap `istio-sidecar-injector` of its revision.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use lateen_webhook::config::InjectionConfig;
use lateen_webhook::decide::explain;
use lateen_wire::{Revision, names};
use serde::Serialize;

use super::subject::Subject;
use crate::console::chain;
use crate::hooks::Hook;

/// One rule of the policy, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rule {
    /// What was found.
    pub(super) found: String,
    /// What the rule decides; absent if it leaves the decision to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inject: Option<bool>,
}

/// The rules that were looked at, or why they are not known.
pub(super) type Explanation = Result<Vec<Rule>, String>;

/// The policies of all injectors, each read once.
pub(super) struct Policies<'a> {
    client: &'a Client,
    read: BTreeMap<[String; 2], Result<InjectionConfig, String>>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self {
            client,
            read: BTreeMap::new(),
        }
    }

    /// What the policy of an injector says of a pod.
    pub(super) async fn explain(&mut self, hook: &Hook, subject: &Subject) -> Explanation {
        let Some(service) = hook.service() else {
            return Err("the injector is outside of the cluster".to_owned());
        };
        let revision: Revision = hook
            .revision()
            .parse()
            .map_err(|error| format!("{error}"))?;
        let place = [service.namespace.clone(), revision.name_of(names::INJECTOR)];
        if !self.read.contains_key(&place) {
            let config = read(self.client, &place).await;
            self.read.insert(place.clone(), config);
        }
        let config = match self.read.get(&place) {
            Some(Ok(config)) => config,
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err("it was not read".to_owned()),
        };
        Ok(rules(subject, config))
    }
}

async fn read(client: &Client, [namespace, name]: &[String; 2]) -> Result<InjectionConfig, String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps.get(name).await.map_err(|error| {
        let error = chain(&error.into());
        format!("cannot read ConfigMap {namespace}/{name}: {error}")
    })?;
    let text = map.data.and_then(|mut data| data.remove("config"));
    let (config, _) = InjectionConfig::parse(&text.unwrap_or_default())
        .map_err(|error| format!("ConfigMap {namespace}/{name}: {error}"))?;
    Ok(config)
}

pub(super) fn rules(subject: &Subject, config: &InjectionConfig) -> Vec<Rule> {
    let steps = explain(&subject.pod, &subject.namespace, config);
    steps
        .iter()
        .map(|step| Rule {
            found: step.to_string(),
            inject: step.inject,
        })
        .collect()
}
