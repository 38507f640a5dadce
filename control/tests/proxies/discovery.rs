//! Delta discovery over mutual TLS, as a proxy sees it.

use std::collections::HashMap;
use std::time::Duration;

use lateen_control::ca::{Authority, Issued, Subject};
use lateen_control::discovery::Limits;
use lateen_wire::lateen::{Destination, Own, destination::Answer};
use lateen_wire::resource::{DESTINATION, OWN, WORKLOAD};
use lateen_wire::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use lateen_wire::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use lateen_wire::{Identity, xds};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{Control, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

/// One stream of a proxy.
struct Proxy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    /// Opens a stream as a pod of the shop, with a first request.
    async fn open(
        control: &Control,
        certificate: Option<&Issued>,
        pod: &str,
        first: DeltaDiscoveryRequest,
    ) -> Result<Self, Status> {
        let channel = control
            .connect(certificate)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Self::over(channel, pod, first).await
    }

    /// Opens a stream on a connection that is there already.
    async fn over(
        channel: Channel,
        pod: &str,
        first: DeltaDiscoveryRequest,
    ) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(16);
        let first = DeltaDiscoveryRequest {
            node: Some(node(pod)),
            ..first
        };
        requests.send(first).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let response = client
            .delta_aggregated_resources(ReceiverStream::new(stream))
            .await?;
        Ok(Self {
            requests,
            responses: response.into_inner(),
        })
    }

    async fn client(control: &Control, first: DeltaDiscoveryRequest) -> Self {
        let certificate = control.certificate("client");
        Self::open(control, Some(&certificate), "client", first)
            .await
            .unwrap()
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response, or how the stream ended.
    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = timeout(PATIENCE, self.responses.message())
            .await
            .expect("no response");
        next?.ok_or_else(|| Status::ok("the stream has ended"))
    }
}

fn node(pod: &str) -> Node {
    let text = |value: &str| Value {
        kind: Some(Kind::StringValue(value.to_owned())),
    };
    let fields = [("NAME", pod), ("NAMESPACE", "shop")];
    Node {
        metadata: Some(Struct {
            fields: fields
                .map(|(key, value)| (key.to_owned(), text(value)))
                .into(),
        }),
        ..Node::default()
    }
}

fn subscribe(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn is_service(response: &DeltaDiscoveryResponse, name: &str) -> bool {
    let resource = response
        .resources
        .iter()
        .find(|resource| resource.name == name)
        .unwrap();
    let content = &resource.resource.as_ref().unwrap().value;
    let destination = Destination::decode(content.as_slice()).unwrap();
    matches!(destination.answer, Some(Answer::Service(_)))
}

fn add(control: &Control, yaml: &str) {
    control.store.update(|snapshot, changed| {
        changed.extend(snapshot.read_manifests(yaml).unwrap());
    });
}

const LATE: &str = "{kind: Service, metadata: {name: late, namespace: shop}, \
                    spec: {clusterIPs: [10.96.0.20], ports: [{port: 80}]}}";

#[tokio::test]
async fn answers_come_at_once_and_are_kept_current() {
    let control = Control::start(Limits::default()).await;
    let names = ["web:80", "late:80"];
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &names)).await;
    let first = proxy.next().await.unwrap();
    assert_eq!(first.resources.len(), 2);
    assert!(is_service(&first, "web:80"));
    assert!(!is_service(&first, "late:80"));

    add(&control, LATE);
    let second = proxy.next().await.unwrap();
    assert_eq!(second.resources.len(), 1);
    assert!(is_service(&second, "late:80"));
    assert_ne!(first.nonce, second.nonce);
}

#[tokio::test]
async fn a_proxy_learns_of_itself_and_its_stream_ends_with_its_pod() {
    let control = Control::start(Limits::default()).await;
    let mut proxy = Proxy::client(&control, subscribe(OWN, &["self"])).await;
    let response = proxy.next().await.unwrap();
    let content = &response.resources[0].resource.as_ref().unwrap().value;
    let own = Own::decode(content.as_slice()).unwrap();
    assert_eq!(own.workload.unwrap().service_account, "client");
    assert_eq!(control.metrics.streams.get(), 1);

    control
        .store
        .update(|snapshot, changed| snapshot.remove_pod("shop", "client", changed));
    assert_eq!(
        proxy.next().await.unwrap_err().code(),
        Code::PermissionDenied
    );
    eventually("the end of the stream", || {
        control.metrics.streams.get() == 0
    })
    .await;
    assert!(control.connections.list().is_empty());
}

