//! From a pod to an injected pod, step by step.

use std::borrow::Cow;
use std::collections::BTreeMap;

use json_patch::Patch;
use k8s_openapi::api::core::v1::{Container, EnvVar, LocalObjectReference, Pod, PodSpec};

use lateen_api::ProxyConfig;
use lateen_wire::names;
use lateen_wire::ports;

use crate::annotations::PodOptions;
use crate::annotations::traffic::TrafficDefaults;
use crate::config::Config;
use crate::decide::{Reason, decide};
use crate::error::{ConfigError, InjectError, Problem};
use crate::native::{Kubelets, NativeSidecars};
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::parameters::Parameters;
use crate::status::{self, Status};
use crate::template::{Plan, init, literal, metadata, proxy, volumes};
use crate::{keys, patch, probes, prometheus};

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

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has been injected before and is left alone.
    AlreadyInjected,
    /// The injected pod.
    Injected(Box<Pod>),
    /// It is not to be injected.
    Skipped(Reason),
}

impl Outcome {
    /// What changes `pod`, the pod that was given, into the injected one; `None` if nothing does.
    #[must_use]
    pub fn patch(self, pod: Pod) -> Option<Patch> {
        match self {
            Self::Injected(injected) => Some(patch::diff(pod, *injected)),
            Self::AlreadyInjected | Self::Skipped(_) => None,
        }
    }
}

impl Injector {
    /// Prepares a configuration for injection.
    ///
    /// # Errors
    /// When a value has a form it cannot have.
    pub fn new(config: Config, native: NativeSidecars) -> Result<Self, ConfigError> {
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
        let (proxy_config, proxy_config_json) = match self.proxy_config(pod, &options) {
            Ok(proxy_config) if problems.is_empty() => proxy_config,
            Ok(_) => return Err(InjectError::Annotations(problems)),
            Err(problem) => {
                problems.push(problem);
                return Err(InjectError::Annotations(problems));
            }
        };
        let mut application = pod.clone();
        let overrides = application
            .spec
            .as_mut()
            .map(Overrides::take_from)
            .unwrap_or_default();
        let plan = Plan {
            pod: &application,
            namespace: target.namespace,
            owner: target
                .owner
                .map_or_else(|| Cow::Owned(Owner::of(pod)), Cow::Borrowed),
            values: &self.config.values,
            mesh: &self.config.mesh,
            traffic: &self.traffic,
            parameters: target.parameters,
            native: self.is_native(&application, &options, target),
            status_port: proxy_config.status_port,
            proxy_config,
            proxy_config_json,
            options: &options,
            overrides: &overrides,
        };
        Ok(Outcome::Injected(Box::new(self.apply(&plan))))
    }

    /// The installation's proxy configuration with the pod's laid over it, and its JSON.
    fn proxy_config(
        &self,
        pod: &Pod,
        options: &PodOptions,
    ) -> Result<(Cow<'_, ProxyConfig>, Cow<'_, str>), Problem> {
        let overlay = annotations(pod).get(keys::PROXY_CONFIG);
        if overlay.is_none() && options.status_port.is_none() {
            return Ok((
                Cow::Borrowed(&self.proxy_config),
                Cow::Borrowed(&self.proxy_config_json),
            ));
        }
        let mut merged = match overlay {
            None => self.proxy_config.clone(),
            Some(yaml) => {
                let parsed = self.proxy_config.merge(yaml).map_err(|error| Problem {
                    key: keys::PROXY_CONFIG.to_owned(),
                    value: yaml.clone(),
                    allowed: format!("YAML of Istio's ProxyConfig ({error})"),
                })?;
                parsed.config
            }
        };
        if let Some(port) = options.status_port {
            merged.status_port = port;
        }
        let json = merged.to_json().to_string();
        Ok((Cow::Owned(merged), Cow::Owned(json)))
    }

    /// Whether the proxy is a native sidecar: the pod's wish, else the installation's, else what its
    /// kubelet can do. A pod needs one container that is none.
    fn is_native(&self, application: &Pod, options: &PodOptions, target: &Target<'_>) -> bool {
        let Some(spec) = &application.spec else {
            return false;
        };
        let wanted = options.native.unwrap_or_else(|| match self.native {
            NativeSidecars::Always => true,
            NativeSidecars::Never => false,
            NativeSidecars::Auto => target.kubelets.support_native(spec.node_name.as_deref()),
        });
        wanted && !spec.containers.is_empty()
    }

