//! The way to the cluster.

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::arguments::Connection;

/// A client for the cluster that flags, `KUBECONFIG` or the pod we run in tell.
///
/// # Errors
/// Says which kubeconfig or context cannot be used. The cluster is not contacted yet.
pub fn connect(connection: &Connection) -> impl Future<Output = Result<Client>> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file = connection.kubeconfig.clone();
    async move {
        let config = match file {
            Some(file) => {
                let content = Kubeconfig::read_from(&file)
                    .with_context(|| format!("cannot use kubeconfig {}", file.display()))?;
                Config::from_custom_kubeconfig(content, &options)
                    .await
                    .map_err(anyhow::Error::new)
            }
            None if options.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(anyhow::Error::new),
            None => Config::infer().await.map_err(anyhow::Error::new),
        };
        let config =
            config.context("cannot find a cluster; name a kubeconfig by -c or KUBECONFIG")?;
        Client::try_from(config).context("cannot make a client for the cluster")
    }
}
