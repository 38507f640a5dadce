//! Long lists, asked for page by page.

use std::fmt::Debug;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

/// Objects of one page.
const PAGE: u32 = 500;

/// Hands every object that is selected to `note`, without ever holding all of them.
///
/// # Errors
/// The API server refuses a page.
pub(crate) async fn each<K>(
    api: &Api<K>,
    selected: ListParams,
    mut note: impl FnMut(&K),
) -> kube::Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut page = selected.limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        list.items.iter().for_each(&mut note);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Pod;
    use kube::client::Body;
    use kube::{Client, ResourceExt};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn pages_are_asked_for_until_the_last() {
        let server = tower::service_fn(|request: Request<Body>| async move {
            let query = request.uri().query().unwrap_or_default();
            let (name, token) = if query.contains("continue=more") {
                ("second", "")
            } else {
                ("first", "more")
            };
            let list = json!({"kind": "PodList", "apiVersion": "v1",
                "metadata": {"continue": token}, "items": [{"metadata": {"name": name}}]});
            Ok::<_, kube::Error>(Response::new(Body::from(list.to_string().into_bytes())))
        });
        let pods: Api<Pod> = Api::all(Client::new(server, "default"));
        let mut names = Vec::new();
        let note = |pod: &Pod| names.push(pod.name_any());
        each(&pods, ListParams::default(), note).await.unwrap();
        assert_eq!(names, ["first", "second"]);
    }
}
