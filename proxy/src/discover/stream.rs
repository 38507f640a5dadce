//! The delta discovery stream: subscribes to what the cache wants to know, takes in what control
//! sends, answers every response with an acknowledgement or a refusal, and comes back when the
//! stream breaks, telling control what it has so that nothing is sent twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lateen_wire::resource::{self, DestinationName};
use lateen_wire::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use lateen_wire::xds::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status as RefusalStatus,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::cache::{Discovery, Link};
use super::model::{Definition, Own, Slice, Workload, host_addresses};
use super::state::{Changes, NameChanges, State};
use crate::control::{BackOff, Control};
use crate::metrics::Counters;
use crate::ready::{Readiness, Reason};
use crate::tls::TrustDomains;

/// Requests that wait for control to read them.
const QUEUE: usize = 64;
/// How often idle names are looked for.
const EVICTION: Duration = Duration::from_secs(60);
/// gRPC's `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// Every type.
const TYPES: [&str; 5] = [
    resource::OWN,
    resource::DESTINATION,
    resource::ENDPOINT_SLICE,
    resource::WORKLOAD,
    resource::HOST_ADDRESSES,
];

/// Keeps the cache current for ever.
pub async fn run(
    discovery: Discovery,
    control: Control,
    readiness: Readiness,
    trust_domains: TrustDomains,
) {
    let mut follower = Follower {
        discovery,
        control,
        readiness,
        trust_domains,
        versions: HashMap::new(),
        own_versions: 0,
    };
    let mut back_off = BackOff::new();
    loop {
        match follower.follow(&mut back_off).await {
            Ok(()) => tracing::info!("Control ended the discovery stream."),
            Err(error) => {
                tracing::warn!(%error, "The discovery stream broke; what is known stays in force.")
            }
        }
        follower.discovery.set_link(Link::Down);
        back_off.wait().await;
    }
}

