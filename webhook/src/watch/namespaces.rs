//! Namespaces, for whom proxies run as on OpenShift. Elsewhere they are not looked at.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::collection::{self, Collection};
use crate::inject::Injector;
use crate::openshift::Namespaces;

impl Collection<PartialObjectMeta<Namespace>> for Namespaces {
    const OBJECTS: &'static str = "namespaces";
    const MEANING_IF_REFUSED: &'static str = "proxies run as user 1337, which OpenShift may refuse";

    fn insert(&mut self, namespace: &PartialObjectMeta<Namespace>) -> bool {
        self.note(&namespace.name_any(), namespace.annotations())
    }

    fn remove(&mut self, namespace: &PartialObjectMeta<Namespace>) -> bool {
        self.forget(&namespace.name_any())
    }
}

/// Follows the namespaces for ever, from when the configuration says that this is OpenShift.
pub async fn follow(
    client: Client,
    mut injector: watch::Receiver<Option<Arc<Injector>>>,
    namespaces: watch::Sender<Option<Arc<Namespaces>>>,
) {
    let is_on_openshift = |injector: &Option<Arc<Injector>>| {
        let injector = injector.as_ref();
        injector.is_some_and(|injector| injector.config().values.global.is_openshift())
    };
    let first = injector.wait_for(Option::is_some).await;
    let Ok(is_needed) = first.map(|injector| is_on_openshift(&injector)) else {
        return;
    };
    if !is_needed {
        namespaces.send_replace(Some(Arc::default()));
    }
    if injector.wait_for(is_on_openshift).await.is_err() {
        return;
    }
    // Where this has just become OpenShift, no pod is injected by what was known elsewhere: nothing.
    namespaces.send_replace(None);
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher(api, watcher::Config::default());
    collection::follow(events.default_backoff(), namespaces).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::timeout;

    use super::super::api_server;
    use super::*;
    use crate::config::{Config, Sources};
    use crate::native::NativeSidecars;

    fn injector(values: &str) -> Option<Arc<Injector>> {
        let sources = Sources {
            values,
            ..Sources::default()
        };
        let (config, _) = Config::parse(sources).unwrap();
        let injector = Injector::new(config, NativeSidecars::Auto).unwrap();
        Some(Arc::new(injector))
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_are_listed_on_openshift_alone() {
        let namespace = json!({"metadata": {
            "name": "shop", "annotations": {"openshift.io/sa.scc.uid-range": "2000/10"},
        }});
        let list = json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "1"}, "items": [namespace],
        });
        let client = api_server::client(move |request| {
            let is_list = !request.uri().query().unwrap_or_default().contains("watch=");
            is_list.then(|| (200, list.clone()))
        });
        let (injector_sender, injector_receiver) = watch::channel(None);
        let (sender, mut receiver) = watch::channel(None);
        let following = tokio::spawn(follow(client, injector_receiver, sender));
        injector_sender.send_replace(injector(""));
        let known = receiver.wait_for(Option::is_some).await.unwrap().clone();
        assert_eq!(known, Some(Arc::default()));
        injector_sender.send_replace(injector(r#"{"global":{"platform":"openshift"}}"#));
        let is_listed = |known: &Option<Arc<Namespaces>>| {
            let known = known.as_deref();
            known.is_some_and(|known| *known != Namespaces::default())
        };
        let listed = receiver.wait_for(is_listed);
        let listed = timeout(Duration::from_secs(20), listed).await.unwrap();
        let user = listed
            .unwrap()
            .as_ref()
            .map(|all| all.identity_in("shop").user);
        following.abort();
        assert_eq!(user, Some(2009));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_of_namespaces_between_other_platforms_and_a_list() {
        let client = api_server::client(|_| None);
        let (injector_sender, injector_receiver) = watch::channel(injector(""));
        let (sender, mut receiver) = watch::channel(None);
        let following = tokio::spawn(follow(client, injector_receiver, sender));
        receiver.wait_for(Option::is_some).await.unwrap();
        injector_sender.send_replace(injector(r#"{"global":{"platform":"openshift"}}"#));
        let unknown = receiver.wait_for(Option::is_none);
        timeout(Duration::from_secs(20), unknown)
            .await
            .unwrap()
            .unwrap();
        following.abort();
    }
}
