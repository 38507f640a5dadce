//! What connections ask: entries that are filled by the stream and waited for by whoever came
//! first.

use std::fmt::Display;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use lateen_wire::resource::{DestinationName, MAX_NAMES};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::model::{Answer, Own, Service, Workload};
use super::state::State;
use super::table::{OptionalEntry, Table};
use crate::metrics::Registry;

/// How long a first request waits for control's answer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// How long a name is followed after its last use.
const IDLE: Duration = Duration::from_secs(600);

/// The proxy's view of the mesh. Clones share it.
#[derive(Clone)]
pub struct Discovery {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changed: Notify,
    link: watch::Sender<Link>,
    own: ArcSwap<Own>,
    metrics: Registry,
    started: Instant,
}

/// The state of the connection to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// No attempt has failed yet: an answer may still come in time.
    Connecting,
    /// Answers come.
    Up,
    /// Control cannot be reached: what is known stays in force, the rest is not worth waiting for.
    Down,
}

/// Something that is followed: empty until control has answered, current from then on.
#[derive(Debug)]
pub struct Entry<A> {
    answer: ArcSwapOption<A>,
    answered: Notify,
    last_used: AtomicU32,
}

/// What is followed, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Whether control is connected.
    pub connected: bool,
    /// Every name with what it leads to.
    pub destinations: Vec<DestinationSnapshot>,
}

/// One followed name.
#[derive(Clone, Debug, Serialize)]
pub struct DestinationSnapshot {
    /// The name asked for.
    pub name: String,
    /// The service's host, the workload's name, or nothing.
    pub answer: Option<String>,
    /// What it can be sent to.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointSnapshot {
    /// Where it listens.
    pub address: SocketAddr,
    /// The workload there.
    pub workload: Option<String>,
    /// Whether it is called over mesh mTLS.
    pub mutual_tls: bool,
    /// Whether it takes new requests.
    pub ready: bool,
    /// Requests under way.
    pub active: usize,
}

impl Discovery {
    /// Knows nothing but what the configuration says about the own workload.
    #[must_use]
    pub fn new(own: Own, metrics: Registry) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changed: Notify::new(),
                link: watch::Sender::new(Link::Connecting),
                own: ArcSwap::from_pointee(own),
                metrics,
                started: Instant::now(),
            }),
        }
    }

    /// The own workload and the mesh.
    #[must_use]
    pub fn own(&self) -> arc_swap::Guard<Arc<Own>> {
        self.inner.own.load()
    }

    /// The state of the connection to control.
    #[must_use]
    pub fn link(&self) -> Link {
        *self.inner.link.borrow()
    }

    /// The entry of a destination, which is followed from now on. None when too many names are in
    /// use, or control is away and there is no room.
    #[must_use]
    pub fn destination(&self, name: &DestinationName) -> Option<Arc<Entry<Answer>>> {
        let now = self.seconds();
        let mut state = self.inner.state.lock();
        if let Some(entry) = state.destination(name) {
            entry.touch(now);
            return Some(entry);
        }
        if state.destination_count() >= MAX_NAMES {
            self.inner.metrics.counters().names_over_limit.increment();
            // While control is away nothing that was known is given up.
            if self.link() != Link::Up || !state.evict_destination(now) {
                return None;
            }
        }
        let entry = state.follow_destination(name.clone());
        self.inner
            .metrics
            .counters()
            .names
            .set(state.destination_count() as i64);
        drop(state);
        entry.touch(now);
        self.inner.changed.notify_one();
        Some(entry)
    }

    /// The entry of the workload at an address, which is followed from now on.
    #[must_use]
    pub fn workload(&self, address: IpAddr) -> Option<Arc<OptionalEntry<Workload>>> {
        self.follow(|state| &mut state.workloads, address)
    }

    /// The entry of what DNS says of a host, which is followed from now on. The host is in lower
    /// case, without a trailing dot.
    #[must_use]
    pub fn addresses(&self, host: &str) -> Option<Arc<OptionalEntry<Vec<IpAddr>>>> {
        self.follow(|state| &mut state.addresses, host.to_owned())
    }

    fn follow<K: Clone + Display + Eq + Hash, V>(
        &self,
        table: impl Fn(&mut State) -> &mut Table<K, V>,
        name: K,
    ) -> Option<Arc<OptionalEntry<V>>> {
        let now = self.seconds();
        let mut state = self.inner.state.lock();
        let table = table(&mut state);
        if let Some(entry) = table.get(&name) {
            entry.touch(now);
            return Some(entry);
        }
        if table.len() >= MAX_NAMES {
            self.inner.metrics.counters().names_over_limit.increment();
            if self.link() != Link::Up || !table.evict_one(now) {
                return None;
            }
        }
        let entry = table.follow(name);
        drop(state);
        entry.touch(now);
        self.inner.changed.notify_one();
        Some(entry)
    }

    /// The answer of an entry, waited for if it is the first use and control may still answer.
    pub async fn answer<A>(&self, entry: &Entry<A>) -> Option<Arc<A>> {
        match entry.answer() {
            Some(answer) => {
                entry.touch(self.seconds());
                Some(answer)
            }
            None => Box::pin(self.first_answer(entry)).await,
        }
    }

    async fn first_answer<A>(&self, entry: &Entry<A>) -> Option<Arc<A>> {
        let mut link = self.inner.link.subscribe();
        let mut deadline = pin!(tokio::time::sleep(FIRST_ANSWER));
        loop {
            let mut answered = pin!(entry.answered.notified());
            answered.as_mut().enable();
            if let Some(answer) = entry.answer() {
                return Some(answer);
            }
            tokio::select! {
                () = answered => {}
                _ = link.wait_for(|link| *link == Link::Down) => return entry.answer(),
                () = &mut deadline => return None,
            }
        }
    }

    /// What is followed now, for people.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.inner.state.lock();
        let mut destinations: Vec<_> = state
            .destinations()
            .map(|(name, entry)| DestinationSnapshot::of(name, entry.answer().as_deref()))
            .collect();
        destinations.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Snapshot {
            connected: self.link() == Link::Up,
            destinations,
        }
    }

    /// Stops following what has been idle; never while control is away.
    pub(super) fn evict_idle(&self) {
        let oldest = self.seconds().saturating_sub(IDLE.as_secs() as u32);
        if self.link() == Link::Up {
            let mut state = self.inner.state.lock();
            state.evict_idle(oldest);
            self.inner
                .metrics
                .counters()
                .names
                .set(state.destination_count() as i64);
        }
    }

    pub(super) fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.inner.state.lock())
    }

    pub(super) fn set_link(&self, link: Link) {
        self.inner.link.send_replace(link);
        let connected = i64::from(link == Link::Up);
        self.inner
            .metrics
            .counters()
            .discovery_connected
            .set(connected);
    }

    pub(super) fn set_own(&self, own: Own) {
        self.inner.own.store(Arc::new(own));
    }

    /// Waits until there are names to begin or to stop following.
    pub(super) async fn has_changes(&self) {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            if self.inner.state.lock().has_changes() {
                return;
            }
            changed.await;
        }
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.inner.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

