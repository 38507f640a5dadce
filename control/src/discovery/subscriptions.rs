//! What one stream follows and what its proxy has of it: the protocol's state, without I/O.

use std::collections::HashMap;
use std::sync::Arc;

use lateen_wire::xds;
use prost_types::Any;

use super::answers::Answer;
use super::key::{Key, Kind};

/// The state of one stream.
#[derive(Default)]
pub(super) struct Subscriptions {
    followed: HashMap<Kind, HashMap<Arc<Key>, Held>>,
    /// Names that are not followed, to be answered as absent once.
    refused: Vec<(Kind, String)>,
    nonces: u64,
    latest: HashMap<Kind, u64>,
}

/// What the proxy has under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing we know of.
    Nothing,
    /// This version of the resource.
    Version(String),
    /// Word that there is no such resource.
    Absence,
}

impl Subscriptions {
    /// How many keys are followed.
    pub(super) fn len(&self) -> usize {
        self.followed.values().map(HashMap::len).sum()
    }

    /// How many names have been refused and wait for that answer.
    pub(super) fn refused_len(&self) -> usize {
        self.refused.len()
    }

    /// Whether a key is followed, or can be with at most `limit` of its type.
    pub(super) fn has_room(&self, key: &Key, limit: usize) -> bool {
        let followed = self.followed.get(&key.kind());
        followed.is_none_or(|followed| followed.len() < limit || followed.contains_key(key))
    }

    /// The keys that are followed.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.followed.values().flat_map(HashMap::keys)
    }

    /// Follows a key. A proxy that subscribes again to what it follows gets it again.
    pub(super) fn add(&mut self, key: Arc<Key>) {
        self.hold(key, Held::Nothing);
    }

    /// Follows a key of which the proxy has a version from an earlier stream.
    pub(super) fn resume(&mut self, key: Arc<Key>, version: String) {
        let held = if version.is_empty() {
            Held::Nothing
        } else {
            Held::Version(version)
        };
        self.hold(key, held);
    }

    fn hold(&mut self, key: Arc<Key>, held: Held) {
        let followed = self.followed.entry(key.kind()).or_default();
        followed.insert(key, held);
    }

    /// Notes that a proxy asked for a name that cannot be, or for one too many.
    pub(super) fn refuse(&mut self, kind: Kind, name: String) {
        self.refused.push((kind, name));
    }

    /// Follows a key no longer.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let followed = self.followed.get_mut(&key.kind());
        followed.is_some_and(|followed| followed.remove(key).is_some())
    }

    /// Whether there is an answer to give that stands in no inbox.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Whether a nonce is of the latest response of its type.
    pub(super) fn is_latest(&self, kind: Kind, nonce: &str) -> bool {
        self.latest
            .get(&kind)
            .is_some_and(|latest| latest.to_string() == nonce)
    }

    /// A response with the answers that the proxy does not have. None when it has them all.
    pub(super) fn response(
        &mut self,
        kind: Kind,
        answers: impl IntoIterator<Item = (Arc<Key>, Answer)>,
    ) -> Option<xds::DeltaDiscoveryResponse> {
        let mut resources = Vec::new();
        let mut removed = self.take_refused(kind);
        for (key, answer) in answers {
            let followed = self.followed.get_mut(&kind);
            let Some(held) = followed.and_then(|followed| followed.get_mut(&key)) else {
                continue;
            };
            match answer {
                Answer::Absent if *held == Held::Absence => {}
                Answer::Absent => {
                    *held = Held::Absence;
                    removed.push(key.name());
                }
                Answer::Resource(resource) => {
                    let version = Held::Version(resource.version.clone());
                    if *held != version {
                        *held = version;
                        resources.push(xds::Resource {
                            version: resource.version.clone(),
                            resource: Some(Any {
                                type_url: kind.type_url().to_owned(),
                                value: resource.content.clone(),
                            }),
                            name: key.name(),
                        });
                    }
                }
            }
        }
        if resources.is_empty() && removed.is_empty() {
            return None;
        }
        self.nonces += 1;
        self.latest.insert(kind, self.nonces);
        Some(xds::DeltaDiscoveryResponse {
            resources,
            type_url: kind.type_url().to_owned(),
            nonce: self.nonces.to_string(),
            removed_resources: removed,
            ..xds::DeltaDiscoveryResponse::default()
        })
    }

    /// The type of the names refused first, if any.
    pub(super) fn refused_kind(&self) -> Option<Kind> {
        self.refused.first().map(|(kind, _)| *kind)
    }

    fn take_refused(&mut self, kind: Kind) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.refused)
            .into_iter()
            .partition(|(refused, _)| *refused == kind);
        self.refused = left;
        taken
            .into_iter()
            .map(|(_, name): (Kind, String)| name)
            .collect()
    }
}
