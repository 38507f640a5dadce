//! `ProxyConfig` resources of the whole cluster.

use std::sync::Arc;

use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use lateen_api::networking::ProxyConfig;
use lateen_api::resource::api_resource;
use tokio::sync::watch;

use super::collection::{self, Collection};
use crate::proxy_configs::ProxyConfigs;

/// Objects are read one by one: a wrong one, which a schema may let pass, must not keep all others away.
impl Collection<DynamicObject> for ProxyConfigs {
    const OBJECTS: &'static str = "proxyconfigs.networking.istio.io";
    const MEANING_IF_REFUSED: &'static str = "ProxyConfig resources have no effect";

    fn insert(&mut self, resource: &DynamicObject) -> bool {
        self.note(resource).unwrap_or_else(|error| {
            let (namespace, name) = (resource.namespace(), resource.name_any());
            tracing::warn!(?namespace, name, %error, "A ProxyConfig cannot be read and changes nothing.");
            false
        })
    }

    fn remove(&mut self, resource: &DynamicObject) -> bool {
        self.forget(resource)
    }
}

/// Follows the resources for ever.
pub async fn follow(client: Client, configs: watch::Sender<Option<Arc<ProxyConfigs>>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &api_resource::<ProxyConfig>());
    let events = watcher(api, watcher::Config::default());
    collection::follow(events.default_backoff(), configs).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::super::api_server;
    use super::*;

    async fn learnt(code: u16, answer: Value) -> Arc<ProxyConfigs> {
        let (sender, mut receiver) = watch::channel(None);
        let client = api_server::client(move |request| {
            let is_list = request.uri().path() == "/apis/networking.istio.io/v1beta1/proxyconfigs"
                && !request.uri().query().unwrap_or_default().contains("watch=");
            is_list.then(|| (code, answer.clone()))
        });
        let following = tokio::spawn(follow(client, sender));
        let learning = timeout(Duration::from_secs(20), receiver.wait_for(Option::is_some));
        let learnt = learning.await.unwrap().unwrap().clone().unwrap();
        following.abort();
        learnt
    }

    #[tokio::test(start_paused = true)]
    async fn resources_are_known_once_they_are_listed_or_there_are_none() {
        let list = json!({
            "kind": "ProxyConfigList", "apiVersion": "networking.istio.io/v1beta1",
            "metadata": {"resourceVersion": "1"},
            "items": [
                {"metadata": {"namespace": "shop", "name": "all"}, "spec": {"concurrency": 3}},
                {"metadata": {"namespace": "shop", "name": "bare"}},
                {"metadata": {"namespace": "shop", "name": "wrong"}, "spec": {"concurrency": -3}},
            ],
        });
        let configs = learnt(200, list).await;
        let spec = configs.of_namespace("shop").unwrap();
        assert_eq!(spec.concurrency, Some(3));
        let undefined = learnt(404, api_server::refusal(404, "NotFound")).await;
        assert_eq!(*undefined, ProxyConfigs::default());
    }
}
