//! What injection has to know of the cluster, beside its configuration.

use std::sync::Arc;

use crate::native::Kubelets;
use crate::openshift::Namespaces;
use crate::proxy_configs::ProxyConfigs;

/// A cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The kubelets, which decide whether proxies are native sidecars.
    pub kubelets: Arc<Kubelets>,
    /// The namespaces, which on OpenShift decide whom proxies run as.
    pub namespaces: Arc<Namespaces>,
    /// Resources with settings of proxies.
    pub proxy_configs: Arc<ProxyConfigs>,
}
