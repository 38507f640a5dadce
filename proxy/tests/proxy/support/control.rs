//! A stand-in for control: the real services over real TLS, with resources a test sets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use lateen_proxy::tls::peer_identity;
use lateen_wire::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use lateen_wire::ca::{IstioCertificateRequest, IstioCertificateResponse};
use lateen_wire::lateen;
use lateen_wire::resource;
use lateen_wire::xds::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use lateen_wire::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use parking_lot::Mutex;
use prost::Message;
use rcgen::SanType;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::authority::Authority;

/// Control says nothing of hosts whose names begin so.
pub(crate) const SILENT: &str = "silent";

/// Type and name.
type Key = (&'static str, String);

#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    running: Arc<Mutex<Option<JoinSet<()>>>>,
}

struct Shared {
    authority: Arc<Authority>,
    /// Content by key, and a number that grows with each change.
    resources: watch::Sender<BTreeMap<Key, (u64, Vec<u8>)>>,
    life: Mutex<Duration>,
    log: Mutex<Log>,
}

/// What the proxies have said.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) subscribed: Vec<String>,
    pub(crate) refused: Vec<String>,
    pub(crate) initial_versions: BTreeMap<String, String>,
    pub(crate) sent: Vec<String>,
    pub(crate) certificates: usize,
    pub(crate) streams: usize,
}

