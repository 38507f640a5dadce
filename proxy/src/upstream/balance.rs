//! The choice between the endpoints of a service: Istio's default `LEAST_REQUEST`, which is the
//! less busy of two random ones; `sessionAffinity: ClientIP` by rendezvous hashing.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Endpoint;

/// The endpoints of one port of a service, by family and by fitness.
#[derive(Debug, Default)]
pub struct EndpointSet {
    v4: Family,
    v6: Family,
}

/// An endpoint with its state at the moment.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Takes new requests; otherwise it is used only when nothing else is left.
    pub ready: bool,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Addresses that were tried for the same request: others go first.
    pub tried: &'a [SocketAddr],
    /// Prefer the family of this address.
    pub like: Option<IpAddr>,
    /// Connections of this client address stay together.
    pub client: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Family {
    ready: Vec<Arc<Endpoint>>,
    /// Terminating, but still serving.
    leaving: Vec<Arc<Endpoint>>,
}

impl EndpointSet {
    /// Sorts members by family and fitness.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut set = Self::default();
        for Member { endpoint, ready } in members {
            let family = if endpoint.address.is_ipv4() {
                &mut set.v4
            } else {
                &mut set.v6
            };
            if ready {
                family.ready.push(endpoint);
            } else {
                family.leaving.push(endpoint);
            }
        }
        set
    }

    /// Chooses an endpoint; none only when there is none at all.
    #[must_use]
    pub fn choose(&self, choice: Choice<'_>) -> Option<Arc<Endpoint>> {
        let candidates = self.candidates(choice.like);
        if let Some(client) = choice.client {
            return rendezvous(candidates, client, choice.tried);
        }
        if choice.tried.is_empty() {
            return least_request(candidates);
        }
        let untried: Vec<_> = candidates
            .iter()
            .filter(|endpoint| !choice.tried.contains(&endpoint.address))
            .cloned()
            .collect();
        least_request(if untried.is_empty() {
            candidates
        } else {
            &untried
        })
    }

    /// The endpoint at an address, whatever its state.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Option<Arc<Endpoint>> {
        self.iter()
            .find(|endpoint| endpoint.address == address)
            .cloned()
    }

    /// Every endpoint.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let all = [
            &self.v4.ready,
            &self.v6.ready,
            &self.v4.leaving,
            &self.v6.leaving,
        ];
        all.into_iter().flatten()
    }

    /// The best group that is not empty: ready before leaving, the wanted family before the other.
    fn candidates(&self, like: Option<IpAddr>) -> &[Arc<Endpoint>] {
        let (first, second) = match like {
            Some(IpAddr::V6(_)) => (&self.v6, &self.v4),
            _ => (&self.v4, &self.v6),
        };
        [&first.ready, &second.ready, &first.leaving, &second.leaving]
            .into_iter()
            .find(|group| !group.is_empty())
            .map_or(&[], Vec::as_slice)
    }
}

fn least_request(candidates: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
    let count = candidates.len();
    if count <= 1 {
        return candidates.first().cloned();
    }
    let first = fastrand::usize(..count);
    // Any other index, evenly.
    let second = (first + 1 + fastrand::usize(..count - 1)) % count;
    let (one, other) = (candidates.get(first)?, candidates.get(second)?);
    Some(Arc::clone(if other.active() < one.active() {
        other
    } else {
        one
    }))
}

fn rendezvous(
    candidates: &[Arc<Endpoint>],
    client: IpAddr,
    tried: &[SocketAddr],
) -> Option<Arc<Endpoint>> {
    // Fixed keys: workers and restarts must agree.
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let weight = |endpoint: &&Arc<Endpoint>| {
        let mut hasher = state.build_hasher();
        client.hash(&mut hasher);
        endpoint.address.hash(&mut hasher);
        (!tried.contains(&endpoint.address), hasher.finish())
    };
    candidates.iter().max_by_key(weight).cloned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn member(address: &str, ready: bool) -> Member {
        Member {
            endpoint: Arc::new(Endpoint::plain(address.parse().unwrap())),
            ready,
        }
    }

    fn addresses(set: &EndpointSet, choice: Choice<'_>) -> HashSet<String> {
        (0..200)
            .filter_map(|_| set.choose(choice))
            .map(|e| e.address.to_string())
            .collect()
    }

    #[test]
    fn prefers_the_less_busy() {
        let (one, other) = (member("10.0.0.1:80", true), member("10.0.0.2:80", true));
        let _busy = one.endpoint.enter();
        let set = EndpointSet::new([one, other]);
        assert_eq!(
            addresses(&set, Choice::default()),
            HashSet::from(["10.0.0.2:80".to_owned()])
        );
    }

    #[test]
    fn uses_leaving_endpoints_only_when_nothing_else_is_left() {
        let set = EndpointSet::new([member("10.0.0.1:80", true), member("10.0.0.2:80", false)]);
        assert_eq!(
            addresses(&set, Choice::default()),
            HashSet::from(["10.0.0.1:80".to_owned()])
        );
        let set = EndpointSet::new([member("10.0.0.2:80", false)]);
        assert_eq!(
            addresses(&set, Choice::default()),
            HashSet::from(["10.0.0.2:80".to_owned()])
        );
        assert!(EndpointSet::default().choose(Choice::default()).is_none());
    }

    #[test]
    fn keeps_to_the_family_asked_for_while_it_serves() {
        let set = EndpointSet::new([member("10.0.0.1:80", true), member("[fd00::1]:80", true)]);
        let like = Choice {
            like: Some("fd00::9".parse().unwrap()),
            ..Choice::default()
        };
        assert_eq!(
            addresses(&set, like),
            HashSet::from(["[fd00::1]:80".to_owned()])
        );
        let set = EndpointSet::new([member("10.0.0.1:80", true), member("[fd00::1]:80", false)]);
        assert_eq!(
            addresses(&set, like),
            HashSet::from(["10.0.0.1:80".to_owned()])
        );
    }

    #[test]
    fn tries_what_was_not_tried() {
        let set = EndpointSet::new(
            ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|a| member(a, true)),
        );
        let tried = [
            "10.0.0.1:80".parse().unwrap(),
            "10.0.0.3:80".parse().unwrap(),
        ];
        let choice = Choice {
            tried: &tried,
            ..Choice::default()
        };
        assert_eq!(
            addresses(&set, choice),
            HashSet::from(["10.0.0.2:80".to_owned()])
        );
    }

    #[test]
    fn a_client_with_affinity_stays_and_moves_only_when_its_endpoint_leaves() {
        let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let choice = Choice {
            client: Some("10.1.0.9".parse().unwrap()),
            ..Choice::default()
        };
        let chosen = addresses(&EndpointSet::new(all.map(|a| member(a, true))), choice);
        assert_eq!(chosen.len(), 1);
        let others = all.into_iter().filter(|a| !chosen.contains(*a));
        let moved = addresses(&EndpointSet::new(others.map(|a| member(a, true))), choice);
        assert!(moved.is_disjoint(&chosen) && moved.len() == 1);
    }
}
