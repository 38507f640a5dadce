//! The authority in force: people replace the one that they plugged in, the leader renews the one
//! that we made, and every replica goes on with what its Secret says.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::authority::Authority;
use super::root::{self, Source};
use crate::metrics::AuthorityMetrics;

/// An authority that is replaced in place.
pub struct CurrentAuthority(watch::Sender<Arc<Authority>>);

impl CurrentAuthority {
    /// Begins with this one.
    #[must_use]
    pub fn new(first: impl Into<Arc<Authority>>) -> Self {
        Self(watch::Sender::new(first.into()))
    }

    /// The one in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Authority> {
        self.0.borrow().clone()
    }

    /// The one in force, and word of the next.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Authority>> {
        self.0.subscribe()
    }

    /// Puts another in force.
    pub fn replace(&self, next: Authority) {
        self.0.send_replace(Arc::new(next));
    }

    /// Takes up what becomes of the authority's Secret, for ever.
    pub async fn follow(
        &self,
        client: Client,
        namespace: &str,
        source: Source,
        metrics: &AuthorityMetrics,
    ) {
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        let watch = watcher::watch_object(secrets, source.secret()).default_backoff();
        let mut watch = pin!(watch);
        while let Some(event) = watch.next().await {
            match event {
                Ok(Some(secret)) => self.take_up(&secret, source, metrics),
                Ok(None) => warn!(
                    secret = source.secret(),
                    "The certificate authority's Secret is gone; what was loaded stays in force."
                ),
                Err(error) => {
                    warn!(%error, "Watching the certificate authority's Secret failed; it is retried.");
                }
            }
        }
    }

    fn take_up(&self, secret: &Secret, source: Source, metrics: &AuthorityMetrics) {
        match root::load(source, secret) {
            Ok(next) if next == *self.load() => {}
            Ok(next) => {
                info!(
                    secret = source.secret(),
                    not_after = %next.not_after(),
                    "The certificate authority has changed and is in force."
                );
                metrics.tell_ends_of(&next);
                self.replace(next);
            }
            Err(error) => {
                metrics.load_errors.inc();
                error!(%error, "The certificate authority is not taken; the last good one stays in force.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::root::secret;
    use super::*;
    use crate::api_server;

    #[tokio::test(start_paused = true)]
    async fn what_the_secret_becomes_is_heard_of() {
        let next = Authority::create("cluster.local").unwrap();
        let stored = secret(&next);
        let client = api_server::client(move |request| {
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("metadata.name%3Dcacerts"), "{query}");
            if query.contains("watch=") {
                return api_server::refusal(500, "Away");
            }
            let list = json!({ "metadata": { "resourceVersion": "1" }, "items": [stored] });
            (200, list)
        });
        let first = Authority::load(&Authority::create("cluster.local").unwrap()).unwrap();
        let current = CurrentAuthority::new(first);
        let mut changes = current.subscribe();
        let metrics = AuthorityMetrics::default();
        tokio::select! {
            () = current.follow(client, "istio-system", Source::PluggedIn, &metrics) => {}
            changed = changes.changed() => changed.unwrap(),
        }
        assert_eq!(*current.load(), Authority::load(&next).unwrap());
    }

    #[test]
    fn a_good_authority_is_taken_up_and_a_bad_one_is_not() {
        let metrics = AuthorityMetrics::default();
        let made = || Authority::create("cluster.local").unwrap();
        let (first, second) = (made(), made());
        let current = CurrentAuthority::new(Authority::load(&first).unwrap());
        let changes = current.subscribe();

        current.take_up(&secret(&first), Source::SelfSigned, &metrics);
        assert!(!changes.has_changed().unwrap());

        let mut broken = secret(&second);
        broken.data.as_mut().unwrap().remove("ca-key.pem");
        current.take_up(&broken, Source::SelfSigned, &metrics);
        assert!(!changes.has_changed().unwrap());
        assert_eq!(metrics.load_errors.get(), 1);

        current.take_up(&secret(&second), Source::SelfSigned, &metrics);
        assert!(changes.has_changed().unwrap());
        let expected = Authority::load(&second).unwrap();
        assert_eq!(current.load().roots(), expected.roots());
        let end = expected.not_after().unix_timestamp();
        assert_eq!(metrics.chain_expiry.get(), end);
    }
}