impl Control {
    pub(crate) async fn start(authority: Arc<Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                authority,
                resources: watch::Sender::default(),
                life: Mutex::new(Duration::from_secs(3600)),
                log: Mutex::default(),
            }),
            running: Arc::default(),
        };
        control.serve(listener);
        control
    }

    /// Ends every connection and takes no new ones.
    pub(crate) fn stop(&self) {
        self.running.lock().take();
    }

    /// Comes back at the same address.
    pub(crate) async fn restart(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// Certificates issued from now on live this long.
    pub(crate) fn set_life(&self, life: Duration) {
        *self.shared.life.lock() = life;
    }

    pub(crate) fn log<T>(&self, read: impl FnOnce(&mut Log) -> T) -> T {
        read(&mut self.shared.log.lock())
    }

    pub(crate) fn set(&self, type_url: &'static str, name: &str, message: &impl Message) {
        self.set_bytes(type_url, name, message.encode_to_vec());
    }

    pub(crate) fn set_bytes(&self, type_url: &'static str, name: &str, bytes: Vec<u8>) {
        self.shared.resources.send_modify(|resources| {
            let number = resources
                .values()
                .map(|(number, _)| number + 1)
                .max()
                .unwrap_or(1);
            resources.insert((type_url, name.to_owned()), (number, bytes));
        });
    }

    pub(crate) fn set_destination(&self, name: &str, answer: lateen::destination::Answer) {
        self.set(
            resource::DESTINATION,
            name,
            &lateen::Destination {
                answer: Some(answer),
            },
        );
    }

    fn serve(&self, listener: TcpListener) {
        let acceptor = acceptor(&self.shared.authority);
        let shared = Arc::clone(&self.shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let certificate = stream.get_ref().1.peer_certificates();
                    let identity = certificate
                        .and_then(|chain| peer_identity(&chain[0]))
                        .map(|identity| identity.to_string());
                    let service = Service { shared, identity };
                    let routes = tonic::service::Routes::new(
                        AggregatedDiscoveryServiceServer::new(service.clone()),
                    )
                    .add_service(IstioCertificateServiceServer::new(service));
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
                        .await;
                });
            }
        });
        *self.running.lock() = Some(tasks);
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let provider = lateen_proxy::tls::provider();
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let (chain, key) = authority.issue(SanType::DnsName("localhost".try_into().unwrap()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    /// Of the client's certificate.
    identity: Option<String>,
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    /// The token of a test is the identity it stands for; without one the certificate counts.
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let identity = match request.metadata().get("authorization") {
            Some(token) => token
                .to_str()
                .ok()
                .and_then(|token| token.strip_prefix("Bearer "))
                .filter(|identity| identity.starts_with("spiffe://")),
            None => self.identity.as_deref(),
        };
        let identity = identity.ok_or_else(|| Status::unauthenticated("nothing shows who asks"))?;
        let life = *self.shared.life.lock();
        let cert_chain = self
            .shared
            .authority
            .sign(&request.get_ref().csr, identity, life);
        self.shared.log.lock().certificates += 1;
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        if self.identity.is_none() {
            return Err(Status::unauthenticated("discovery needs a certificate"));
        }
        self.shared.log.lock().streams += 1;
        let (sender, receiver) = mpsc::channel(64);
        let conversation = Conversation {
            shared: Arc::clone(&self.shared),
            sender,
            following: BTreeMap::new(),
            nonce: 0,
        };
        tokio::spawn(conversation.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// One stream.
struct Conversation {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    /// What is followed, and the version that was sent last.
    following: BTreeMap<Key, Option<u64>>,
    nonce: u64,
}

impl Conversation {
    async fn run(mut self, mut requests: Streaming<DeltaDiscoveryRequest>) {
        let mut resources = self.shared.resources.subscribe();
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.take(request),
                    _ => return,
                },
                _ = resources.changed() => {}
                () = self.sender.closed() => return,
            }
            let current = resources.borrow_and_update().clone();
            self.send_changes(&current).await;
        }
    }

    fn take(&mut self, request: DeltaDiscoveryRequest) {
        let type_url = [
            resource::OWN,
            resource::DESTINATION,
            resource::ENDPOINT_SLICE,
            resource::WORKLOAD,
            resource::HOST_ADDRESSES,
        ]
        .into_iter()
        .find(|known| *known == request.type_url)
        .unwrap();
        let mut log = self.shared.log.lock();
        if let Some(error) = request.error_detail {
            log.refused.push(error.message);
        }
        log.subscribed
            .extend(request.resource_names_subscribe.iter().cloned());
        log.initial_versions
            .extend(request.initial_resource_versions.clone());
        for name in request.resource_names_subscribe {
            let known = request.initial_resource_versions.get(&name);
            let version = known.and_then(|version| version.parse().ok());
            self.following.insert((type_url, name), version);
        }
        for name in request.resource_names_unsubscribe {
            self.following.remove(&(type_url, name));
        }
    }

    async fn send_changes(&mut self, current: &BTreeMap<Key, (u64, Vec<u8>)>) {
        let mut responses: BTreeMap<&'static str, Vec<Resource>> = BTreeMap::new();
        let mut removed: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut sent = BTreeSet::new();
        for (key, sent_version) in &mut self.following {
            // A destination nobody has set does not exist.
            let unknown = lateen::Destination {
                answer: Some(lateen::destination::Answer::Unknown(lateen::Unknown {})),
            };
            let (version, bytes) = match current.get(key) {
                Some((version, bytes)) => (*version, bytes.clone()),
                None if key.0 == resource::DESTINATION => (0, unknown.encode_to_vec()),
                None if key.0 == resource::HOST_ADDRESSES && !key.1.starts_with(SILENT) => {
                    if sent_version.replace(0) != Some(0) {
                        removed.entry(key.0).or_default().push(key.1.clone());
                    }
                    continue;
                }
                None => continue,
            };
            if *sent_version == Some(version) {
                continue;
            }
            *sent_version = Some(version);
            sent.insert(key.1.clone());
            responses.entry(key.0).or_default().push(Resource {
                version: version.to_string(),
                name: key.1.clone(),
                resource: Some(prost_types::Any {
                    type_url: key.0.to_owned(),
                    value: bytes,
                }),
            });
        }
        self.shared.log.lock().sent.extend(sent);
        let types: BTreeSet<_> = responses.keys().chain(removed.keys()).copied().collect();
        for type_url in types {
            self.nonce += 1;
            let response = DeltaDiscoveryResponse {
                resources: responses.remove(type_url).unwrap_or_default(),
                removed_resources: removed.remove(type_url).unwrap_or_default(),
                type_url: type_url.to_owned(),
                nonce: self.nonce.to_string(),
                ..DeltaDiscoveryResponse::default()
            };
            let _ = self.sender.send(Ok(response)).await;
        }
    }
}
