//! What is followed, and what is known about it. Pure: the cache holds it under a lock, the stream
//! sends the [`Changes`] it leaves behind.
//!
//! A destination that is a service points to it by host and port, so that the names of one service
//! share its endpoints, their request counts and their connections. A service is published once
//! all its slices are there, and from then on changes with each of them; while none of those that
//! it has now is there, the endpoints it had before serve on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use lateen_wire::resource::DestinationName;

use super::cache::Entry;
use super::endpoints::{replace_endpoints, workload_answer};
use super::model::{Answer, Definition, Service, ServiceDefinition, Slice, Workload};
use super::table::Table;

/// A name in use longer ago than this may leave when the limit is reached, in seconds.
pub(super) const RECENT: u32 = 60;

/// Everything that is followed.
#[derive(Default)]
pub(super) struct State {
    destinations: AHashMap<DestinationName, Destination>,
    services: AHashMap<ServiceKey, ServiceState>,
    slices: AHashMap<String, SliceState>,
    /// By address.
    pub(super) workloads: Table<IpAddr, Workload>,
    /// By host.
    pub(super) addresses: Table<String, Vec<IpAddr>>,
    destination_changes: NameChanges,
    slice_changes: NameChanges,
}

/// Names to begin and to stop following, by type, since the last time they were taken.
pub(super) struct Changes {
    pub(super) destinations: NameChanges,
    pub(super) slices: NameChanges,
    pub(super) workloads: NameChanges,
    pub(super) addresses: NameChanges,
}

/// Names of one type.
#[derive(Default)]
pub(super) struct NameChanges {
    pub(super) subscribe: BTreeSet<String>,
    pub(super) unsubscribe: BTreeSet<String>,
}

/// Every name that is followed, by type, and whether what control said of it is still there.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) destinations: BTreeMap<String, bool>,
    pub(super) slices: BTreeMap<String, bool>,
    pub(super) workloads: BTreeMap<String, bool>,
    pub(super) addresses: BTreeMap<String, bool>,
}

type ServiceKey = (String, u16);

struct Destination {
    entry: Arc<Entry<Answer>>,
    service: Option<ServiceKey>,
}

struct ServiceState {
    service: Arc<Service>,
    destinations: Vec<DestinationName>,
    published: bool,
}

#[derive(Default)]
struct SliceState {
    content: Option<Slice>,
    services: Vec<ServiceKey>,
}

impl State {
    /// The entry of a destination that is followed already.
    pub(super) fn destination(&self, name: &DestinationName) -> Option<Arc<Entry<Answer>>> {
        self.destinations
            .get(name)
            .map(|destination| Arc::clone(&destination.entry))
    }

    /// Follows a destination.
    pub(super) fn follow_destination(&mut self, name: DestinationName) -> Arc<Entry<Answer>> {
        let entry = Arc::new(Entry::default());
        self.destination_changes.add(name.to_string());
        self.destinations.insert(
            name,
            Destination {
                entry: Arc::clone(&entry),
                service: None,
            },
        );
        entry
    }

    /// Number of destinations.
    pub(super) fn destination_count(&self) -> usize {
        self.destinations.len()
    }

    /// Whether nothing needs to be sent.
    pub(super) fn has_changes(&self) -> bool {
        [
            &self.destination_changes,
            &self.slice_changes,
            &self.workloads.changes,
            &self.addresses.changes,
        ]
        .iter()
        .any(|changes| !changes.is_empty())
    }

    /// What to send.
    pub(super) fn take_changes(&mut self) -> Changes {
        Changes {
            destinations: std::mem::take(&mut self.destination_changes),
            slices: std::mem::take(&mut self.slice_changes),
            workloads: std::mem::take(&mut self.workloads.changes),
            addresses: std::mem::take(&mut self.addresses.changes),
        }
    }