struct Follower {
    discovery: Discovery,
    control: Control,
    readiness: Readiness,
    trust_domains: TrustDomains,
    /// Type to name to version, for a reconnect.
    versions: HashMap<&'static str, HashMap<String, String>>,
    own_versions: u64,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("control cannot be reached: {0}")]
    Connect(#[from] crate::control::ControlError),
    #[error("control refused the stream: {}", .0.message())]
    Refused(#[from] Box<tonic::Status>),
    #[error("the stream does not take requests any more")]
    Closed,
}

impl Follower {
    async fn follow(&mut self, back_off: &mut BackOff) -> Result<(), Broken> {
        let channel = self.control.discovery().await?;
        let (requests, queue) = mpsc::channel(QUEUE);
        self.subscribe_all(&requests).await?;
        let mut client =
            AggregatedDiscoveryServiceClient::with_origin(channel.clone(), channel.origin());
        let mut responses = client
            .delta_aggregated_resources(ReceiverStream::new(queue))
            .await
            .map_err(Box::new)?
            .into_inner();
        self.counters().discovery_streams.increment();
        self.discovery.set_link(Link::Up);
        back_off.reset();
        self.carry(&requests, &mut responses).await
    }

    async fn carry(
        &mut self,
        requests: &mpsc::Sender<DeltaDiscoveryRequest>,
        responses: &mut Streaming<DeltaDiscoveryResponse>,
    ) -> Result<(), Broken> {
        let mut eviction = tokio::time::interval(EVICTION);
        loop {
            let discovery = self.discovery.clone();
            let mut changes = pin!(discovery.has_changes());
            tokio::select! {
                response = responses.message() => match response.map_err(Box::new)? {
                    None => return Ok(()),
                    Some(response) => self.take(response, requests).await?,
                },
                () = &mut changes => {
                    let changes = self.discovery.with_state(State::take_changes);
                    self.send_changes(changes, requests).await?;
                }
                _ = eviction.tick() => self.discovery.evict_idle(),
            }
        }
    }

    /// The first requests of a stream: everything that is followed, and what is there already.
    async fn subscribe_all(
        &mut self,
        requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    ) -> Result<(), Broken> {
        let followed = self.discovery.with_state(State::follow_anew);
        let own = BTreeMap::from([(resource::OWN_NAME.to_owned(), true)]);
        let mut node = Some(self.node());
        for (type_url, names) in [
            (resource::OWN, own),
            (resource::DESTINATION, followed.destinations),
            (resource::ENDPOINT_SLICE, followed.slices),
            (resource::WORKLOAD, followed.workloads),
            (resource::HOST_ADDRESSES, followed.addresses),
        ] {
            if names.is_empty() {
                continue;
            }
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: type_url.to_owned(),
                initial_resource_versions: self.known_versions(type_url, &names),
                resource_names_subscribe: names.into_keys().collect(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).await.map_err(|_| Broken::Closed)?;
        }
        Ok(())
    }

    /// The versions of what is still there: a name that left and came back while the stream was
    /// down has nothing.
    fn known_versions(
        &mut self,
        type_url: &'static str,
        names: &BTreeMap<String, bool>,
    ) -> HashMap<String, String> {
        let versions = self.versions.entry(type_url).or_default();
        versions.retain(|name, _| names.get(name) == Some(&true));
        versions.clone()
    }

    async fn send_changes(
        &mut self,
        changes: Changes,
        requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    ) -> Result<(), Broken> {
        for (type_url, names) in [
            (resource::DESTINATION, changes.destinations),
            (resource::ENDPOINT_SLICE, changes.slices),
            (resource::WORKLOAD, changes.workloads),
            (resource::HOST_ADDRESSES, changes.addresses),
        ] {
            if names.is_empty() {
                continue;
            }
            let NameChanges {
                subscribe,
                unsubscribe,
            } = names;
            if let Some(versions) = self.versions.get_mut(type_url) {
                versions.retain(|name, _| !unsubscribe.contains(name));
            }
            let request = DeltaDiscoveryRequest {
                type_url: type_url.to_owned(),
                resource_names_subscribe: subscribe.into_iter().collect(),
                resource_names_unsubscribe: unsubscribe.into_iter().collect(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).await.map_err(|_| Broken::Closed)?;
        }
        Ok(())
    }

    /// Takes in a response as a whole or refuses it as a whole, and says which.
    async fn take(
        &mut self,
        response: DeltaDiscoveryResponse,
        requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    ) -> Result<(), Broken> {
        let (type_url, nonce) = (response.type_url.clone(), response.nonce.clone());
        let error_detail = match self.apply(&response) {
            Ok(()) => None,
            Err(message) => {
                tracing::warn!(type_url, message, "A discovery response was refused.");
                self.counters().discovery_refused.increment();
                Some(RefusalStatus {
                    code: INVALID_ARGUMENT,
                    message,
                })
            }
        };
        let answer = DeltaDiscoveryRequest {
            type_url,
            response_nonce: nonce,
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(answer).await.map_err(|_| Broken::Closed)
    }

    fn apply(&mut self, response: &DeltaDiscoveryResponse) -> Result<(), String> {
        let Some(type_url) = TYPES.into_iter().find(|known| *known == response.type_url) else {
            return Err(format!(
                "resources of type '{}' were not asked for",
                response.type_url
            ));
        };
        let bytes: usize = response.resources.iter().map(Message::encoded_len).sum();
        self.counters().discovery_bytes.add(bytes as u64);
        match type_url {
            resource::OWN => self.apply_own(&response.resources)?,
            resource::DESTINATION => self.apply_destinations(response)?,
            resource::ENDPOINT_SLICE => self.apply_slices(response)?,
            resource::HOST_ADDRESSES => self.apply_addresses(response)?,
            _ => self.apply_workloads(response)?,
        }
        let versions = self.versions.entry(type_url).or_default();
        for resource in &response.resources {
            versions.insert(resource.name.clone(), resource.version.clone());
        }
        versions.retain(|name, _| !response.removed_resources.contains(name));
        Ok(())
    }

    fn apply_destinations(&self, response: &DeltaDiscoveryResponse) -> Result<(), String> {
        let changes = read_changes(response, Definition::read)?;
        self.discovery.with_state(|state| {
            for (name, definition) in changes {
                // A name that is none was not asked for.
                if let Ok(name) = name.parse::<DestinationName>() {
                    state.apply_destination(&name, definition.unwrap_or(Definition::Unknown));
                }
            }
        });
        Ok(())
    }

    fn apply_slices(&self, response: &DeltaDiscoveryResponse) -> Result<(), String> {
        let changes = read_changes(response, Slice::read)?;
        self.discovery
            .with_state(|state| state.apply_slices(changes));
        Ok(())
    }

    fn apply_workloads(&self, response: &DeltaDiscoveryResponse) -> Result<(), String> {
        let changes = read_changes(response, Workload::read)?;
        self.discovery.with_state(|state| {
            for (name, workload) in changes {
                // As above.
                if let Ok(address) = name.parse::<IpAddr>() {
                    state.workloads.apply(&address, workload);
                }
            }
        });
        Ok(())
    }

    fn apply_addresses(&self, response: &DeltaDiscoveryResponse) -> Result<(), String> {
        let changes = read_changes(response, |message| host_addresses(&message))?;
        self.discovery.with_state(|state| {
            for (host, addresses) in changes {
                state.addresses.apply(&host.to_owned(), addresses);
            }
        });
        Ok(())
    }

    fn apply_own(&mut self, resources: &[Resource]) -> Result<(), String> {
        let version = self.own_versions + 1;
        let read = read_all(resources, |message| Own::read(message, version))?;
        if let Some((_, own)) = read.into_iter().next() {
            self.own_versions = version;
            self.trust_domains
                .store(Arc::new(own.mesh.trust_domains.clone()));
            self.discovery.set_own(own);
            self.readiness.resolve(Reason::Discovery);
        }
        Ok(())
    }

    fn node(&self) -> Node {
        let (id, name, namespace) = self.control.node();
        let text = |value: String| prost_types::Value {
            kind: Some(prost_types::value::Kind::StringValue(value)),
        };
        let fields = [
            ("NAME".to_owned(), text(name)),
            ("NAMESPACE".to_owned(), text(namespace)),
        ];
        Node {
            id,
            metadata: Some(prost_types::Struct {
                fields: fields.into(),
            }),
            user_agent_name: "lateen".to_owned(),
            user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Node::default()
        }
    }

    fn counters(&self) -> &Counters {
        self.control.counters()
    }
}

/// What a response says of each name: a resource that is checked, or None where there is none any more.
fn read_changes<M: Message + Default, T, E: Display>(
    response: &DeltaDiscoveryResponse,
    read: impl Fn(M) -> Result<T, E>,
) -> Result<impl Iterator<Item = (&str, Option<T>)>, String> {
    let read = read_all(&response.resources, read)?.into_iter();
    let gone = response.removed_resources.iter();
    Ok(read
        .map(|(name, resource)| (name, Some(resource)))
        .chain(gone.map(|name| (name.as_str(), None))))
}

/// Decodes and checks every resource, or says what is wrong with the first that is.
fn read_all<M: Message + Default, T, E: Display>(
    resources: &[Resource],
    read: impl Fn(M) -> Result<T, E>,
) -> Result<Vec<(&str, T)>, String> {
    let read_one = |resource: &Resource| {
        let any = resource.resource.as_ref().ok_or("it is empty")?;
        let message = M::decode(any.value.as_slice()).map_err(|error| error.to_string())?;
        read(message).map_err(|error| error.to_string())
    };
    resources
        .iter()
        .map(|resource| match read_one(resource) {
            Ok(value) => Ok((resource.name.as_str(), value)),
            Err(reason) => Err(format!("resource '{}': {reason}", resource.name)),
        })
        .collect()
}