#[tokio::test]
async fn a_proxy_that_comes_back_with_what_it_has_is_told_only_what_changed() {
    let control = Control::start(Limits::default()).await;
    let names = ["web:80", "late:80"];
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &names)).await;
    let first = proxy.next().await.unwrap();
    let versions: HashMap<String, String> = first
        .resources
        .into_iter()
        .map(|resource| (resource.name, resource.version))
        .collect();
    drop(proxy);

    // Another replica agrees on the versions.
    let other = Control::with_authority(Limits::default(), control.authority.clone()).await;
    let resume = DeltaDiscoveryRequest {
        initial_resource_versions: versions,
        ..subscribe(DESTINATION, &names)
    };
    let mut proxy = Proxy::client(&other, resume).await;
    add(&other, LATE);
    let told = proxy.next().await.unwrap();
    let names: Vec<&str> = told
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect();
    assert_eq!(names, ["late:80"]);
}

#[tokio::test]
async fn names_that_cannot_be_are_answered_as_removed() {
    let control = Control::start(Limits::default()).await;
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &["no port", "web:80"])).await;
    let response = proxy.next().await.unwrap();
    assert_eq!(response.removed_resources, ["no port"]);
    assert!(is_service(&response, "web:80"));
}

#[tokio::test]
async fn a_refused_answer_is_counted_and_not_sent_again() {
    let control = Control::start(Limits::default()).await;
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &["web:80"])).await;
    let first = proxy.next().await.unwrap();
    proxy
        .send(DeltaDiscoveryRequest {
            type_url: DESTINATION.to_owned(),
            response_nonce: first.nonce,
            error_detail: Some(xds::Status {
                code: 3,
                message: "cannot use it".to_owned(),
            }),
            ..DeltaDiscoveryRequest::default()
        })
        .await;
    eventually("the refusal", || control.metrics.rejects.get() == 1).await;
    proxy.send(subscribe(DESTINATION, &["late:80"])).await;
    let next = proxy.next().await.unwrap();
    assert_eq!(next.resources.len(), 1);
    assert_eq!(next.resources[0].name, "late:80");
}

#[tokio::test]
async fn who_is_not_the_pod_it_claims_to_be_gets_no_stream() {
    let control = Control::start(Limits::default()).await;
    let ask = || subscribe(DESTINATION, &["web:80"]);
    let stranger = Authority::load(&Authority::create("cluster.local").unwrap()).unwrap();
    let identity = Identity::new("cluster.local", "shop", "client").unwrap();
    let foreign = stranger
        .issue(&Subject::Workload(identity), Duration::from_secs(60))
        .unwrap();
    let identity = Identity::new("other.domain", "shop", "client").unwrap();
    let domain = control
        .authority
        .issue(&Subject::Workload(identity), Duration::from_secs(60))
        .unwrap();
    let (client, other) = (
        control.certificate("client"),
        control.certificate("elsewhere"),
    );
    let attempts = [
        (None, "client", Code::Unauthenticated),
        (Some(&domain), "client", Code::Unauthenticated),
        (Some(&other), "client", Code::PermissionDenied),
        (Some(&client), "nobody", Code::PermissionDenied),
        (Some(&other), "elsewhere", Code::PermissionDenied),
    ];
    let outcomes = attempts.map(|(certificate, pod, expected)| {
        let control = &control;
        async move {
            let status = Proxy::open(control, certificate, pod, ask())
                .await
                .err()
                .unwrap();
            assert_eq!(status.code(), expected, "{pod}: {status}");
        }
    });
    futures::future::join_all(outcomes).await;

    // A certificate of another authority does not get past the handshake.
    assert!(
        Proxy::open(&control, Some(&foreign), "client", ask())
            .await
            .is_err()
    );
    eventually("a counted handshake error", || {
        control
            .metrics
            .encode()
            .unwrap()
            .contains("handshake_errors{reason=\"certificate\"} 1")
    })
    .await;
}

