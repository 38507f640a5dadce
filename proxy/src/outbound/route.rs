//! Who a request or a connection is for: the name the application used, or the address it
//! connected to. Between the service found here and its endpoints is the place of routing rules.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lateen_wire::resource::{DestinationName, Host};
use parking_lot::Mutex;

use crate::discover::{Answer, Application, Entry, Service};
use crate::shared::Worker;
use crate::upstream::{Choice, Endpoint};

/// Who it is for.
#[derive(Clone, Debug)]
pub(super) enum Route {
    /// A service of the mesh.
    Service(Arc<Service>),
    /// A workload of the mesh, by its own address.
    Workload(Arc<Endpoint>),
    /// Somebody outside the mesh, at the address the application connected to.
    Outside(Arc<Endpoint>),
    /// Somebody outside the mesh, whom the mesh does not allow to call (`REGISTRY_ONLY`).
    Blocked,
    /// A service, by its address, of which nothing more is known while control is away.
    Refused,
}

/// Finds routes for one connection, and remembers the last.
pub(super) struct Routes {
    worker: Arc<Worker>,
    target: SocketAddr,
    client: IpAddr,
    by_address: Option<Arc<Entry<Answer>>>,
    last: Mutex<Option<LastHost>>,
}

/// The host of the last request; clients of one connection seldom change it.
struct LastHost {
    authority: Box<str>,
    entry: Option<Arc<Entry<Answer>>>,
}

impl Route {
    /// What is declared to be spoken there.
    pub(super) fn application(&self) -> Application {
        match self {
            Self::Service(service) => service.definition.application,
            _ => Application::Undeclared,
        }
    }

    /// Envoy's name for it, which people know from access logs.
    pub(super) fn cluster(&self) -> String {
        match self {
            Self::Service(service) => {
                let definition = &service.definition;
                format!("outbound|{}||{}", definition.port, definition.host)
            }
            Self::Workload(_) | Self::Outside(_) => "PassthroughCluster".to_owned(),
            Self::Blocked | Self::Refused => "BlackHoleCluster".to_owned(),
        }
    }

    /// How often a request may be tried: only a service has more than one endpoint.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Self::Service(_) => 3,
            _ => 1,
        }
    }
}

impl Routes {
    pub(super) fn new(worker: Arc<Worker>, target: SocketAddr, client: IpAddr) -> Self {
        let name = DestinationName::of_address(target.ip(), target.port());
        let by_address = worker.shared.discovery.destination(&name);
        Self {
            worker,
            target,
            client,
            by_address,
            last: Mutex::default(),
        }
    }

    /// Where the application connected to.
    pub(super) fn target(&self) -> SocketAddr {
        self.target
    }

    /// The route of the address the application connected to.
    pub(super) async fn by_address(&self) -> Route {
        let Some(entry) = &self.by_address else {
            return self.unanswered();
        };
        match self.worker.shared.discovery.answer(entry).await.as_deref() {
            Some(Answer::Service(service)) => Route::Service(Arc::clone(service)),
            Some(Answer::Workload(endpoint)) => Route::Workload(Arc::clone(endpoint)),
            Some(Answer::Unknown) => self.outside(),
            None => self.unanswered(),
        }
    }

    /// Nobody says what is at the address: what may be a service must not go out in plain text.
    fn unanswered(&self) -> Route {
        let shared = &self.worker.shared;
        if shared.discovery.own().is_service_address(self.target.ip()) {
            shared.metrics.counters().refused.increment();
            Route::Refused
        } else {
            self.outside()
        }
    }

    /// The route of a request for an authority; by address when the mesh does not know the name.
    pub(super) async fn by_authority(&self, authority: Option<&str>) -> Route {
        if let Some(entry) = authority.and_then(|authority| self.entry(authority)) {
            match self.worker.shared.discovery.answer(&entry).await.as_deref() {
                Some(Answer::Service(service)) if self.may_choose(service) => {
                    return Route::Service(Arc::clone(service));
                }
                Some(Answer::Workload(endpoint)) => return Route::Workload(Arc::clone(endpoint)),
                Some(Answer::Service(_) | Answer::Unknown) | None => {}
            }
        }
        self.by_address().await
    }

    /// Whether a service knows an endpoint for the connection. The application itself has chosen
    /// the endpoint of a headless one: if it is unknown there, its own address says more.
    fn may_choose(&self, service: &Service) -> bool {
        !service.definition.headless || service.endpoints.load().at(self.target).is_some()
    }

    /// An endpoint for the route, preferably one that was not tried.
    pub(super) fn choose(&self, route: &Route, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        match route {
            Route::Service(service) => self.choose_of_service(service, tried),
            Route::Workload(endpoint) | Route::Outside(endpoint) => Some(Arc::clone(endpoint)),
            Route::Blocked | Route::Refused => None,
        }
    }

    fn choose_of_service(&self, service: &Service, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        let endpoints = service.endpoints.load();
        if service.definition.headless {
            return endpoints.at(self.target);
        }
        endpoints.choose(Choice {
            tried,
            like: Some(self.target.ip()),
            client: service.definition.client_affinity.then_some(self.client),
        })
    }

    fn outside(&self) -> Route {
        if self.worker.shared.discovery.own().mesh.registry_only {
            Route::Blocked
        } else {
            Route::Outside(self.worker.address(self.target, None))
        }
    }

    fn entry(&self, authority: &str) -> Option<Arc<Entry<Answer>>> {
        let mut last = self.last.lock();
        if let Some(last) = last.as_ref().filter(|last| *last.authority == *authority) {
            return last.entry.clone();
        }
        let entry = self.follow(authority);
        *last = Some(LastHost {
            authority: authority.into(),
            entry: entry.clone(),
        });
        entry
    }

    fn follow(&self, authority: &str) -> Option<Arc<Entry<Answer>>> {
        let host = Host::parse(host_of(authority))?;
        let name = DestinationName {
            host,
            port: self.target.port(),
        };
        self.worker.shared.discovery.destination(&name)
    }
}

/// An authority without user information and port.
pub(super) fn host_of(authority: &str) -> &str {
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        // Colons inside brackets belong to an IPv6 address.
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_authorities() {
        for (authority, host) in [
            ("reviews", "reviews"),
            ("reviews:9080", "reviews"),
            ("[fd00::1]:80", "[fd00::1]"),
            ("[fd00::1]", "[fd00::1]"),
            ("user@host:1", "host"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }
}
