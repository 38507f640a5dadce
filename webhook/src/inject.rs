//! From a pod to what becomes of it: whether it is injected at all, what its annotations ask for, and
//! the plan that module `assemble` carries out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use lateen_api::{Error, ProxyConfig};
use lateen_wire::ports;

use crate::annotations::traffic::TrafficDefaults;
use crate::annotations::{self, PodOptions};
use crate::assemble::assemble;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::config::templates::{BuiltIn, Selection};
use crate::decide::{Reason, decide};
use crate::earlier::without_injection;
use crate::error::{InjectError, Problem};
use crate::layers::{Facts, Layers};
use crate::native::NativeSidecars;
use crate::openshift::ProxyIdentity;
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::parameters::Parameters;
use crate::same::is_same;
use crate::settings::Settings;
use crate::template::{self, Plan};
use crate::{keys, overrides, patch, warnings};

static NO_ENTRIES: BTreeMap<String, String> = BTreeMap::new();

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
    /// The cluster.
    pub cluster: &'a Cluster,
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
    /// It has been injected before, and would be injected so again.
    AlreadyInjected,
    /// It is injected.
    Injected(Injection),
    /// It is not to be injected.
    Skipped {
        /// Why not.
        reason: Reason,
        /// One sentence for everything about this that is probably not meant so.
        warnings: Vec<String>,
    },
}

impl Outcome {
    /// What changes `pod`, the pod that was given, into the injected one; `None` if nothing does.
    #[must_use]
    pub fn patch(self, pod: Pod) -> Option<patch::Patch> {
        match self {
            Self::Injected(injection) => Some(patch::diff(pod, *injection.pod)),
            Self::AlreadyInjected | Self::Skipped { .. } => None,
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

    /// Injects a pod, if it is to be injected. The same pod always gives the same result. What an
    /// earlier injection has left is taken out before.
    ///
    /// # Errors
    /// When annotations have values they cannot have; all of them are named. Or when a custom template
    /// does not fit the pod.
    pub fn inject(&self, pod: &Pod, target: &Target<'_>) -> Result<Outcome, InjectError> {
        let decision = decide(pod, target.namespace, &self.config.injection);
        if !decision.inject {
            let warnings =
                warnings::of_skipped(pod, decision.reason, target.namespace, &self.config);
            let reason = decision.reason;
            return Ok(Outcome::Skipped { reason, warnings });
        }
        let bare = without_injection(pod);
        let injection = self.inject_bare(bare.as_ref().unwrap_or(pod), target)?;
        if bare.is_some() && is_same(pod, &injection.pod) {
            return Ok(Outcome::AlreadyInjected);
        }
        Ok(Outcome::Injected(injection))
    }

    /// Injects a pod that has nothing of an earlier injection.
    fn inject_bare(&self, pod: &Pod, target: &Target<'_>) -> Result<Injection, InjectError> {
        let owner = target.owner;
        let owner = owner.map_or_else(|| Cow::Owned(Owner::of(pod)), Cow::Borrowed);
        let Wishes {
            pod,
            selection,
            layers,
            options,
            settings,
            datadog,
        } = self.wishes(pod, target, &owner)?;
        let mode = options.interception_mode;
        let mode = mode.unwrap_or(settings.config.interception_mode);
        let (proxy_config, proxy_config_json) = self.written(settings.config, &options);
        let names = template::container_names(selection.base, mode, &self.config.values);
        let (overrides, identity) = self.overrides(&pod, &names, target);
        let plan = Plan {
            pod: &pod,
            selection: &selection,
            layers: &layers,
            namespace: target.namespace,
            owner,
            values: &self.config.values,
            mesh: &self.config.mesh,
            injected_annotations: &self.config.injection.injected_annotations,
            traffic: &self.traffic,
            parameters: target.parameters,
            identity,
            native: selection.base == Some(BuiltIn::Sidecar)
                && self.is_native(&pod, &options, target),
            status_port: proxy_config.status_port,
            proxy_config,
            proxy_config_json,
            options: &options,
            datadog: &datadog,
            overrides: &overrides,
        };
        let injected = Box::new(assemble(&plan));
        let warnings = warnings::of_injected(&plan, &settings.ignored, &injected);
        Ok(Injection {
            pod: injected,
            warnings,
        })
    }

    /// What the pod asks for in its annotations, its custom templates included.
    fn wishes<'a>(
        &'a self,
        pod: &'a Pod,
        target: &Target<'_>,
        owner: &Owner,
    ) -> Result<Wishes<'a>, InjectError> {
        let mut problems = Vec::new();
        let selection = keep(self.selection(annotations(pod)), &mut problems);
        let kept = keep(Overrides::kept(annotations(pod)), &mut problems).unwrap_or_default();
        let selection = selection.unwrap_or_default();
        let facts = Facts {
            pod,
            namespace: target.namespace,
            owner,
            values: &self.config.values,
            mesh: &self.config.mesh,
        };
        let mut pod = Cow::Borrowed(pod);
        if kept != Overrides::default() {
            kept.put_back(pod.to_mut().spec.get_or_insert_default());
        }
        let mut layers = Layers::default();
        if selection.is_custom() {
            layers = Layers::lay(&selection, &facts, pod.to_mut())?;
        }
        let annotations = annotations(&pod);
        let (options, more) = PodOptions::parse(annotations);
        problems.extend(more);
        let settings = keep(self.settings(&pod, target), &mut problems);
        let traces_to_datadog = self.config.values.global.proxy.tracer == "datadog";
        let datadog = traces_to_datadog.then(|| annotations::datadog(annotations));
        let datadog = keep(datadog.transpose(), &mut problems).flatten();
        if !problems.is_empty() {
            return Err(InjectError::Annotations(problems));
        }
        Ok(Wishes {
            pod,
            selection,
            layers,
            options,
            settings: settings.unwrap_or_else(|| Settings::of(&self.proxy_config)),
            datadog: datadog.unwrap_or_default(),
        })
    }