#[tokio::test]
async fn names_beyond_the_limit_are_answered_as_absent_and_counted() {
    let limits = Limits {
        names: 2,
        ..Limits::default()
    };
    let control = Control::start(limits).await;
    let names = ["web:80", "a:80", "b:80"];
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &names)).await;
    let first = proxy.next().await.unwrap();
    assert_eq!(first.resources.len(), 2);
    assert_eq!(first.removed_resources, ["b:80"]);
    let counted = "lateen_control_names_refused{type=\"destination\"} 1";
    let text = control.metrics.encode().unwrap();
    assert!(text.lines().any(|line| line == counted), "{text}");

    // Who gives up a name gets another, and other types have room of their own.
    proxy.send(subscribe(WORKLOAD, &["10.0.0.9"])).await;
    assert_eq!(proxy.next().await.unwrap().resources.len(), 1);
    proxy
        .send(DeltaDiscoveryRequest {
            resource_names_unsubscribe: vec!["a:80".to_owned()],
            ..subscribe(DESTINATION, &["b:80"])
        })
        .await;
    assert_eq!(proxy.next().await.unwrap().resources[0].name, "b:80");
}

#[tokio::test]
async fn a_stream_that_asks_for_far_too_many_names_is_ended() {
    let limits = Limits {
        names: 100,
        ..Limits::default()
    };
    let control = Control::start(limits).await;
    let names: Vec<String> = (0..201).map(|number| format!("host-{number}:80")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &names)).await;
    let end = loop {
        if let Err(status) = proxy.next().await {
            break status;
        }
    };
    assert_eq!(end.code(), Code::ResourceExhausted);
    assert!(
        Proxy::open(
            &control,
            Some(&control.certificate("client")),
            "client",
            subscribe(DESTINATION, &["web:80"])
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn many_answers_come_in_responses_of_bounded_size() {
    let limits = Limits {
        response_bytes: 1024,
        ..Limits::default()
    };
    let control = Control::start(limits).await;
    let services: Vec<String> = (0..200)
        .map(|number| {
            format!(
                "{{kind: Service, metadata: {{name: s{number}, namespace: shop}}, \
                 spec: {{clusterIPs: [10.97.0.{number}], ports: [{{port: 80}}]}}}}"
            )
        })
        .collect();
    add(&control, &services.join("\n---\n"));
    let names: Vec<String> = (0..200).map(|number| format!("s{number}:80")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &names)).await;
    let mut received = 0;
    while received < 200 {
        let response = proxy.next().await.unwrap();
        assert!(response.encoded_len() < 4096, "{}", response.encoded_len());
        received += response.resources.len();
    }
    assert_eq!(received, 200);
}

#[tokio::test]
async fn a_stopping_replica_tells_its_proxies() {
    let control = Control::start(Limits::default()).await;
    let mut proxy = Proxy::client(&control, subscribe(DESTINATION, &["web:80"])).await;
    proxy.next().await.unwrap();
    control.stopping.cancel();
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_pod_has_only_so_many_streams() {
    let limits = Limits {
        streams: 2,
        ..Limits::default()
    };
    let control = Control::start(limits).await;
    let ask = || subscribe(DESTINATION, &["web:80"]);
    let _first = Proxy::client(&control, ask()).await;
    let second = Proxy::client(&control, ask()).await;
    let certificate = control.certificate("client");
    let third = Proxy::open(&control, Some(&certificate), "client", ask()).await;
    assert_eq!(third.err().unwrap().code(), Code::ResourceExhausted);
    drop(second);
    eventually("room for a stream", || control.metrics.streams.get() < 2).await;
    Proxy::client(&control, ask()).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_certificate_and_the_connection_has_no_other() {
    let control = Control::start(Limits::default()).await;
    let certificate = control.short_lived("client", Duration::from_secs(4));
    let channel = control.connect(Some(&certificate)).await.unwrap();
    let ask = || subscribe(DESTINATION, &["web:80"]);
    let mut proxy = Proxy::over(channel.clone(), "client", ask()).await.unwrap();
    proxy.next().await.unwrap();
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unavailable);
    let again = Proxy::over(channel, "client", ask()).await;
    assert_eq!(again.err().unwrap().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_alias_of_the_trust_domain_is_as_good() {
    let control = Control::start(Limits::default()).await;
    let identity = Identity::new("old.domain", "shop", "client").unwrap();
    let certificate = control
        .authority
        .issue(&Subject::Workload(identity), Duration::from_secs(60))
        .unwrap();
    let open = || {
        let ask = subscribe(DESTINATION, &["web:80"]);
        Proxy::open(&control, Some(&certificate), "client", ask)
    };
    let refused = open().await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    control.store.update(|snapshot, changed| {
        let mut mesh = snapshot.mesh().clone();
        mesh.trust_domain_aliases = vec!["old.domain".to_owned()];
        snapshot.set_mesh(mesh, changed);
    });
    assert!(open().await.is_ok());
}
