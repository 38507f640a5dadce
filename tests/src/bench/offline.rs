//! Control without a cluster: our own discovery and authority on a snapshot made up here.
//!
//! It is the real code but for two ends: objects come from manifests instead of watches, and a token
//! is `NAMESPACE/SERVICE_ACCOUNT/POD/UID` instead of one that an API server reviews.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lateen_control::ca::{
    Authority, Bearer, CertificateService, Lifetimes, Subject, TokenError, Tokens,
};
use lateen_control::discovery::answers::Answers;
use lateen_control::discovery::{Connections, Discovery, Limits};
use lateen_control::metrics::Metrics;
use lateen_control::serve::{self, Incoming, OwnCertificate};
use lateen_control::snapshot::Cluster;
use lateen_control::snapshot::store::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lab::{CLIENT, CONTROL, CONTROL_NAME, PORT, SERVER, SERVICE};

/// What the program `lateen-offline-control` can be told.
#[derive(clap::Parser, Debug)]
pub struct Arguments {
    /// How many services there are beside the server's.
    #[arg(long, default_value_t = 0)]
    services: usize,
    /// Where the root certificate is written to, as `root-cert.pem`.
    #[arg(long)]
    folder: PathBuf,
}

struct PlainTokens;

impl Tokens for PlainTokens {
    async fn review(&self, token: &str) -> Result<Bearer, TokenError> {
        let parts: Vec<String> = token.trim().split('/').map(str::to_owned).collect();
        let [namespace, service_account, pod, uid] = <[String; 4]>::try_from(parts)
            .map_err(|_| TokenError::Invalid("not of four parts".to_owned()))?;
        Ok(Bearer {
            namespace,
            service_account,
            pod,
            uid,
        })
    }
}

/// Serves until the process is ended.
///
/// # Errors
/// When the port is taken or the folder cannot be written.
pub async fn serve(arguments: Arguments) -> Result<()> {
    let material = Authority::create("lateen-bench")?;
    let authority = Arc::new(Authority::load(&material).map_err(anyhow::Error::msg)?);
    let file = arguments.folder.join("root-cert.pem");
    std::fs::write(&file, authority.roots_pem())
        .with_context(|| format!("Writing {}", file.display()))?;

    let store = Arc::new(Store::new(Cluster::default()));
    // Piece by piece: one text of everything is more than the YAML reader takes from strangers.
    for items in manifests(arguments.services).chunks(100) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
        let mut read = Ok(());
        store.update(|snapshot, changed| {
            read = snapshot
                .read_manifests(&list)
                .map(|facts| changed.extend(facts));
        });
        read?;
    }

    let names = vec![CONTROL_NAME.to_owned()];
    let own = authority
        .issue(&Subject::Server(names), Duration::from_secs(86_400))?
        .certified_key()?;
    let config = serve::server_config(Arc::new(OwnCertificate::new(own)), authority.roots())?;
    let metrics = Arc::new(Metrics::new());
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    let incoming = Incoming {
        listener: serve::bind((CONTROL, lateen_wire::ports::DISCOVERY).into()).await?,
        config: Arc::new(config),
        metrics: metrics.clone(),
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    };
    let answers = Arc::new(Answers::new(store.clone()));
    let discovery = Discovery {
        store: store.clone(),
        answers,
        connections: Arc::new(Connections::new(metrics.clone())),
        metrics: metrics.clone(),
        limits: Limits::default(),
        stopping,
        tasks,
        streams: AtomicU64::new(1),
    };
    let certificates =
        CertificateService::new(authority, store, PlainTokens, Lifetimes::default(), metrics);
    serve::grpc(incoming, discovery, certificates).await?;
    Ok(())
}

/// The two pods, the Service `web` of the server, and `services` others with a pod each.
fn manifests(services: usize) -> Vec<Value> {
    let mut items = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "bench" } }),
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": { "name": "kubernetes" }, "spec": { "cidrs": ["10.96.0.0/12"] } }),
        pod("client", &CLIENT.to_string()),
    ];
    items.extend(application(
        "server",
        &SERVICE.to_string(),
        &SERVER.to_string(),
    ));
    for number in 0..services {
        let part = |base: usize| {
            format!(
                "{}.{}.{}",
                base + number / 60_000,
                number / 250 % 240,
                number % 250 + 1
            )
        };
        let (service, pod) = (format!("10.{}", part(100)), format!("10.{}", part(200)));
        items.extend(application(&format!("service-{number}"), &service, &pod));
    }
    items
}

fn application(name: &str, service: &str, address: &str) -> [Value; 3] {
    [
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": "bench" },
            "spec": { "clusterIP": service, "clusterIPs": [service], "selector": { "app": name },
                "ports": [{ "name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP" }] } }),
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("{name}-1"), "namespace": "bench",
                "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": PORT, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [address], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": name, "namespace": "bench" } }] }),
        pod(name, address),
    ]
}

fn pod(name: &str, address: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "bench", "uid": format!("{name}-uid"),
            "labels": { "app": name, "version": "v1", "security.istio.io/tlsMode": "istio" } },
        "spec": { "serviceAccountName": name, "containers": [], "nodeName": "node" },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }] } })
}
