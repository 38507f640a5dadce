//! Which addresses a name of the mesh has. Control knows, and is asked for each name once; what it does
//! not know, or does not tell in time, the cluster's name server is asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::config::Pod;
use crate::discover::{Discovery, OptionalEntry};

/// How long a question waits for control.
const PATIENCE: Duration = Duration::from_millis(250);
/// Questions that wait for control at once; the name servers are asked one more.
const MAX_WAITING: usize = 512;
/// How long control is not waited for after it was waited for in vain.
const PAUSE: Duration = Duration::from_secs(5);

/// Names of the mesh.
pub(super) struct MeshNames {
    discovery: Discovery,
    /// The cluster's domain, such as `cluster.local`.
    domain: String,
    /// Until when nobody waits for control.
    paused: Mutex<Option<Instant>>,
    waiting: Semaphore,
}

/// The addresses of a host; None when control says that it is not of the mesh.
type Answer = Option<Arc<Vec<IpAddr>>>;

impl MeshNames {
    /// The names that a pod can use.
    pub(super) fn new(discovery: Discovery, pod: &Pod) -> Self {
        let services = format!("{}.svc.", pod.namespace);
        let domain = pod
            .domain
            .strip_prefix(&services)
            .unwrap_or("cluster.local");
        Self {
            discovery,
            domain: domain.to_owned(),
            paused: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    /// The addresses of a host, which is in lower case and without a trailing dot. None when it is
    /// not of the mesh, as far as is known.
    pub(super) async fn addresses(&self, host: &str) -> Answer {
        if !may_be_service(host, &self.domain) {
            return None;
        }
        let entry = self.discovery.addresses(host)?;
        let answer = match entry.answer() {
            Some(answer) => answer,
            None => self.first_answer(&entry).await?,
        };
        (*answer).clone()
    }

    /// What control says, unless that is not worth waiting for.
    async fn first_answer(&self, entry: &OptionalEntry<Vec<IpAddr>>) -> Option<Arc<Answer>> {
        let _place = self.waiting.try_acquire().ok()?;
        if self.is_paused() {
            return None;
        }
        let answer = timeout(PATIENCE, self.discovery.answer(entry)).await;
        answer.unwrap_or_else(|_| {
            *self.paused.lock() = Some(Instant::now() + PAUSE);
            None
        })
    }

    fn is_paused(&self) -> bool {
        self.paused
            .lock()
            .is_some_and(|until| Instant::now() < until)
    }
}

/// Whether a host has the form of a service's name, or of an endpoint's of one: in the cluster's domain,
/// or short as in `web`, `web.shop` and `web.shop.svc`. No other is worth a question.
fn may_be_service(host: &str, domain: &str) -> bool {
    let in_domain = host
        .strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'));
    let is_service = |name: &str| {
        let services = name.strip_suffix(".svc");
        services.is_some_and(|name| (2..=3).contains(&name.split('.').count()))
    };
    match in_domain {
        Some(name) => is_service(name),
        None => is_service(host) || host.split('.').count() <= 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_wide_world_are_not_worth_a_question() {
        for (host, asked) in [
            ("web", true),
            ("web.shop", true),
            ("web.shop.svc", true),
            ("web.shop.svc.cluster.local", true),
            ("web-0.web.shop.svc.cluster.local", true),
            ("example.com", true),
            ("www.example.com", false),
            ("a.b.c.example.com", false),
            ("www.example.com.shop.svc.cluster.local", false),
            ("www.example.com.cluster.local", false),
            ("10-1-2-3.shop.pod.cluster.local", false),
            ("svc.cluster.local", false),
            ("shop.svc.cluster.local", false),
            ("notcluster.local", true),
        ] {
            assert_eq!(may_be_service(host, "cluster.local"), asked, "{host}");
        }
    }
}
