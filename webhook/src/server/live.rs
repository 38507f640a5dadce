//! The cluster as the watches know it now.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::native::Kubelets;
use crate::openshift::Namespaces;
use crate::proxy_configs::ProxyConfigs;

/// What the watches know; `None` is what they have not learnt yet.
#[derive(Clone, Debug)]
pub struct LiveCluster {
    /// The kubelets.
    pub kubelets: watch::Receiver<Option<Arc<Kubelets>>>,
    /// The namespaces.
    pub namespaces: watch::Receiver<Option<Arc<Namespaces>>>,
    /// Resources with settings of proxies.
    pub proxy_configs: watch::Receiver<Option<Arc<ProxyConfigs>>>,
}

/// Something that the watches have not learnt yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} have not been listed yet")]
pub struct Unknown(&'static str);

impl LiveCluster {
    /// A cluster in which nothing changes.
    #[must_use]
    pub fn fixed(cluster: Cluster) -> Self {
        Self {
            kubelets: watch::channel(Some(cluster.kubelets)).1,
            namespaces: watch::channel(Some(cluster.namespaces)).1,
            proxy_configs: watch::channel(Some(cluster.proxy_configs)).1,
        }
    }

    /// The cluster now.
    ///
    /// # Errors
    /// When something is not known yet.
    pub fn now(&self) -> Result<Cluster, Unknown> {
        Ok(Cluster {
            kubelets: known(&self.kubelets, "nodes")?,
            namespaces: known(&self.namespaces, "namespaces")?,
            proxy_configs: known(&self.proxy_configs, "ProxyConfigs")?,
        })
    }
}

fn known<T>(
    receiver: &watch::Receiver<Option<Arc<T>>>,
    objects: &'static str,
) -> Result<Arc<T>, Unknown> {
    receiver.borrow().clone().ok_or(Unknown(objects))
}
