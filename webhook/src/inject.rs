//! From a pod to what becomes of it: whether it is injected at all, what its annotations ask for, and
//! the plan that module `assemble` carries out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use lateen_api::{Error, Parsed, ProxyConfig};
use lateen_wire::ports;

use crate::annotations::PodOptions;
use crate::annotations::traffic::TrafficDefaults;
use crate::assemble::assemble;
use crate::config::Config;
use crate::decide::{Reason, decide};
use crate::error::{InjectError, Problem};
use crate::native::{Kubelets, NativeSidecars};
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::parameters::Parameters;
use crate::status::Status;
use crate::template::Plan;
use crate::warnings::warnings;
use crate::{keys, overrides, patch};

static NO_ANNOTATIONS: BTreeMap<String, String> = BTreeMap::new();

/// A configuration ready to inject pods with.
#[derive(Clone, Debug)]
pub struct Injector {
    config: Config,
    native: NativeSidecars,
    traffic: TrafficDefaults,
    proxy_config: ProxyConfig,
    proxy_config_json: String,
}

/// Where a pod is created.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Parameters of the webhook's URL.
    pub parameters: &'a Parameters,
    /// The cluster's kubelets.
    pub kubelets: &'a Kubelets,
    /// The workload behind the pod, where it is known; otherwise the pod's owner tells.
    pub owner: Option<&'a Owner>,
}

/// An injected pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The pod.
    pub pod: Box<Pod>,
    /// One sentence for everything that the pod asks for and does not get.
    pub warnings: Vec<String>,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has been injected before and is left alone.
    AlreadyInjected,
    /// It is injected.
    Injected(Injection),
    /// It is not to be injected.
    Skipped(Reason),
}

impl Outcome {
    /// What changes `pod`, the pod that was given, into the injected one; `None` if nothing does.
    #[must_use]
    pub fn patch(self, pod: Pod) -> Option<patch::Patch> {
        match self {
            Self::Injected(injection) => Some(patch::diff(pod, *injection.pod)),
            Self::AlreadyInjected | Self::Skipped(_) => None,
        }
    }
}

impl Injector {
    /// Prepares a configuration for injection.
    ///
    /// # Errors
    /// When a value has a form it cannot have.
    pub fn new(config: Config, native: NativeSidecars) -> Result<Self, Error> {
        let traffic = TrafficDefaults::parse(&config.values.global.proxy)?;
        let mut proxy_config = config.mesh.default_config.clone();
        if proxy_config.status_port == ports::STATUS {
            proxy_config.status_port = config.values.global.proxy.status_port;
        }
        let proxy_config_json = proxy_config.to_json().to_string();
        Ok(Self {
            config,
            native,
            traffic,
            proxy_config,
            proxy_config_json,
        })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Injects a pod, if it is to be injected. The same pod always gives the same result.
    ///
    /// # Errors
    /// When annotations have values they cannot have; all of them are named.
    pub fn inject(&self, pod: &Pod, target: &Target<'_>) -> Result<Outcome, InjectError> {
        let decision = decide(pod, target.namespace, &self.config.injection);
        if !decision.inject {
            return Ok(Outcome::Skipped(decision.reason));
        }
        if Status::holds_for(pod) {
            return Ok(Outcome::AlreadyInjected);
        }
        let (options, mut problems) = PodOptions::parse(annotations(pod));
        let overlay = self.overlay(pod).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if !problems.is_empty() {
            return Err(InjectError::Annotations(problems));
        }
        let (proxy_config, proxy_config_json) = self.proxy_config(overlay.as_ref(), &options);
        let overrides = pod.spec.as_ref().map(Overrides::of).unwrap_or_default();
        let plan = Plan {
            pod,
            namespace: target.namespace,
            owner: target
                .owner
                .map_or_else(|| Cow::Owned(Owner::of(pod)), Cow::Borrowed),
            values: &self.config.values,
            mesh: &self.config.mesh,
            injected_annotations: &self.config.injection.injected_annotations,
            traffic: &self.traffic,
            parameters: target.parameters,
            native: self.is_native(pod, &options, target),
            status_port: proxy_config.status_port,
            proxy_config,
            proxy_config_json,
            options: &options,
            overrides: &overrides,
        };
        let pod = Box::new(assemble(&plan));
        let warnings = warnings(&plan, overlay.as_ref(), &pod);
        Ok(Outcome::Injected(Injection { pod, warnings }))
    }

    /// The installation's proxy configuration with the pod's laid over it, if the pod has one.
    fn overlay(&self, pod: &Pod) -> Result<Option<Parsed<ProxyConfig>>, Problem> {
        let Some(yaml) = annotations(pod).get(keys::PROXY_CONFIG) else {
            return Ok(None);
        };
        let merged = self.proxy_config.merge(yaml).map_err(|error| Problem {
            key: keys::PROXY_CONFIG.to_owned(),
            value: yaml.clone(),
            allowed: format!("YAML of Istio's ProxyConfig ({error})"),
        })?;
        Ok(Some(merged))
    }

    /// The pod's proxy configuration, and its JSON.
    fn proxy_config(
        &self,
        overlay: Option<&Parsed<ProxyConfig>>,
        options: &PodOptions,
    ) -> (Cow<'_, ProxyConfig>, Cow<'_, str>) {
        if overlay.is_none() && options.status_port.is_none() {
            return (
                Cow::Borrowed(&self.proxy_config),
                Cow::Borrowed(&self.proxy_config_json),
            );
        }
        let mut config = overlay
            .map_or(&self.proxy_config, |overlay| &overlay.config)
            .clone();
        if let Some(port) = options.status_port {
            config.status_port = port;
        }
        let json = config.to_json().to_string();
        (Cow::Owned(config), Cow::Owned(json))
    }

    /// Whether the proxy is a native sidecar: the pod's wish, else the installation's, else what its
    /// kubelet can do. A pod needs one container that is none.
    fn is_native(&self, pod: &Pod, options: &PodOptions, target: &Target<'_>) -> bool {
        let Some(spec) = &pod.spec else {
            return false;
        };
        let wanted = options.native.unwrap_or_else(|| match self.native {
            NativeSidecars::Always => true,
            NativeSidecars::Never => false,
            NativeSidecars::Auto => target.kubelets.support_native(spec.node_name.as_deref()),
        });
        wanted && !spec.containers.iter().all(overrides::is_ours)
    }
}

fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    pod.metadata.annotations.as_ref().unwrap_or(&NO_ANNOTATIONS)
}

#[cfg(test)]
mod tests;
