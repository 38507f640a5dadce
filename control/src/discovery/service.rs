//! The gRPC service: who calls is established before a stream begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lateen_wire::resource::MAX_NAMES;
use lateen_wire::xds::aggregated_discovery_service_server::AggregatedDiscoveryService;
use lateen_wire::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use prost_types::value::Kind as Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};

use super::answers::Answers;
use super::connections::{Connection, Connections};
use super::key::Kind;
use super::stream::{State, Stream};
use crate::caller::{self, Claim};
use crate::metrics::{Metrics, ReasonLabels};
use crate::serve::{Peer, PeerCertificate};
use crate::snapshot::store::Store;

/// How long a new stream may take to say who it is.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long a stream lives, give or take half: streams spread over the replicas again.
const LIFE: Duration = Duration::from_secs(30 * 60);
/// Responses on their way to a proxy; what follows them stays in its inbox.
const RESPONSES: usize = 2;

/// What one proxy may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Destinations that a stream follows, and workloads.
    pub names: usize,
    /// Endpoint slices that a stream follows: those of its destinations, one per 100 endpoints.
    pub slices: usize,
    /// Names that a stream may ask for at once.
    pub names_burst: u32,
    /// Names that a stream may ask for per second, after that.
    pub names_per_second: u32,
    /// Streams of one pod.
    pub streams: usize,
    /// Bytes of resources after which a response is full.
    pub response_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: MAX_NAMES,
            slices: 10 * MAX_NAMES,
            names_burst: 10_000,
            names_per_second: 1_000,
            streams: 16,
            response_bytes: 256 * 1024,
        }
    }
}

impl Limits {
    /// Resources of one type that a stream follows.
    pub(super) const fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Own => 1,
            Kind::Destination | Kind::Workload | Kind::HostAddresses => self.names,
            Kind::EndpointSlice => self.slices,
        }
    }
}

/// The discovery service.
pub struct Discovery {
    /// The cluster.
    pub store: Arc<Store>,
    /// Answers to all that is asked.
    pub answers: Arc<Answers>,
    /// Open streams.
    pub connections: Arc<Connections>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What a proxy may ask for.
    pub limits: Limits,
    /// Ends all streams when cancelled.
    pub stopping: CancellationToken,
    /// Tracks the streams' tasks.
    pub tasks: TaskTracker,
    /// Number of the last stream.
    pub streams: AtomicU64,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("a connection without a peer"))?;
        let certificate = self.certificate(&peer)?;
        let mut requests = request.into_inner();
        let first = timeout(FIRST_REQUEST, requests.message())
            .await
            .map_err(|_| self.refuse("silent", Status::deadline_exceeded("no request came")))??
            .ok_or_else(|| self.refuse("silent", Status::invalid_argument("no request came")))?;
        let node = first.node.as_ref().ok_or_else(|| {
            self.refuse(
                "no_node",
                Status::invalid_argument("the first request names no node"),
            )
        })?;
        let (namespace, pod) = self.verify(&peer, &certificate, node).await?;

        let (responses, receiver) = mpsc::channel(RESPONSES);
        let connection = Connection {
            id: self.streams.fetch_add(1, Ordering::Relaxed),
            namespace: namespace.clone(),
            pod: pod.clone(),
            identity: certificate.identity,
            address: peer.address,
            agent: agent(node),
            since: Instant::now(),
            names: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        };
        let open = self
            .connections
            .open(connection, self.limits.streams)
            .ok_or_else(|| {
                let message = format!("pod {namespace}/{pod} has too many streams");
                self.refuse("too_many_streams", Status::resource_exhausted(message))
            })?;
        let stream = Stream {
            open,
            answers: self.answers.clone(),
            metrics: self.metrics.clone(),
            limits: self.limits,
            requests,
            responses,
            end: certificate
                .end
                .min(Instant::now() + LIFE.mul_f64(0.5 + fastrand::f64())),
            stopping: self.stopping.clone(),
            state: State::new(&namespace, &pod, &self.limits),
        };
        self.tasks.spawn(stream.serve(first));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Discovery {
    /// The workload certificate that the connection was made with.
    fn certificate(&self, peer: &Peer) -> Result<PeerCertificate, Status> {
        let certificate = peer.certificate().cloned().ok_or_else(|| {
            let message =
                "discovery needs a client certificate with a workload's identity, valid now";
            self.refuse("no_certificate", Status::unauthenticated(message))
        })?;
        caller::check_trust_domain(&certificate.identity, &self.store.read()).map_err(
            |denied| {
                let status = Status::unauthenticated(denied.to_string());
                self.refuse("trust_domain", status)
            },
        )?;
        Ok(certificate)
    }

    /// The namespace and name of the pod that the node says it is, if it is.
    async fn verify(
        &self,
        peer: &Peer,
        certificate: &PeerCertificate,
        node: &Node,
    ) -> Result<(Arc<str>, Arc<str>), Status> {
        let (Some(namespace), Some(pod)) = (metadata(node, "NAMESPACE"), metadata(node, "NAME"))
        else {
            let message = "the node's metadata lacks NAME or NAMESPACE";
            return Err(self.refuse("no_node", Status::invalid_argument(message)));
        };
        let identity = &certificate.identity;
        if namespace != identity.namespace() {
            let message = format!("{identity} is not of namespace {namespace}");
            return Err(self.refuse("claim", Status::permission_denied(message)));
        }
        let claim = Claim {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: None,
            service_account: identity.service_account().to_owned(),
            address: peer.address,
        };
        if let Err(denied) = claim.verify(&self.store).await {
            warn!(%denied, address = %peer.address, "A stream is refused.");
            return Err(self.refuse("claim", Status::permission_denied(denied.to_string())));
        }
        debug!(namespace, pod, %identity, "A stream begins.");
        Ok((Arc::from(namespace), Arc::from(pod)))
    }

    fn refuse(&self, reason: &'static str, status: Status) -> Status {
        self.metrics
            .stream_errors
            .get_or_create(&ReasonLabels { reason })
            .inc();
        status
    }
}

fn metadata<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    match node.metadata.as_ref()?.fields.get(name)?.kind.as_ref()? {
        Value::StringValue(value) if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// The proxy's program and version, cut to what a page can show.
fn agent(node: &Node) -> String {
    format!("{}/{}", node.user_agent_name, node.user_agent_version)
        .chars()
        .take(64)
        .collect()
}
