//! The way to the cluster.

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::arguments::Connection;

/// A client for the cluster that flags, `KUBECONFIG` or the pod we run in tell.
///
/// # Errors
/// Says which kubeconfig or context cannot be used, or which API server does not answer.
pub async fn connect(connection: &Connection) -> Result<Client> {
    let config = configuration(connection).await?;
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).context("cannot make a client for the cluster")?;
    client
        .apiserver_version()
        .await
        .with_context(|| format!("cannot reach the API server {address}"))?;
    Ok(client)
}

async fn configuration(connection: &Connection) -> Result<Config> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &connection.kubeconfig {
        Some(file) => {
            let content = Kubeconfig::read_from(file)
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
    config.context("cannot find a cluster; name a kubeconfig by -c or KUBECONFIG")
}
