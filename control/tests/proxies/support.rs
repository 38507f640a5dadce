//! A control plane without a cluster: objects come from texts, tokens from a table, all else is
//! what runs in production, served over TLS on loopback. Proxies are plain gRPC clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use lateen_control::Error;
use lateen_control::ca::{
    Authority, Bearer, CertificateService, CurrentAuthority, Issued, Lifetimes, Subject,
    TokenError, Tokens,
};
use lateen_control::discovery::answers::Answers;
use lateen_control::discovery::{Connections, Discovery, Limits};
use lateen_control::metrics::Metrics;
use lateen_control::serve::{self, Incoming, Tls};
use lateen_control::snapshot::Cluster;
use lateen_control::snapshot::store::Store;
use lateen_wire::Identity;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pod on loopback, so that it can call from its own address, and whom it asks for.
pub(crate) const CLUSTER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, uid: client-uid, labels: {app: client}}
spec: {serviceAccountName: client, nodeName: node1}
status: {podIPs: [{ip: 127.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: shop, uid: elsewhere-uid}
spec: {serviceAccountName: elsewhere, nodeName: node1}
status: {podIPs: [{ip: 10.0.0.9}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIPs: [10.96.0.10], selector: {app: web}, ports: [{name: http, port: 80}]}
"#;

/// A control plane.
pub(crate) struct Control {
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) current: Arc<CurrentAuthority>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) stopping: CancellationToken,
    address: SocketAddr,
    serving: JoinHandle<Result<(), Error>>,
    background: [JoinHandle<()>; 2],
}

impl Drop for Control {
    fn drop(&mut self) {
        self.background.iter().for_each(JoinHandle::abort);
        self.serving.abort();
    }
}

impl Control {
    /// A new control plane with a root of its own.
    pub(crate) async fn start(limits: Limits) -> Self {
        let authority = Authority::load(&Authority::create("cluster.local").unwrap()).unwrap();
        Self::with_authority(limits, Arc::new(authority)).await
    }

    /// Another replica of a control plane.
    pub(crate) async fn with_authority(limits: Limits, authority: Arc<Authority>) -> Self {
        let store = Arc::new(Store::new(Cluster::default()));
        store.update(|snapshot, changed| changed.extend(snapshot.read_manifests(CLUSTER).unwrap()));
        let metrics = Arc::new(Metrics::new());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let names = Subject::Server(vec!["istiod.istio-system.svc".to_owned()]);
        let tls = Arc::new(Tls::new(&authority, names).unwrap());
        let current = Arc::new(CurrentAuthority::new(authority.clone()));
        let listener = serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = Incoming {
            listener,
            tls: tls.clone(),
            metrics: metrics.clone(),
            stopping: stopping.clone(),
            tasks: tasks.clone(),
        };
        let answers = Arc::new(Answers::new(store.clone()));
        let connections = Arc::new(Connections::new(metrics.clone()));
        let discovery = Discovery {
            store: store.clone(),
            answers: answers.clone(),
            connections: connections.clone(),
            metrics: metrics.clone(),
            limits,
            stopping: stopping.clone(),
            tasks,
            streams: AtomicU64::new(1),
        };
        let certificates = CertificateService::new(
            current.clone(),
            store.clone(),
            Table,
            Lifetimes::default(),
            metrics.clone(),
        );
        Self {
            store,
            metrics,
            authority,
            connections,
            stopping,
            address,
            serving: tokio::spawn(serve::grpc(incoming, discovery, certificates)),
            background: [
                tokio::spawn(async move { answers.keep_current().await }),
                tokio::spawn({
                    let current = current.clone();
                    async move { tls.keep_current(&current).await }
                }),
            ],
            current,
        }
    }

    /// Where proxies connect to.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A certificate of a service account of the shop.
    pub(crate) fn certificate(&self, service_account: &str) -> Issued {
        self.short_lived(service_account, Duration::from_secs(60))
    }

    /// A certificate of a service account of the shop that lives for so long.
    pub(crate) fn short_lived(&self, service_account: &str, life: Duration) -> Issued {
        let identity = Identity::new("cluster.local", "shop", service_account).unwrap();
        self.authority
            .issue(&Subject::Workload(identity), life)
            .unwrap()
    }

    /// A connection of a proxy with this certificate, or without.
    pub(crate) async fn connect(
        &self,
        certificate: Option<&Issued>,
    ) -> Result<Channel, tonic::transport::Error> {
        self.connect_trusting(&self.authority, certificate).await
    }

    /// A connection of a proxy that trusts this authority.
    pub(crate) async fn connect_trusting(
        &self,
        authority: &Authority,
        certificate: Option<&Issued>,
    ) -> Result<Channel, tonic::transport::Error> {
        let connector = TlsConnector::from(Arc::new(client_config(authority, certificate)));
        let address = self.address;
        let connect = move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("istiod.istio-system.svc").unwrap();
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        };
        Endpoint::from_static("http://istiod.istio-system.svc:15012")
            .connect_with_connector(tower::service_fn(connect))
            .await
    }
}

fn client_config(authority: &Authority, certificate: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in authority.roots() {
        roots.add(root.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = issued.certificate_chain();
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Waits until something is true.
pub(crate) async fn eventually(what: &str, check: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Tokens that say themselves whose they are: `NAMESPACE/ACCOUNT/POD/UID`, or `unbound`.
pub(crate) struct Table;

impl Tokens for Table {
    async fn review(&self, token: &str) -> Result<Bearer, TokenError> {
        let parts: Vec<&str> = token.split('/').collect();
        match parts.as_slice() {
            [namespace, service_account, pod, uid] => Ok(Bearer {
                namespace: (*namespace).to_owned(),
                service_account: (*service_account).to_owned(),
                pod: (*pod).to_owned(),
                uid: (*uid).to_owned(),
            }),
            ["unbound"] => Err(TokenError::NotBound),
            ["api-server-away"] => Err(TokenError::Unavailable("away".to_owned())),
            _ => Err(TokenError::Invalid("not authenticated".to_owned())),
        }
    }
}
