//! The injector without a cluster: our own admission server with the configuration that an
//! installation would have, and a certificate from files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use lateen_webhook::config::{Config, Sources};
use lateen_webhook::native::NativeSidecars;
use lateen_webhook::server::body::BodyBudget;
use lateen_webhook::server::connection::Transport;
use lateen_webhook::server::listener::{self, Limits, Service};
use lateen_webhook::server::live::LiveCluster;
use lateen_webhook::server::metrics::Metrics;
use lateen_webhook::server::readiness::Readiness;
use lateen_webhook::server::tls::{self, Certificate};
use lateen_webhook::server::{Shared, routes};
use lateen_webhook::{Cluster, Injector};
use lateen_wire::names;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The name that the API server calls.
pub(crate) const SERVER_NAME: &str = "istio-sidecar-injector.istio-system.svc";
/// The file in the folder that says where the server listens.
pub(crate) const ADDRESS_FILE: &str = "address";

/// What the program `lateen-offline-webhook` can be told.
#[derive(clap::Parser, Debug)]
pub struct Arguments {
    /// The objects of an installation, as `lateenctl manifest generate` prints them.
    #[arg(long)]
    manifest: PathBuf,
    /// Where `tls.crt`, `tls.key` and `ca.crt` are, and where the address is written to.
    #[arg(long)]
    folder: PathBuf,
}

/// Serves until the process is ended.
///
/// # Errors
/// When a file cannot be read or written, or does not hold what it should.
pub async fn serve(arguments: Arguments) -> Result<()> {
    let folder = &arguments.folder;
    let manifest = read(&arguments.manifest)?;
    let (_, injector) = watch::channel(Some(Arc::new(injector(&manifest)?)));
    let (_, certificate) = watch::channel(Some(Arc::new(certificate(folder)?)));
    let cluster = LiveCluster::fixed(Cluster::default());
    let config = tls::server_config(certificate.clone())?;
    let ending = CancellationToken::new();
    let shared = Shared {
        injector: injector.clone(),
        cluster: cluster.clone(),
        metrics: Arc::new(Metrics::default()),
        readiness: Arc::new(Readiness {
            injector,
            cluster,
            certificate,
            bundles: watch::channel(Some(None)).1,
            ending: ending.clone(),
        }),
        bodies: Arc::new(BodyBudget::default()),
    };

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?.to_string();
    std::fs::write(folder.join(ADDRESS_FILE), address).context("Saying where the server is")?;
    let service = Service {
        transport: Transport::Tls(TlsAcceptor::from(Arc::new(config))),
        metrics: Arc::clone(&shared.metrics),
        router: routes::admission(shared),
        limits: Limits::default(),
    };
    listener::serve(listener, service, ending).await;
    Ok(())
}

fn injector(manifest: &str) -> Result<Injector> {
    let injection = config_map(manifest, names::INJECTOR)?;
    let mesh = config_map(manifest, names::MESH_CONFIG_MAP)?;
    let (config, _) = Config::parse(Sources {
        config: text(&injection, "config"),
        values: text(&injection, "values"),
        mesh: text(&mesh, "mesh"),
    })?;
    Ok(Injector::new(config, NativeSidecars::Auto)?)
}

fn certificate(folder: &Path) -> Result<Certificate> {
    let [chain, key, authority] =
        ["tls.crt", "tls.key", "ca.crt"].map(|name| read(&folder.join(name)));
    let (chain, key, authority) = (chain?, key?, authority?);
    let [chain, key, authority] = [&chain, &key, &authority].map(|text| text.as_bytes());
    Ok(Certificate::parse(chain, key, authority, SERVER_NAME)?)
}

/// The ConfigMap `name` among many documents, most of which are large and of no interest here.
fn config_map(manifest: &str, name: &str) -> Result<ConfigMap> {
    let maps = manifest
        .split("\n---\n")
        .filter(|document| document.contains("kind: ConfigMap"));
    let mut maps = maps.filter_map(|document| serde_saphyr::from_str::<ConfigMap>(document).ok());
    maps.find(|map| map.metadata.name.as_deref() == Some(name))
        .with_context(|| format!("Looking for the ConfigMap {name} in the manifest"))
}

fn text<'a>(map: &'a ConfigMap, key: &str) -> &'a str {
    let data = map.data.as_ref();
    data.and_then(|data| data.get(key))
        .map_or("", String::as_str)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("Reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_found_among_other_objects() {
        let map = |name: &str, key: &str, text: &str| {
            format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  {key}: |-\n    {text}\n"
            )
        };
        let manifest = [
            "---\nkind: Service\nmetadata:\n  name: istio\n".to_owned(),
            map("istio", "mesh", "trustDomain: td"),
            map("istio-sidecar-injector", "values", "revision: blue"),
        ]
        .concat();
        let injector = injector(&manifest).unwrap();
        assert_eq!(injector.config().values.revision(), "blue");
        assert!(super::injector("kind: Service\n").is_err());
    }
}
