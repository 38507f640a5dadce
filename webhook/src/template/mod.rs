//! What the injector adds to a pod: Istio's templates `sidecar` and `gateway` as typed functions of
//! one [`Plan`].

mod cni;
mod environment;
mod gateway;
pub(crate) mod image;
mod init;
pub(crate) mod metadata;
pub(crate) mod proxy;
mod resources;
mod tracing;
mod volumes;

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, Pod, PodSecurityContext, ResourceRequirements, Volume,
};

use lateen_api::mesh::InterceptionMode;
use lateen_api::{MeshConfig, ProxyConfig};
use lateen_wire::names;

use crate::annotations::PodOptions;
use crate::annotations::traffic::TrafficDefaults;
use crate::config::Values;
use crate::config::templates::{BuiltIn, Selection};
use crate::layers::Layers;
use crate::openshift::ProxyIdentity;
use crate::overrides::{self, Overrides};
use crate::owner::Owner;
use crate::parameters::Parameters;

pub(crate) use environment::literal;

/// Everything that decides what one pod gets.
pub(crate) struct Plan<'a> {
    /// The pod without anything of an earlier injection, and with the custom templates.
    pub(crate) pod: &'a Pod,
    /// What it gets.
    pub(crate) selection: &'a Selection,
    /// What custom templates have left to do.
    pub(crate) layers: &'a Layers,
    pub(crate) namespace: &'a str,
    pub(crate) owner: Cow<'a, Owner>,
    pub(crate) values: &'a Values,
    pub(crate) mesh: &'a MeshConfig,
    /// Annotations that the configuration wants on every injected pod.
    pub(crate) injected_annotations: &'a BTreeMap<String, String>,
    pub(crate) traffic: &'a TrafficDefaults,
    pub(crate) parameters: &'a Parameters,
    pub(crate) proxy_config: Cow<'a, ProxyConfig>,
    /// [`Self::proxy_config`] as the proxy reads it.
    pub(crate) proxy_config_json: Cow<'a, str>,
    pub(crate) options: &'a PodOptions,
    /// Variables for Datadog's tracer.
    pub(crate) datadog: &'a BTreeMap<String, String>,
    pub(crate) overrides: &'a Overrides,
    /// Whom the proxy runs as, unless somebody says otherwise.
    pub(crate) identity: ProxyIdentity,
    pub(crate) native: bool,
    /// Port of the agent's status page; 0 if it has none.
    pub(crate) status_port: u16,
}

/// What a built-in template adds to a pod.
#[derive(Default)]
pub(crate) struct Parts {
    /// The container that programs redirection, or checks it.
    pub(crate) init: Option<Container>,
    /// The proxy.
    pub(crate) proxy: Option<Container>,
    /// Volumes for both.
    pub(crate) volumes: Vec<Volume>,
    /// What the pod as a whole is allowed.
    pub(crate) security_context: Option<PodSecurityContext>,
}

/// Names of the containers that a template makes.
pub(crate) fn container_names(
    base: Option<BuiltIn>,
    mode: InterceptionMode,
    values: &Values,
) -> Vec<&'static str> {
    match base {
        None => Vec::new(),
        Some(BuiltIn::Gateway) => vec![names::PROXY_CONTAINER],
        Some(BuiltIn::Sidecar) if mode == InterceptionMode::None => vec![names::PROXY_CONTAINER],
        Some(BuiltIn::Sidecar) if values.pilot.cni.enabled => {
            vec![names::VALIDATION_CONTAINER, names::PROXY_CONTAINER]
        }
        Some(BuiltIn::Sidecar) => vec![names::INIT_CONTAINER, names::PROXY_CONTAINER],
    }
}

impl Plan<'_> {
    /// What the built-in template of the pod adds to it.
    pub(crate) fn parts(&self) -> Parts {
        match self.selection.base {
            None => Parts::default(),
            Some(BuiltIn::Gateway) => gateway::parts(self),
            Some(BuiltIn::Sidecar) => Parts {
                init: init::container(self),
                proxy: Some(proxy::container(self)),
                volumes: volumes::volumes(self),
                security_context: None,
            },
        }
    }

    /// The proxy stands by itself.
    pub(crate) fn is_gateway(&self) -> bool {
        self.selection.base == Some(BuiltIn::Gateway)
    }

    /// Redirection is programmed from outside of the pod.
    fn uses_cni(&self) -> bool {
        self.values.pilot.cni.enabled
    }

    /// How connections reach the proxy.
    pub(crate) fn interception_mode(&self) -> InterceptionMode {
        self.options
            .interception_mode
            .unwrap_or(self.proxy_config.interception_mode)
    }

    /// The user whose traffic is not redirected. With TPROXY the proxy is root and known by its
    /// group.
    fn proxy_user(&self) -> i64 {
        let wanted = self.overrides.proxy_user().filter(|user| *user != 0);
        match self.interception_mode() {
            InterceptionMode::Tproxy => i64::from(names::PROXY_UID),
            _ => wanted.unwrap_or(self.identity.user),
        }
    }

    /// The group of that user.
    fn proxy_group(&self) -> i64 {
        let wanted = self.overrides.proxy_group();
        match self.interception_mode() {
            InterceptionMode::Tproxy => i64::from(names::PROXY_UID),
            _ => wanted.unwrap_or(self.identity.group),
        }
    }

    fn agent_log_level(&self) -> &str {
        self.options
            .agent_log_level
            .as_deref()
            .unwrap_or(&self.values.global.logging.level)
    }

    fn resources(&self) -> ResourceRequirements {
        let spec = self.pod.spec.as_ref();
        let shared = spec.and_then(|spec| spec.resources.as_ref());
        let defaults = &self.values.global.proxy.resources;
        resources::resolve(defaults, &self.options.resources, shared)
    }

    fn holds_application(&self) -> bool {
        self.proxy_config.hold_application_until_proxy_starts
            || self.values.global.proxy.hold_application_until_proxy_starts
    }

    /// Containers of the application stop only when their callers have left.
    pub(crate) fn holds_application_until_callers_leave(&self) -> bool {
        let wanted = self
            .values
            .global
            .proxy
            .hold_application_until_callers_leave;
        wanted && self.native && self.status_port != 0
    }

    /// The pod's network, if it has a name: the pod's own label wins.
    pub(crate) fn network(&self) -> Option<&str> {
        let labels = self.pod.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(crate::keys::NETWORK))
            .map(String::as_str)
            .or_else(|| self.parameters.network())
            .or(Some(self.values.global.network.as_str()))
            .filter(|network| !network.is_empty())
    }

    /// The proxy comes before the application's containers, which wait for it.
    pub(crate) fn proxy_is_first(&self) -> bool {
        !self.native && self.holds_application()
    }

    /// Containers of the application.
    fn containers(&self) -> impl Iterator<Item = &Container> {
        let containers = self.pod.spec.iter().flat_map(|spec| &spec.containers);
        containers.filter(|container| !overrides::is_ours(container))
    }
}
