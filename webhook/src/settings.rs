//! What a pod's proxy is told: the installation's `ProxyConfig` with everything that says more laid over
//! it.

use std::borrow::Cow;

use lateen_api::{NotHonoured, ProxyConfig, networking};

use crate::error::Problem;
use crate::{keys, proxy_configs};

/// The configuration of one pod's proxy.
pub(crate) struct Settings<'a> {
    pub(crate) config: Cow<'a, ProxyConfig>,
    pub(crate) ignored: Ignored,
}

/// What the pod's annotation says without effect.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    pub(crate) not_honoured: Vec<NotHonoured>,
    pub(crate) unknown: Vec<String>,
}

impl<'a> Settings<'a> {
    /// What the installation says.
    pub(crate) fn of(installation: &'a ProxyConfig) -> Self {
        Self {
            config: Cow::Borrowed(installation),
            ignored: Ignored::default(),
        }
    }

    /// Lays a resource over this, if there is one.
    pub(crate) fn lay_over(&mut self, resource: Option<&networking::ProxyConfig>) {
        if let Some(resource) = resource {
            proxy_configs::lay_over(self.config.to_mut(), resource);
        }
    }

    /// Lays the YAML of annotation `proxy.istio.io/config` over this.
    pub(crate) fn merge(&mut self, yaml: &str) -> Result<(), Problem> {
        let merged = self.config.merge(yaml).map_err(|error| Problem {
            key: keys::PROXY_CONFIG.to_owned(),
            value: yaml.to_owned(),
            allowed: format!("YAML of Istio's ProxyConfig ({error})"),
        })?;
        self.config = Cow::Owned(merged.config);
        self.ignored = Ignored {
            not_honoured: merged.not_honoured,
            unknown: merged.unknown,
        };
        Ok(())
    }
}
