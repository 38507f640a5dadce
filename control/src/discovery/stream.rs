//! The life of one stream: requests are read, answers written, until the proxy leaves, its pod or
//! its certificate ends, or this replica stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lateen_wire::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::answers::{Answer, Answers};
use super::connections::Open;
use super::inbox::Inbox;
use super::key::{Key, Kind};
use super::service::Limits;
use super::subscriptions::Subscriptions;
use crate::limit::Bucket;
use crate::metrics::{Metrics, ReasonLabels, TypeLabels};

/// Most resources in one response.
const BATCH: usize = 500;
/// Longest name of a resource: a host of 255 bytes, a port, and room.
const MAX_NAME: usize = 512;
/// Over how long the streams of a stopping replica are ended, so that the others are not rushed.
const DRAIN: Duration = Duration::from_secs(3);

/// One stream and all it needs.
pub(super) struct Stream {
    pub(super) open: Open,
    pub(super) answers: Arc<Answers>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) requests: Streaming<DeltaDiscoveryRequest>,
    pub(super) responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    /// When the stream ends at the latest.
    pub(super) end: Instant,
    pub(super) stopping: CancellationToken,
    pub(super) state: State,
}

/// What changes while a stream lives.
pub(super) struct State {
    inbox: Arc<Inbox>,
    subscriptions: Subscriptions,
    /// The proxy's own workload: it is followed by ourselves too, to notice the end of the pod.
    own: Arc<Key>,
    rate: Bucket,
}

impl State {
    pub(super) fn new(namespace: &Arc<str>, pod: &Arc<str>, limits: &Limits) -> Self {
        Self {
            inbox: Arc::default(),
            subscriptions: Subscriptions::default(),
            own: Arc::new(Key::Own(namespace.clone(), pod.clone())),
            rate: Bucket::new(limits.names_burst, limits.names_per_second),
        }
    }
}

impl Stream {
    /// Serves the stream that began with this request to its end.
    pub(super) async fn serve(mut self, first: DeltaDiscoveryRequest) {
        self.answers
            .follow(&self.state.own, self.open.connection.id, &self.state.inbox);
        let end = match self.handle(first).await {
            Ok(()) => self.exchange().await,
            Err(status) => Some(status),
        };
        let connection = &self.open.connection;
        if let Some(status) = end {
            debug!(pod = %connection.pod, namespace = %connection.namespace, %status, "A stream is ended.");
            // A proxy that does not read its last word may miss it.
            let _ = self.responses.try_send(Err(status));
        }
        for key in self.state.subscriptions.keys().chain([&self.state.own]) {
            self.answers.unfollow(key, connection.id);
        }
    }

    /// Reads and writes until one side wants no more; returns what to tell the proxy then.
    async fn exchange(&mut self) -> Option<Status> {
        let responses = self.responses.clone();
        let stopping = self.stopping.clone();
        let stopped = std::pin::pin!(async {
            stopping.cancelled().await;
            sleep(DRAIN.mul_f64(fastrand::f64())).await;
        });
        let mut stopped = stopped;
        loop {
            let inbox = self.state.inbox.clone();
            let refused = self.state.subscriptions.has_refused();
            let writable = async {
                if !refused {
                    inbox.filled().await;
                }
                responses.reserve().await
            };
            tokio::select! {
                () = &mut stopped => {
                    return Some(Status::unavailable("this replica stops; connect to another"));
                }
                () = sleep_until(self.end) => {
                    return Some(Status::unavailable("this stream has lived its time; connect again"));
                }
                request = self.requests.message() => match request {
                    Ok(Some(request)) => {
                        if let Err(status) = self.handle(request).await {
                            return Some(status);
                        }
                    }
                    Ok(None) | Err(_) => return None,
                },
                permit = writable => {
                    let permit = permit.ok()?;
                    match self.next_response() {
                        Ok(Some(response)) => permit.send(Ok(response)),
                        Ok(None) => {}
                        Err(status) => return Some(status),
                    }
                }
            }
        }
    }

