//! The objects of a cluster that analyzers look at. What may not be read is warned of, and nothing is
//! concluded from it.

use std::fmt::Debug;

use anyhow::{Result, ensure};
use kube::api::{ApiResource, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource as Kind, ResourceExt};
use serde::de::DeserializeOwned;

use super::resource::Resource;
use super::world::{Collection, World};
use crate::console::{Console, chain};
use crate::hooks::proxy_image;
use crate::pages;

/// Reads what concerns one namespace, or all.
///
/// # Errors
/// There is no such namespace.
pub(super) async fn gather(
    client: &Client,
    system_namespace: &str,
    namespace: Option<&str>,
    console: &Console,
) -> Result<World> {
    let world = World {
        system_namespace: system_namespace.to_owned(),
        namespaces: list(Api::all(client.clone()), console).await,
        pods: list(within(client, namespace), console).await,
        deployments: list(within(client, namespace), console).await,
        // Webhook configurations lead to Services of any namespace.
        services: list(Api::all(client.clone()), console).await,
        config_maps: Collection::default(),
        webhooks: list(Api::all(client.clone()), console).await,
    };
    if let Some(namespace) = namespace
        && world.namespaces.is_complete
    {
        let found = world.namespaces.get("", namespace);
        ensure!(found.is_some(), "there is no namespace {namespace}");
    }
    Ok(with_configurations(world, client, console).await)
}

/// The world with the ConfigMaps of its injectors.
async fn with_configurations(mut world: World, client: &Client, console: &Console) -> World {
    for hook in world.hooks() {
        match proxy_image::configuration(client, &hook).await {
            Ok(map) => map
                .into_iter()
                .for_each(|map| world.config_maps.add(Resource::new(map, None))),
            Err(error) => console.warning(&chain(&error)),
        }
    }
    world
}

/// Objects of a namespace, or of all.
fn within<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Kind<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn list<K>(api: Api<K>, console: &Console) -> Collection<K>
where
    K: Kind<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut found = Collection::default();
    let listed = pages::each(&api, ListParams::default(), |object| {
        let mut object = object.clone();
        object.managed_fields_mut().clear();
        found.add(Resource::new(object, None));
    });
    match listed.await {
        Ok(()) => found.is_complete = true,
        Err(error) => {
            let plural = ApiResource::erase::<K>(&()).plural;
            let why = chain(&error.into());
            console.warning(&format!(
                "cannot list {plural}, so what goes by them is not analyzed: {why}"
            ));
        }
    }
    found
}
