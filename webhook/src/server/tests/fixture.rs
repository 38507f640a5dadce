//! A server in this process, an authority to trust it by, and a client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::serve::Listener;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::super::body::BodyBudget;
use super::super::connection::Transport;
use super::super::listener::{Limits, Service, serve};
use super::super::live::LiveCluster;
use super::super::metrics::Metrics;
use super::super::readiness::{Bundles, Readiness};
use super::super::tls::{self, Certificate};
use super::super::{Shared, routes};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::inject::Injector;
use crate::native::{Kubelets, NativeSidecars};

pub(super) const SERVER_NAME: &str = "istio-sidecar-injector.istio-system.svc";

/// Short times, so that a test need not wait.
pub(super) const LIMITS: Limits = Limits {
    connections: 64,
    connections_of_one_peer: 48,
    handshake: Duration::from_secs(3),
    idle: Duration::from_secs(60),
    round: Duration::from_millis(200),
    least_lingering: Duration::from_millis(300),
    most_lingering: Duration::from_secs(5),
    finishing: Duration::from_secs(5),
};

/// Where another pod connects from. All of loopback is one pod's, so [`Pods`] makes a stranger of it.
pub(super) const OTHER_POD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// A listener for connections of this pod and of [`OTHER_POD`].
struct Pods(TcpListener);

impl Listener for Pods {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, mut peer) = Listener::accept(&mut self.0).await;
        if peer.ip() == OTHER_POD {
            peer.set_ip(STRANGER);
        }
        (stream, peer)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// PEM of a new certificate and its key.
    pub(super) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    pub(crate) fn certificate(&self) -> Arc<Certificate> {
        let (chain, key) = self.issue(SERVER_NAME);
        let (chain, key) = (chain.as_bytes(), key.as_bytes());
        Arc::new(Certificate::parse(chain, key, self.pem.as_bytes(), SERVER_NAME).unwrap())
    }
}

/// A running server. What it watches can be changed.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) ending: CancellationToken,
    pub(super) injector: watch::Sender<Option<Arc<Injector>>>,
    pub(super) kubelets: watch::Sender<Option<Arc<Kubelets>>>,
    pub(super) certificate: watch::Sender<Option<Arc<Certificate>>>,
    pub(super) bundles: watch::Sender<Option<Bundles>>,
    pub(super) shared: Shared,
    pub(super) serving: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(authority: &Authority) -> Self {
        let injector = Injector::new(Config::default(), NativeSidecars::Auto).unwrap();
        let (injector, injector_receiver) = watch::channel(Some(Arc::new(injector)));
        let (kubelets, kubelets_receiver) = watch::channel(Some(Arc::default()));
        let cluster = LiveCluster {
            kubelets: kubelets_receiver,
            ..LiveCluster::fixed(Cluster::default())
        };
        let (certificate, certificate_receiver) = watch::channel(Some(authority.certificate()));
        let (bundles, bundles_receiver) = watch::channel(Some(None));
        let ending = CancellationToken::new();
        let readiness = Readiness {
            injector: injector_receiver.clone(),
            cluster: cluster.clone(),
            certificate: certificate_receiver.clone(),
            bundles: bundles_receiver,
            ending: ending.clone(),
        };
        let shared = Shared {
            injector: injector_receiver,
            cluster,
            metrics: Arc::new(Metrics::default()),
            readiness: Arc::new(readiness),
            bodies: Arc::new(BodyBudget::default()),
        };
        let config = tls::server_config(certificate_receiver).unwrap();
        let transport = Transport::Tls(TlsAcceptor::from(Arc::new(config)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service {
            transport,
            router: routes::admission(shared.clone()),
            limits: LIMITS,
            metrics: Arc::clone(&shared.metrics),
        };
        let serving = tokio::spawn(serve(Pods(listener), service, ending.clone()));
        Self {
            address,
            ending,
            injector,
            kubelets,
            certificate,
            bundles,
            shared,
            serving,
        }
    }

    /// The status and body of `/ready` and `/metrics`, without the network.
    pub(super) async fn page(&self, path: &str) -> (StatusCode, String) {
        let router = routes::monitoring(self.shared.clone());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// One connection to a server.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// The certificate that the server showed.
    pub(super) peer: CertificateDer<'static>,
    /// The last answer was the last one on this connection.
    pub(super) was_asked_to_leave: bool,
}

impl Client {
    /// Connects as the API server does.
    pub(super) async fn connect(address: SocketAddr, authority: &str) -> std::io::Result<Self> {
        let stream = Self::stream(address, authority).await?;
        let peer = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Self {
            sender,
            peer,
            was_asked_to_leave: false,
        })
    }

    pub(super) async fn stream(
        address: SocketAddr,
        authority: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        Self::stream_over(TcpStream::connect(address).await?, authority).await
    }

    pub(super) async fn stream_over(
        stream: TcpStream,
        authority: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Posts bytes; the status and the text of the answer.
    pub(super) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, String) {
        let request = Request::post(path)
            .header("host", SERVER_NAME)
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let connection = response.headers().get("connection");
        self.was_asked_to_leave = connection.is_some_and(|value| value == "close");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Posts a review; the `response` of the answer.
    pub(super) async fn review(&mut self, path: &str, review: &Value) -> Value {
        let (status, text) = self
            .post(path, "application/json", review.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["apiVersion"], review["apiVersion"]);
        answer["response"].clone()
    }
}

/// A review of an object.
pub(super) fn review(kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "operation": "CREATE",
            "namespace": "shop",
            "object": object,
        },
    })
}

pub(super) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "new": 1},
        "spec": {"containers": [{"name": "web", "image": "web:1", "new": 1}]},
    })
}
