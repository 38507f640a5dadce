//! An API server that keeps objects in memory and remembers what it was asked to change: for what
//! depends on the order of changes, or on what is left in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A cluster that consists of nothing but objects.
#[derive(Clone, Default)]
pub(crate) struct FakeCluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By their paths.
    objects: BTreeMap<String, Value>,
    changes: Vec<String>,
    /// Plurals of kinds that are not to be read.
    forbidden: Vec<&'static str>,
}

impl FakeCluster {
    /// A cluster with these objects.
    pub(crate) fn with(objects: impl IntoIterator<Item = Value>) -> Self {
        let cluster = Self::default();
        let objects = objects.into_iter().map(|object| (path(&object), object));
        cluster.0.lock().unwrap().objects = objects.collect();
        cluster
    }

    pub(crate) fn add(&self, object: Value) {
        let mut state = self.0.lock().unwrap();
        state.objects.insert(path(&object), object);
    }

    /// The cluster, where objects of a kind are not to be read.
    pub(crate) fn forbidding(self, plural: &'static str) -> Self {
        self.0.lock().unwrap().forbidden.push(plural);
        self
    }

    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let query = head.uri.query().unwrap_or_default();
                let mut state = cluster.0.lock().unwrap();
                let (status, answer) = state.answer(&head.method, head.uri.path(), query, body);
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = status.try_into().unwrap();
                Ok::<_, kube::Error>(response)
            }
        });
        Client::new(server, "default")
    }

    /// What was changed, in order: `PATCH clusterroles/x`.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.0.lock().unwrap().changes.clone()
    }

    /// The objects that there are: `clusterroles/x`.
    pub(crate) fn names(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.objects.keys().map(|path| short(path)).collect()
    }

    /// One object: `clusterroles/x`.
    pub(crate) fn object(&self, name: &str) -> Option<Value> {
        let state = self.0.lock().unwrap();
        let mut found = state.objects.iter().filter(|(path, _)| short(path) == name);
        found.next().map(|(_, object)| object.clone())
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if method != Method::GET {
            self.changes.push(format!("{method} {}", short(path)));
        }
        if method == Method::GET && path.split('/').any(|part| self.forbidden.contains(&part)) {
            return (403, refusal(403, "Forbidden"));
        }
        let known = self.objects.get(path).cloned();
        match (method.as_str(), known) {
            ("GET", Some(object)) => (200, object),
            ("GET", None) if is_collection(path) => (200, self.list(path, query)),
            ("DELETE", Some(_)) => {
                self.objects.remove(path);
                (
                    200,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                )
            }
            ("PATCH", Some(mut object)) if body.get("kind").is_none() => {
                merge_entries(&mut object, &body);
                self.objects.insert(path.to_owned(), object.clone());
                (200, object)
            }
            ("PATCH", _) if body.get("kind").is_some() => {
                self.objects.insert(path.to_owned(), body.clone());
                (200, body)
            }
            _ => (404, refusal(404, "NotFound")),
        }
    }

    fn list(&self, collection: &str, query: &str) -> Value {
        let query = query
            .replace("%3D", "=")
            .replace("%2C", ",")
            .replace("%2F", "/");
        let selector = |name: &str| {
            let mut parameters = query.split('&');
            parameters.find_map(|parameter| parameter.strip_prefix(name).map(str::to_owned))
        };
        let labels = selector("labelSelector=").unwrap_or_default();
        let name = selector("fieldSelector=metadata.name=");
        let items = self.objects.iter().filter(|(path, object)| {
            is_in(path, collection)
                && name
                    .as_ref()
                    .is_none_or(|name| object["metadata"]["name"] == **name)
                && labels
                    .split(',')
                    .filter(|label| !label.is_empty())
                    .all(|label| {
                        let labels = &object["metadata"]["labels"];
                        match label.split_once('=') {
                            Some((key, value)) => labels[key] == value,
                            None => !labels[label].is_null(),
                        }
                    })
        });
        let items: Vec<Value> = items.map(|(_, object)| object.clone()).collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
    }
}

/// The path that an object has, `/api/v1/namespaces/a/pods/b`.
fn path(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let root = if version.contains('/') { "apis" } else { "api" };
    let kind = text(&object["kind"]).to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let name = text(&object["metadata"]["name"]);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("/{root}/{version}/{plural}/{name}"),
    }
}

/// The last two parts of a path.
fn short(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    format!("{}/{}", parts[1], parts[0])
}

/// Whether a path is that of a collection: without its root, version and namespace, only the plural
/// is left.
fn is_collection(path: &str) -> bool {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let root = if parts[0] == "api" { 2 } else { 3 };
    parts.drain(..root.min(parts.len()));
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    parts.len() == 1
}

/// Whether an object is in a collection, that of all namespaces included.
fn is_in(path: &str, collection: &str) -> bool {
    let Some((parent, _)) = path.rsplit_once('/') else {
        return false;
    };
    let without_namespace = match parent.split_once("/namespaces/") {
        Some((root, rest)) => format!("{root}/{}", rest.split_once('/').unwrap_or_default().1),
        None => parent.to_owned(),
    };
    [parent, without_namespace.as_str()].contains(&collection)
}

/// What a strategic merge patch does to the entries of a webhook configuration.
fn merge_entries(object: &mut Value, patch: &Value) {
    let patched = patch["webhooks"].as_array().cloned().unwrap_or_default();
    for change in patched {
        let entries = object["webhooks"].as_array_mut().unwrap();
        let entry = entries
            .iter_mut()
            .find(|entry| entry["name"] == change["name"]);
        let entry = entry.unwrap().as_object_mut().unwrap();
        for (key, value) in change.as_object().unwrap() {
            let mut value = value.clone();
            if let Some(fields) = value.as_object_mut() {
                assert_eq!(fields.remove("$patch"), Some(json!("replace")), "{key}");
            }
            entry.insert(key.clone(), value);
        }
    }
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    })
}
