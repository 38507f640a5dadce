//! The process from start to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Client;
use lateen_wire::names;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::ca::root::{Source, load_or_create};
use crate::ca::{ApiServerTokens, Authority, CertificateService, CurrentAuthority, Subject};
use crate::discovery::answers::Answers;
use crate::discovery::{Connections, Discovery, Limits};
use crate::mesh::MeshWatch;
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::serve::{self, Door, Incoming, Monitoring, Port, Readiness, Tls};
use crate::snapshot::store::Store;
use crate::snapshot::watch::watch_cluster;
use crate::{Config, Error};

/// Pause before the API server is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time from the signal to stop to the end.
const STOP: Duration = Duration::from_secs(10);

/// All that the parts share.
#[derive(Clone)]
struct Parts {
    config: Arc<Config>,
    client: Client,
    store: Arc<Store>,
    answers: Arc<Answers>,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// Runs control until SIGTERM or SIGINT.
///
/// # Errors
/// When a port cannot be bound, there is no way to the API server, or the authority is unusable.
pub async fn run(config: Config) -> Result<(), Error> {
    info!(version = env!("CARGO_PKG_VERSION"), ?config, "Starting.");
    let client = client().await?;
    let grpc = serve::bind(config.grpc_address).await?;
    let monitoring = serve::bind(config.monitoring_address).await?;
    let health = serve::bind(config.health_address).await?;
    let parts = Parts::new(config, client);

    // Pages are there to the very end.
    let mut pages = JoinSet::new();
    let door = |listener, port| Door::new(listener, port, parts.metrics.clone());
    pages.spawn(serve::serve_pages(
        door(health, Port::HEALTH),
        serve::health(parts.readiness.clone()),
    ));
    pages.spawn(serve::serve_pages(
        door(monitoring, Port::MONITORING),
        serve::monitoring(parts.monitoring()),
    ));
    parts.spawn_until_stop(watch_cluster(
        parts.client.clone(),
        parts.store.clone(),
        parts.metrics.clone(),
        parts.readiness.watches.clone(),
    ));
    parts.spawn_until_stop(parts.mesh_watch().run());
    let answers = parts.answers.clone();
    parts.spawn_until_stop(async move { answers.keep_current().await });

    tokio::select! {
        served = parts.serve(grpc) => served?,
        () = stop_signal() => {}
    }
    parts.stop().await;
    Ok(())
}

impl Parts {
    fn new(config: Config, client: Client) -> Self {
        let store = Arc::new(Store::new(config.cluster()));
        let metrics = Arc::new(Metrics::new());
        Self {
            client,
            answers: Arc::new(Answers::new(store.clone())),
            connections: Arc::new(Connections::new(metrics.clone())),
            store,
            metrics,
            readiness: Arc::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config: Arc::new(config),
        }
    }

    fn monitoring(&self) -> Monitoring {
        Monitoring {
            store: self.store.clone(),
            connections: self.connections.clone(),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
        }
    }

    fn mesh_watch(&self) -> MeshWatch {
        MeshWatch {
            client: self.client.clone(),
            namespace: self.config.pod_namespace.clone(),
            config_map: self.config.revision.name_of(names::MESH_CONFIG_MAP),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
        }
    }

    /// Sets up the authority once the cluster is known, and serves proxies. Returns only errors.
    async fn serve(&self, listener: TcpListener) -> Result<(), Error> {
        let mut version = self.store.subscribe();
        while !(self.readiness.watches.is_complete()
            && self.readiness.mesh_config.load(Ordering::Acquire))
        {
            // The mesh configuration may leave the snapshot as it was.
            let _ = timeout(RETRY / 4, version.changed()).await;
        }
        let (source, authority) = self.authority().await?;
        let subject = Subject::Server(self.config.server_names());
        let tls = Arc::new(Tls::new(&authority, subject)?);
        let authority = Arc::new(CurrentAuthority::new(authority));
        let incoming = Incoming {
            listener,
            tls: tls.clone(),
            metrics: self.metrics.clone(),
            stopping: self.stopping.clone(),
            tasks: self.tasks.clone(),
        };
        self.spawn_until_stop(self.clone().follow(source, authority.clone()));
        self.spawn_until_stop(secure(tls, authority.clone()));
        let publisher = Publisher {
            client: self.client.clone(),
            config: self.config.clone(),
            store: self.store.clone(),
            authority: authority.clone(),
            source,
            metrics: self.metrics.clone(),
            stopping: self.stopping.clone(),
        };
        self.tasks.spawn(publisher.run());
        self.readiness.serving.store(true, Ordering::Release);
        info!(address = %self.config.grpc_address, "Serving proxies.");

        let certificates = self.certificates(&authority);
        // Serving goes on while streams are drained after the signal to stop.
        let served = self
            .tasks
            .spawn(serve::grpc(incoming, self.discovery(), certificates));
        served.await.unwrap_or(Ok(()))
    }

    /// The authority, as soon as the API server gives it.
    async fn authority(&self) -> Result<(Source, Authority), Error> {
        let trust_domain = self.store.read().mesh().trust_domain.clone();
        let namespace = &self.config.pod_namespace;
        loop {
            match load_or_create(&self.client, namespace, &trust_domain).await {
                Ok((source, authority)) => {
                    self.metrics.authority.tell_ends_of(&authority);
                    return Ok((source, authority));
                }
                Err(error @ Error::Kubernetes { .. }) => {
                    warn!(%error, "The certificate authority cannot be loaded yet.");
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn follow(self, source: Source, authority: Arc<CurrentAuthority>) {
        let namespace = &self.config.pod_namespace;
        let metrics = &self.metrics.authority;
        authority
            .follow(self.client.clone(), namespace, source, metrics)
            .await;
    }

    fn discovery(&self) -> Discovery {
        Discovery {
            store: self.store.clone(),
            answers: self.answers.clone(),
            connections: self.connections.clone(),
            metrics: self.metrics.clone(),
            limits: Limits::default(),
            stopping: self.stopping.clone(),
            tasks: self.tasks.clone(),
            streams: AtomicU64::new(1),
        }
    }

    fn certificates(
        &self,
        authority: &Arc<CurrentAuthority>,
    ) -> CertificateService<ApiServerTokens> {
        CertificateService::new(
            authority.clone(),
            self.store.clone(),
            ApiServerTokens::new(self.client.clone(), self.config.token_audience.clone()),
            self.config.lifetimes(),
            self.metrics.clone(),
        )
    }

    /// Runs something that has no end of its own.
    fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks
            .spawn(async move { stopping.run_until_cancelled_owned(work).await });
    }

    /// Lets streams end, gives up the lease, and does not wait for ever.
    async fn stop(&self) {
        info!("Stopping.");
        self.readiness.stopping.store(true, Ordering::Release);
        self.stopping.cancel();
        self.tasks.close();
        if timeout(STOP, self.tasks.wait()).await.is_err() {
            warn!("Some work did not end in time.");
        }
    }
}

async fn secure(tls: Arc<Tls>, authority: Arc<CurrentAuthority>) {
    tls.keep_current(&authority).await;
}

async fn client() -> Result<Client, Error> {
    Client::try_default()
        .await
        .map_err(|error| Error::kubernetes("find the API server", error))
}

async fn stop_signal() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