    /// Every name that is followed, for a new stream; supersedes pending changes.
    pub(super) fn follow_anew(&mut self) -> Followed {
        self.take_changes();
        let destinations = self.destinations.iter().map(|(name, destination)| {
            let answered = destination.service.is_some() || destination.entry.answer().is_some();
            (name.to_string(), answered)
        });
        let slices = self.slices.iter();
        Followed {
            destinations: destinations.collect(),
            slices: slices
                .map(|(name, slice)| (name.clone(), slice.content.is_some()))
                .collect(),
            workloads: self.workloads.followed(),
            addresses: self.addresses.followed(),
        }
    }

    /// Every destination with its entry.
    pub(super) fn destinations(&self) -> impl Iterator<Item = (&DestinationName, &Entry<Answer>)> {
        self.destinations
            .iter()
            .map(|(name, destination)| (name, &*destination.entry))
    }

    /// Takes in an answer. Answers to names that are not followed any more are ignored.
    pub(super) fn apply_destination(&mut self, name: &DestinationName, definition: Definition) {
        let Some(destination) = self.destinations.get(name) else {
            return;
        };
        let entry = Arc::clone(&destination.entry);
        let before = destination.service.clone();
        let after = match definition {
            Definition::Service(definition) => Some(self.join_service(name, definition)),
            Definition::Workload(workload) => {
                entry.publish(workload_answer(name, workload, &entry));
                None
            }
            Definition::Unknown => {
                entry.publish(Answer::Unknown);
                None
            }
        };
        if before != after
            && let Some(key) = before
        {
            self.leave_service(name, &key);
        }
        if let Some(destination) = self.destinations.get_mut(name) {
            destination.service = after;
        }
    }

    /// Takes in slices that come together, so that endpoints which move between them stay; a
    /// removed slice is empty.
    pub(super) fn apply_slices<'a>(
        &mut self,
        slices: impl IntoIterator<Item = (&'a str, Option<Slice>)>,
    ) {
        let mut changed = BTreeSet::new();
        for (name, slice) in slices {
            if let Some(state) = self.slices.get_mut(name) {
                state.content = Some(slice.unwrap_or_default());
                changed.extend(state.services.iter().cloned());
            }
        }
        for key in changed {
            self.refresh_service(&key);
        }
    }

    /// Stops following everything that nobody holds and nobody used since `oldest`.
    pub(super) fn evict_idle(&mut self, oldest: u32) {
        let idle: Vec<_> = self
            .destinations
            .iter()
            .filter(|(_, destination)| is_idle(&destination.entry, oldest))
            .map(|(name, _)| name.clone())
            .collect();
        for name in idle {
            self.forget_destination(&name);
        }
        self.workloads.evict_idle(oldest);
        self.addresses.evict_idle(oldest);
    }

    /// Makes room for one destination: names that lead nowhere, or are not answered and not waited
    /// for any more, go first, then the one unused for longest. False when all were used a moment
    /// ago.
    pub(super) fn evict_destination(&mut self, now: u32) -> bool {
        let victim = self
            .destinations
            .iter()
            .filter(|(_, destination)| Arc::strong_count(&destination.entry) == 1)
            .map(|(name, destination)| {
                let entry = &destination.entry;
                let leads_nowhere = entry
                    .answer()
                    .is_none_or(|answer| matches!(*answer, Answer::Unknown));
                (!leads_nowhere, entry.last_used(), name)
            })
            .min();
        match victim {
            Some((in_mesh, used, name)) if !in_mesh || now.saturating_sub(used) > RECENT => {
                let name = name.clone();
                self.forget_destination(&name);
                true
            }
            _ => false,
        }
    }

    fn forget_destination(&mut self, name: &DestinationName) {
        let Some(destination) = self.destinations.remove(name) else {
            return;
        };
        self.destination_changes.remove(name.to_string());
        if let Some(key) = destination.service {
            self.leave_service(name, &key);
        } else if let Some(Answer::Workload(endpoint)) = destination.entry.answer().as_deref() {
            endpoint.set_retired(true);
        }
    }

