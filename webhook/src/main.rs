//! `lateen-webhook`: the sidecar injector of Lateen. See the library for what it does.

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use kube::{Client, Config};
use tikv_jemallocator::Jemalloc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use lateen_webhook::native::NativeSidecars;
use lateen_webhook::server::body::BodyBudget;
use lateen_webhook::server::connection::Transport;
use lateen_webhook::server::listener::{self, Limits, Service};
use lateen_webhook::server::live::LiveCluster;
use lateen_webhook::server::metrics::Metrics;
use lateen_webhook::server::readiness::Readiness;
use lateen_webhook::server::{Shared, routes, tls};
use lateen_webhook::watch as follow;
use lateen_wire::{Revision, names, ports};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The sidecar injector of Lateen.
#[derive(Debug, Parser)]
#[command(version)]
struct Settings {
    /// Namespace of the control plane.
    #[arg(long, env = "POD_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    namespace: String,
    /// Revision of the control plane.
    #[arg(long, env = "REVISION", default_value = names::DEFAULT_REVISION)]
    revision: Revision,
    /// MutatingWebhookConfiguration without whose right caBundle nothing is ready [default:
    /// istio-sidecar-injector, with the revision as suffix].
    #[arg(long, env = "INJECTION_WEBHOOK_CONFIG_NAME")]
    webhook_configuration: Option<String>,
    /// Whether proxies are native sidecars: auto, true or false.
    #[arg(long, env = "ENABLE_NATIVE_SIDECARS", default_value = "auto")]
    native_sidecars: NativeSidecars,
    /// Port for the API server.
    #[arg(long, env = "WEBHOOK_PORT", default_value_t = ports::WEBHOOK)]
    port: u16,
    /// Port for the kubelet and Prometheus.
    #[arg(long, env = "MONITORING_PORT", default_value_t = ports::MONITORING)]
    monitoring_port: u16,
    /// What is logged: a level, or `module=level` with commas.
    #[arg(long = "log_output_level", env = "RUST_LOG", default_value = "info")]
    log_level: Targets,
    /// Log lines are JSON.
    #[arg(long, env = "LOG_AS_JSON")]
    log_as_json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    start_log(settings.log_level.clone(), settings.log_as_json);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        ?settings,
        "The injector starts."
    );
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a second provider of cryptography is in the program"))?;
    let client = Config::incluster()
        .map_err(anyhow::Error::from)
        .and_then(|config| Ok(Client::try_from(config)?))
        .context("cannot reach the Kubernetes API of the cluster that this pod is in")?;

    let ending = CancellationToken::new();
    let mut watches = JoinSet::new();
    let (shared, acceptor) = start_watches(&settings, &client, &ending, &mut watches)?;
    let admission = bind(settings.port).await?;
    let monitoring = bind(settings.monitoring_port).await?;
    let service = Service {
        transport: Transport::Plain,
        router: routes::monitoring(shared.clone()),
        limits: Limits::default(),
        metrics: Arc::clone(&shared.metrics),
    };
    let monitoring = tokio::spawn(listener::serve(
        monitoring,
        service.clone(),
        CancellationToken::new(),
    ));
    tokio::spawn(end_on_signal(ending.clone()));
    let service = Service {
        transport: Transport::Tls(acceptor),
        router: routes::admission(shared),
        ..service
    };
    let serving = listener::serve(admission, service, ending);
    tokio::select! {
        () = serving => {}
        Some(ended) = watches.join_next() => {
            ended.context("a watch of the Kubernetes API failed")?;
            anyhow::bail!("a watch of the Kubernetes API ended");
        }
    }
    monitoring.abort();
    watches.abort_all();
    tracing::info!("The injector ends.");
    Ok(())
}

/// Starts everything that follows the Kubernetes API.
fn start_watches(
    settings: &Settings,
    client: &Client,
    ending: &CancellationToken,
    watches: &mut JoinSet<()>,
) -> anyhow::Result<(Shared, TlsAcceptor)> {
    let (injector_sender, injector) = watch::channel(None);
    let (certificate_sender, certificate) = watch::channel(None);
    let (kubelets_sender, kubelets) = watch::channel(None);
    let (namespaces_sender, namespaces) = watch::channel(None);
    let (proxy_configs_sender, proxy_configs) = watch::channel(None);
    let (bundles_sender, bundles) = watch::channel(None);
    let metrics = Arc::new(Metrics::default());
    let names = follow::configuration::Names {
        namespace: settings.namespace.clone(),
        injection: settings.revision.name_of(names::INJECTOR),
        mesh: settings.revision.name_of(names::MESH_CONFIG_MAP),
    };
    let service = settings.revision.name_of(names::INJECTOR);
    let secret = follow::certificate::Source {
        namespace: settings.namespace.clone(),
        name: settings.revision.name_of(names::INJECTOR_CERTS),
        server_name: format!("{service}.{}.svc", settings.namespace),
    };
    let ours = follow::ca_bundle::Ours {
        name: settings
            .webhook_configuration
            .clone()
            .unwrap_or_else(|| service.clone()),
        revision: settings.revision.clone(),
        namespace: settings.namespace.clone(),
        service,
    };
    watches.spawn(follow::configuration::follow(
        client.clone(),
        names,
        settings.native_sidecars,
        Arc::clone(&metrics),
        injector_sender,
    ));
    watches.spawn(follow::certificate::follow(
        client.clone(),
        secret,
        certificate_sender,
    ));
    watches.spawn(follow::nodes::follow(client.clone(), kubelets_sender));
    watches.spawn(follow::namespaces::follow(
        client.clone(),
        injector.clone(),
        namespaces_sender,
    ));
    watches.spawn(follow::proxy_configs::follow(
        client.clone(),
        proxy_configs_sender,
    ));
    watches.spawn(follow::ca_bundle::follow(
        client.clone(),
        ours,
        certificate.clone(),
        bundles_sender,
    ));
    let config = tls::server_config(certificate.clone()).context("cannot set up TLS")?;
    let cluster = LiveCluster {
        kubelets,
        namespaces,
        proxy_configs,
    };
    let readiness = Readiness {
        injector: injector.clone(),
        cluster: cluster.clone(),
        certificate,
        bundles,
        ending: ending.clone(),
    };
    let shared = Shared {
        injector,
        cluster,
        metrics,
        readiness: Arc::new(readiness),
        bodies: Arc::new(BodyBudget::default()),
    };
    Ok((shared, TlsAcceptor::from(Arc::new(config))))
}

/// Listens on all addresses of both families, or of IPv4 where there is no other.
async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("0.0.0.0", port))
            .await
            .with_context(|| format!("cannot listen on port {port}")),
    }
}

async fn end_on_signal(ending: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("The injector was asked to end; it serves until nobody calls any more.");
    ending.cancel();
}

fn start_log(levels: Targets, as_json: bool) {
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    if as_json {
        log.json().finish().with(levels).init();
    } else {
        log.with_ansi(false).finish().with(levels).init();
    }
}