    fn apply(&self, plan: &Plan<'_>) -> Pod {
        let mut pod = plan.pod.clone();
        let mut init = init::container(plan);
        let mut proxy = proxy::container(plan);
        let volumes = volumes::volumes(plan);
        let secrets = &self.config.values.global.image_pull_secrets;
        let mut status = Status {
            init_containers: status::names(init.iter().map(|container| container.name.as_str())),
            containers: None,
            volumes: status::names(volumes.iter().map(|volume| volume.name.as_str())),
            image_pull_secrets: status::names(secrets.iter().map(String::as_str)),
            revision: self.config.values.revision().to_owned(),
        };
        let list = if plan.native {
            &mut status.init_containers
        } else {
            &mut status.containers
        };
        list.get_or_insert_default().push(proxy.name.clone());

        let spec = pod.spec.get_or_insert_default();
        let variables = proxy.env.get_or_insert_default();
        variables.extend(self.merge_metrics(plan));
        variables.extend(self.rewrite_probes(plan, spec));
        plan.overrides.apply(&mut proxy);
        if let Some(init) = &mut init {
            plan.overrides.apply(init);
        }
        place(spec, init, proxy, plan);
        add_missing(spec.volumes.get_or_insert_default(), volumes, |volume| {
            &volume.name
        });
        if !secrets.is_empty() {
            let secrets = secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() });
            let list = spec.image_pull_secrets.get_or_insert_default();
            list.extend(missing(list, secrets.collect(), |secret| &secret.name));
        }

        metadata::add(plan, &mut pod.metadata);
        let annotations = pod.metadata.annotations.get_or_insert_default();
        if self.merges_metrics(plan) {
            prometheus::redirect(annotations, plan.status_port);
        }
        if let Ok(status) = serde_json::to_string(&status) {
            annotations.insert(names::STATUS.to_owned(), status);
        }
        let forced = self.config.injection.injected_annotations.iter();
        annotations.extend(forced.map(|(key, value)| (key.clone(), value.clone())));
        pod
    }

    fn merges_metrics(&self, plan: &Plan<'_>) -> bool {
        let mesh_merges = self.config.mesh.enable_prometheus_merge;
        prometheus::is_merged(plan.options, mesh_merges, plan.status_port)
    }

    /// The variable that tells the agent of the application's metrics.
    fn merge_metrics(&self, plan: &Plan<'_>) -> Option<EnvVar> {
        let merges = self.merges_metrics(plan);
        let value = merges
            .then(|| prometheus::variable(&plan.options.scrape))
            .flatten()?;
        Some(literal(prometheus::VARIABLE, &value))
    }

    /// Rewrites the application's probes; the variable tells the agent of them.
    fn rewrite_probes(&self, plan: &Plan<'_>, spec: &mut PodSpec) -> Option<EnvVar> {
        let default = self
            .config
            .values
            .sidecar_injector_webhook
            .rewrite_app_http_probe;
        let wanted = plan.options.rewrite_probes.unwrap_or(default);
        if !wanted || plan.status_port == 0 {
            return None;
        }
        let probers = probes::rewrite(spec, plan.status_port, plan.native);
        if probers.is_empty() {
            return None;
        }
        Some(literal(
            probes::VARIABLE,
            &serde_json::to_string(&probers).ok()?,
        ))
    }
}

fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    pod.metadata.annotations.as_ref().unwrap_or(&NO_ANNOTATIONS)
}

/// Puts the containers where they belong. Native: redirection, then the proxy, then the user's init
/// containers, which are in the mesh. Classic: the user's init containers run before redirection
/// exists, since nobody would serve them after it.
fn place(spec: &mut PodSpec, init: Option<Container>, proxy: Container, plan: &Plan<'_>) {
    if plan.native {
        let ours = init.into_iter().chain([proxy]);
        spec.init_containers
            .get_or_insert_default()
            .splice(0..0, ours);
        return;
    }
    if let Some(init) = init {
        spec.init_containers.get_or_insert_default().push(init);
    }
    let place = if plan.proxy_is_first() {
        0
    } else {
        spec.containers.len()
    };
    spec.containers.insert(place, proxy);
}

/// Puts our items before the user's, except those whose names the user has taken.
fn add_missing<T>(list: &mut Vec<T>, ours: Vec<T>, name: impl Fn(&T) -> &String) {
    let ours = missing(list, ours, name);
    list.splice(0..0, ours);
}

fn missing<T>(list: &[T], mut ours: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    ours.retain(|item| !list.iter().any(|taken| name(taken) == name(item)));
    ours
}

#[cfg(test)]
mod tests;