    /// The templates that the pod asks for, or else the installation's.
    fn selection(
        &self,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Cow<'_, Selection>, Problem> {
        let templates = &self.config.injection.templates;
        let Some(list) = annotations.get(keys::TEMPLATES) else {
            return Ok(Cow::Borrowed(templates.defaults()));
        };
        let selected = templates.select(list).map_err(|allowed| Problem {
            key: keys::TEMPLATES.to_owned(),
            value: list.clone(),
            allowed,
        })?;
        Ok(Cow::Owned(selected))
    }

    /// The installation's proxy configuration, with what resources and the pod say of it laid over it.
    fn settings(&self, pod: &Pod, target: &Target<'_>) -> Result<Settings<'_>, Problem> {
        let mut settings = Settings::of(&self.proxy_config);
        let resources = &target.cluster.proxy_configs;
        let root = self.config.mesh.root_namespace.as_str();
        let own = (target.namespace != root).then_some(target.namespace);
        for namespace in [root].into_iter().chain(own) {
            settings.lay_over(resources.of_namespace(namespace));
        }
        if let Some(yaml) = annotations(pod).get(keys::PROXY_CONFIG) {
            settings.merge(yaml)?;
        }
        let labels = pod.metadata.labels.as_ref().unwrap_or(&NO_ENTRIES);
        settings.lay_over(resources.of_workload(target.namespace, labels));
        Ok(settings)
    }

    /// The pod's proxy configuration, and its JSON.
    fn written<'a>(
        &'a self,
        mut config: Cow<'a, ProxyConfig>,
        options: &PodOptions,
    ) -> (Cow<'a, ProxyConfig>, Cow<'a, str>) {
        if let Some(port) = options.status_port {
            config.to_mut().status_port = port;
        }
        let json = match &config {
            Cow::Borrowed(_) => Cow::Borrowed(self.proxy_config_json.as_str()),
            Cow::Owned(config) => Cow::Owned(config.to_json().to_string()),
        };
        (config, json)
    }

    /// The user's containers by the names of ours, and whom the proxy runs as where they do not say.
    fn overrides(
        &self,
        pod: &Pod,
        injected: &[&str],
        target: &Target<'_>,
    ) -> (Overrides, ProxyIdentity) {
        let Some(spec) = &pod.spec else {
            return Default::default();
        };
        let mut overrides = Overrides::of(spec, injected);
        if !self.config.values.global.is_openshift() {
            return (overrides, ProxyIdentity::default());
        }
        overrides.forget_shared_user(spec);
        let namespaces = &target.cluster.namespaces;
        (overrides, namespaces.identity_in(target.namespace))
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
            NativeSidecars::Auto => target
                .cluster
                .kubelets
                .support_native(spec.node_name.as_deref()),
        });
        wanted && !spec.containers.iter().all(overrides::is_ours)
    }
}

/// What a pod asks for.
struct Wishes<'a> {
    /// The pod, with its own containers for the proxy put back, and its custom templates.
    pod: Cow<'a, Pod>,
    selection: Cow<'a, Selection>,
    layers: Layers,
    options: PodOptions,
    settings: Settings<'a>,
    datadog: BTreeMap<String, String>,
}

/// The value, or else `None` with the problem noted.
fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    pod.metadata.annotations.as_ref().unwrap_or(&NO_ENTRIES)
}

#[cfg(test)]
mod tests;