impl<A> Default for Entry<A> {
    fn default() -> Self {
        Self {
            answer: ArcSwapOption::empty(),
            answered: Notify::new(),
            last_used: AtomicU32::new(0),
        }
    }
}

impl<A> Entry<A> {
    /// The present answer, if control has given any.
    #[must_use]
    pub fn answer(&self) -> Option<Arc<A>> {
        self.answer.load_full()
    }

    pub(super) fn publish(&self, answer: A) {
        self.answer.store(Some(Arc::new(answer)));
        self.answered.notify_waiters();
    }

    pub(super) fn last_used(&self) -> u32 {
        self.last_used.load(Ordering::Relaxed)
    }

    fn touch(&self, now: u32) {
        self.last_used.store(now, Ordering::Relaxed);
    }
}

impl Entry<Answer> {
    /// Publishes a service unless it is there already: its endpoints change in place.
    pub(super) fn publish_service(&self, service: &Arc<Service>) {
        match self.answer.load().as_deref() {
            Some(Answer::Service(known)) if Arc::ptr_eq(known, service) => {}
            _ => self.publish(Answer::Service(Arc::clone(service))),
        }
    }
}

impl DestinationSnapshot {
    fn of(name: &DestinationName, answer: Option<&Answer>) -> Self {
        let (text, endpoints) = match answer {
            None => (None, Vec::new()),
            Some(Answer::Unknown) => (Some("unknown".to_owned()), Vec::new()),
            Some(Answer::Workload(endpoint)) => {
                let workload = endpoint
                    .workload
                    .as_ref()
                    .map(|workload| workload.name.clone());
                (workload, vec![EndpointSnapshot::of(endpoint)])
            }
            Some(Answer::Service(service)) => {
                let endpoints = service.endpoints.load();
                let all = endpoints
                    .iter()
                    .map(|endpoint| EndpointSnapshot::of(endpoint))
                    .collect();
                (Some(service.definition.host.clone()), all)
            }
        };
        Self {
            name: name.to_string(),
            answer: text,
            endpoints,
        }
    }
}

impl EndpointSnapshot {
    fn of(endpoint: &crate::upstream::Endpoint) -> Self {
        Self {
            address: endpoint.address,
            workload: endpoint
                .workload
                .as_ref()
                .map(|workload| workload.name.clone()),
            mutual_tls: endpoint.is_mesh(),
            ready: !endpoint.is_retired(),
            active: endpoint.active(),
        }
    }
}
