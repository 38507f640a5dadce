//! What the injector adds to a pod: Istio's template `sidecar` as typed functions of one [`Plan`].

mod environment;
mod image;
pub(crate) mod init;
pub(crate) mod metadata;
pub(crate) mod proxy;
mod resources;
pub(crate) mod volumes;

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use lateen_api::mesh::InterceptionMode;
use lateen_api::{MeshConfig, ProxyConfig};
use lateen_wire::names;

use crate::annotations::PodOptions;
use crate::annotations::traffic::TrafficDefaults;
use crate::config::Values;
use crate::overrides::{self, Overrides};
use crate::owner::Owner;
use crate::parameters::Parameters;

pub(crate) use environment::literal;

/// Everything that decides what one pod gets.
pub(crate) struct Plan<'a> {
    /// The pod as it came.
    pub(crate) pod: &'a Pod,
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
    pub(crate) overrides: &'a Overrides,
    pub(crate) native: bool,
    /// Port of the agent's status page; 0 if it has none.
    pub(crate) status_port: u16,
}

impl Plan<'_> {
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
            _ => wanted.unwrap_or_else(|| i64::from(names::PROXY_UID)),
        }
    }

    fn agent_log_level(&self) -> &str {
        self.options
            .agent_log_level
            .as_deref()
            .unwrap_or(&self.values.global.logging.level)
    }

    fn resources(&self) -> ResourceRequirements {
        resources::resolve(&self.values.global.proxy.resources, &self.options.resources)
    }

    fn holds_application(&self) -> bool {
        self.proxy_config.hold_application_until_proxy_starts
            || self.values.global.proxy.hold_application_until_proxy_starts
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
