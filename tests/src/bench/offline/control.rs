//! Control without a cluster: our own discovery and authority on a snapshot made up here. Objects
//! come from manifests instead of watches, and a token is `NAMESPACE/SERVICE_ACCOUNT/POD/UID`
//! instead of one that an API server reviews.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result};
use lateen_control::ca::{
    Authority, Bearer, CertificateService, CurrentAuthority, Lifetimes, Subject, TokenError, Tokens,
};
use lateen_control::discovery::answers::Answers;
use lateen_control::discovery::{Connections, Discovery, Limits};
use lateen_control::metrics::Metrics;
use lateen_control::serve::{self, Incoming, Tls};
use lateen_control::snapshot::Cluster;
use lateen_control::snapshot::store::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster;
use crate::bench::lab::{CONTROL, CONTROL_NAME};

/// What the program `lateen-offline-control` can be told.
#[derive(clap::Parser, Debug)]
pub struct Arguments {
    /// How many services there are beside those that are called.
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
    let authority = Authority::load(&material).map_err(anyhow::Error::msg)?;
    let file = arguments.folder.join("root-cert.pem");
    std::fs::write(&file, authority.roots_pem())
        .with_context(|| format!("Writing {}", file.display()))?;

    let store = Arc::new(Store::new(Cluster::default()));
    // Piece by piece: one text of everything is more than the YAML reader takes from strangers.
    for items in cluster::manifests(arguments.services).chunks(100) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
        let mut read = Ok(());
        store.update(|snapshot, changed| {
            read = snapshot
                .read_manifests(&list)
                .map(|facts| changed.extend(facts));
        });
        read?;
    }

    let subject = Subject::Server(vec![CONTROL_NAME.to_owned()]);
    let tls = Tls::new(&authority, subject)?;
    let metrics = Arc::new(Metrics::new());
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    let incoming = Incoming {
        listener: serve::bind((CONTROL, lateen_wire::ports::DISCOVERY).into()).await?,
        tls: Arc::new(tls),
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
    let authority = Arc::new(CurrentAuthority::new(authority));
    let certificates =
        CertificateService::new(authority, store, PlainTokens, Lifetimes::default(), metrics);
    serve::grpc(incoming, discovery, certificates).await?;
    Ok(())
}