    /// Takes in a request: changes what is followed, notes what was acknowledged or refused.
    async fn handle(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        let Some(kind) = Kind::of_type_url(&request.type_url) else {
            // A newer proxy may ask for types that an older control does not have.
            debug!(
                type_url = request.type_url,
                "A proxy asks for an unknown type."
            );
            return Ok(());
        };
        self.acknowledge(kind, &request);
        let asked = request.resource_names_subscribe.len()
            + request.resource_names_unsubscribe.len()
            + request.initial_resource_versions.len();
        let names = request
            .resource_names_subscribe
            .iter()
            .chain(&request.resource_names_unsubscribe)
            .chain(request.initial_resource_versions.keys());
        for name in names {
            if name.len() > MAX_NAME {
                return Err(
                    self.end_for("long_name", Status::invalid_argument("a name is too long"))
                );
            }
        }
        // Before any of them costs something; a proxy that comes back says each name twice.
        let most = 2 * self.limits.of(kind);
        if asked > most {
            return Err(self.too_many_names());
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(kind, name);
        }
        // A proxy that comes back subscribes to all it follows, and says what it has of it.
        let mut had = request.initial_resource_versions;
        for name in request.resource_names_subscribe {
            let version = had.remove(&name);
            self.subscribe(kind, name, version);
        }
        for (name, version) in had {
            self.subscribe(kind, name, Some(version));
        }
        let connection = &self.open.connection;
        connection
            .names
            .store(self.state.subscriptions.len(), Ordering::Relaxed);
        // A proxy that asks on without reading what it is told.
        if self.state.subscriptions.refused_len() > most {
            return Err(self.too_many_names());
        }
        // A proxy that asks too fast is read more slowly.
        let pause = self
            .state
            .rate
            .take(u32::try_from(asked).unwrap_or(u32::MAX));
        sleep(pause).await;
        Ok(())
    }

    fn too_many_names(&self) -> Status {
        let message = "more names are asked for than a proxy can follow";
        self.end_for("too_many_names", Status::resource_exhausted(message))
    }

    fn subscribe(&mut self, kind: Kind, name: String, version: Option<String>) {
        let connection = &self.open.connection;
        let key = Key::parse(kind, &name, &connection.namespace, &connection.pod);
        let Some(key) = key.map(Arc::new) else {
            self.state.subscriptions.refuse(kind, name);
            return;
        };
        if !self
            .state
            .subscriptions
            .has_room(&key, self.limits.of(kind))
        {
            let labels = TypeLabels {
                r#type: kind.label(),
            };
            self.metrics.names_refused.get_or_create(&labels).inc();
            self.state.subscriptions.refuse(kind, name);
            return;
        }
        match version {
            Some(version) => self.state.subscriptions.resume(key.clone(), version),
            None => self.state.subscriptions.add(key.clone()),
        }
        self.answers.follow(&key, connection.id, &self.state.inbox);
    }

    fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let connection = &self.open.connection;
        let Some(key) = Key::parse(kind, name, &connection.namespace, &connection.pod) else {
            return;
        };
        let key = Arc::new(key);
        if self.state.subscriptions.remove(&key) && key != self.state.own {
            self.answers.unfollow(&key, connection.id);
        }
    }

    fn acknowledge(&self, kind: Kind, request: &DeltaDiscoveryRequest) {
        if request.response_nonce.is_empty() {
            return;
        }
        let connection = &self.open.connection;
        connection.acknowledged.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = &request.error_detail {
            connection.rejected.fetch_add(1, Ordering::Relaxed);
            self.metrics.rejects.inc();
            warn!(
                pod = %connection.pod,
                namespace = %connection.namespace,
                r#type = kind.label(),
                error = error.message,
                "A proxy refuses an answer.",
            );
        } else if !self
            .state
            .subscriptions
            .is_latest(kind, &request.response_nonce)
        {
            self.metrics.expired_nonces.inc();
        }
    }

    /// The next response, if the proxy does not have it all.
    fn next_response(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        let taken = self.state.inbox.take(BATCH);
        let kind = match (taken.first(), self.state.subscriptions.refused_kind()) {
            (Some((key, _)), _) => key.kind(),
            (None, Some(kind)) => kind,
            (None, None) => return Ok(None),
        };
        let mut answers = Vec::with_capacity(taken.len());
        let mut size = 0;
        let mut oldest: Option<Instant> = None;
        for (key, changed) in taken {
            let Some(answer) = self.answers.current(&key) else {
                continue;
            };
            if key == self.state.own && answer == Answer::Absent {
                info!(pod = %self.open.connection.pod, "The pod of a stream is gone.");
                return Err(self.end_for("pod_gone", Status::permission_denied("the pod is gone")));
            }
            if size > self.limits.response_bytes {
                self.state.inbox.put(key, changed);
                continue;
            }
            if let Answer::Resource(resource) = &answer {
                size += resource.content.len();
            }
            oldest = oldest.into_iter().chain(changed).min();
            answers.push((key, answer));
        }
        let response = self.state.subscriptions.response(kind, answers);
        if let Some(response) = &response {
            self.count(kind, response, oldest);
        }
        Ok(response)
    }

    fn count(&self, kind: Kind, response: &DeltaDiscoveryResponse, changed: Option<Instant>) {
        let resources = response.resources.len() + response.removed_resources.len();
        let labels = TypeLabels {
            r#type: kind.label(),
        };
        self.metrics
            .pushes
            .get_or_create(&labels)
            .inc_by(resources as u64);
        self.open.connection.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(changed) = changed {
            self.metrics
                .convergence
                .observe(changed.elapsed().as_secs_f64());
        }
    }

    fn end_for(&self, reason: &'static str, status: Status) -> Status {
        self.metrics
            .stream_errors
            .get_or_create(&ReasonLabels { reason })
            .inc();
        status
    }
}