    /// Makes the destination one of the service's names; the newest definition counts.
    fn join_service(
        &mut self,
        name: &DestinationName,
        definition: ServiceDefinition,
    ) -> ServiceKey {
        let key = (definition.host.clone(), definition.port);
        let slices = definition.slices.clone();
        let before = self
            .services
            .get(&key)
            .map(|state| state.service.definition.slices.clone());
        match self.services.get_mut(&key) {
            None => {
                let service = Service {
                    definition,
                    endpoints: ArcSwap::default(),
                };
                let state = ServiceState {
                    service: Arc::new(service),
                    destinations: Vec::new(),
                    published: false,
                };
                self.services.insert(key.clone(), state);
            }
            Some(state) if state.service.definition != definition => {
                let endpoints = ArcSwap::new(state.service.endpoints.load_full());
                state.service = Arc::new(Service {
                    definition,
                    endpoints,
                });
            }
            Some(_) => {}
        }
        if let Some(state) = self.services.get_mut(&key)
            && !state.destinations.contains(name)
        {
            state.destinations.push(name.clone());
        }
        self.follow_slices(&key, &slices, before.as_deref().unwrap_or_default());
        self.refresh_service(&key);
        key
    }

    fn follow_slices(&mut self, key: &ServiceKey, now: &[String], before: &[String]) {
        for slice in now {
            let state = self.slices.entry(slice.clone()).or_insert_with(|| {
                self.slice_changes.add(slice.clone());
                SliceState::default()
            });
            if !state.services.contains(key) {
                state.services.push(key.clone());
            }
        }
        for slice in before.iter().filter(|slice| !now.contains(slice)) {
            let Some(state) = self.slices.get_mut(slice) else {
                continue;
            };
            state.services.retain(|other| other != key);
            if state.services.is_empty() {
                self.slices.remove(slice);
                self.slice_changes.remove(slice.clone());
            }
        }
    }

    fn leave_service(&mut self, name: &DestinationName, key: &ServiceKey) {
        let Some(state) = self.services.get_mut(key) else {
            return;
        };
        state.destinations.retain(|other| other != name);
        if !state.destinations.is_empty() {
            return;
        }
        let service = Arc::clone(&state.service);
        self.services.remove(key);
        self.follow_slices(key, &[], &service.definition.slices);
        for endpoint in service.endpoints.load().iter() {
            endpoint.set_retired(true);
        }
    }

    /// Recomputes the endpoints, as far as their slices are there, and tells every name of the
    /// service.
    fn refresh_service(&mut self, key: &ServiceKey) {
        let Some(state) = self.services.get_mut(key) else {
            return;
        };
        let names = &state.service.definition.slices;
        let slices: Vec<&Slice> = names
            .iter()
            .filter_map(|name| {
                self.slices
                    .get(name)
                    .and_then(|slice| slice.content.as_ref())
            })
            .collect();
        let is_whole = slices.len() == names.len();
        if !state.published && !is_whole {
            return;
        }
        state.published = true;
        if is_whole || !slices.is_empty() {
            replace_endpoints(&state.service, &slices);
        }
        for name in &state.destinations {
            if let Some(destination) = self.destinations.get(name) {
                destination.entry.publish_service(&state.service);
            }
        }
    }
}

pub(super) fn is_idle<A>(entry: &Arc<Entry<A>>, oldest: u32) -> bool {
    Arc::strong_count(entry) == 1 && entry.last_used() < oldest
}

impl NameChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.subscribe.is_empty() && self.unsubscribe.is_empty()
    }

    /// Also for a name that control may still think of as followed: subscribing again makes it
    /// send what the new entry needs.
    pub(super) fn add(&mut self, name: String) {
        self.unsubscribe.remove(&name);
        self.subscribe.insert(name);
    }

    pub(super) fn remove(&mut self, name: String) {
        self.subscribe.remove(&name);
        self.unsubscribe.insert(name);
    }
}
