//! What the injector follows in the Kubernetes API, one watch per object so that its rights can be
//! as narrow as the names of these objects.

pub mod ca_bundle;
pub mod certificate;
mod collection;
pub mod configuration;
mod event;
pub mod namespaces;
pub mod nodes;
pub mod proxy_configs;

#[cfg(test)]
mod api_server;

use std::fmt::Debug;

use futures::{Stream, StreamExt, stream};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// An object each time it changes; `None` while there is none. Errors of the watch are logged and
/// the watch goes on, slower the longer they last.
fn object<K>(api: Api<K>, name: &str) -> impl Stream<Item = Option<K>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let what = name.to_owned();
    watcher::watch_object(api, name)
        .default_backoff()
        .flat_map(move |item| match item {
            Ok(object) => stream::iter(Some(object)),
            Err(error) => {
                tracing::warn!(object = %what, %error, "Cannot watch an object; trying again.");
                stream::iter(None)
            }
        })
}
