//! What is asked about: a pod that exists, or one that a workload or somebody would create.

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod, ReplicationController};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::{CheckInject, Connection};
use crate::hooks::selector::Labels;
use crate::injection::injected_by;

/// A pod and its namespace, as an injector sees them.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// What it is, for people: `Deployment default/web`.
    pub(super) title: String,
    /// Name of the namespace.
    pub(super) namespace: String,
    /// Labels of the namespace.
    pub(super) namespace_labels: Labels,
    /// The pod, or the template of one.
    pub(super) pod: Pod,
    /// What became of it, if it is a pod that exists.
    pub(super) fate: Option<Fate>,
}

/// What became of a pod when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Fate {
    /// A revision injected it.
    InjectedBy(String),
    /// Nobody did.
    NotInjected,
}

/// `[TYPE/]NAME[.NAMESPACE]`.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    kind: Kind,
    name: String,
    namespace: Option<String>,
}

/// Kinds that pods come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    Namespace,
    Pod,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
}

impl Subject {
    /// Looks at what the arguments name.
    pub(super) async fn find(
        client: &Client,
        connection: &Connection,
        options: &CheckInject,
    ) -> Result<Self> {
        let here = connection.namespace.clone();
        let here = here.unwrap_or_else(|| client.default_namespace().to_owned());
        let labels = options.labels.as_deref().map(parse_labels).transpose()?;
        let Some(resource) = &options.resource else {
            return Self::of_namespace(client, &here, labels.unwrap_or_default()).await;
        };
        let reference = Reference::parse(resource)?;
        if reference.kind == Kind::Namespace {
            return Self::of_namespace(client, &reference.name, labels.unwrap_or_default()).await;
        }
        if labels.is_some() {
            bail!(
                "-l tells the labels of a pod that does not exist, and {resource} names one; give either"
            );
        }
        let namespace = reference.namespace.unwrap_or(here);
        let kind = reference.kind.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
        let object = api.get(&reference.name).await.with_context(|| {
            format!(
                "cannot look at {} {namespace}/{}",
                kind.kind, reference.name
            )
        })?;
        let title = format!("{} {namespace}/{}", kind.kind, reference.name);
        let pod = pod(&object, reference.kind).with_context(|| format!("cannot read {title}"))?;
        Ok(Self {
            namespace_labels: namespace_labels(client, &namespace).await?,
            fate: (reference.kind == Kind::Pod).then(|| fate(&pod)),
            title,
            namespace,
            pod,
        })
    }

    /// A pod with these labels and nothing else.
    async fn of_namespace(client: &Client, namespace: &str, labels: Labels) -> Result<Self> {
        let mut pod = Pod::default();
        let what = if labels.is_empty() {
            "a pod without labels".to_owned()
        } else {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("a pod with {}", labels.join(","))
        };
        pod.metadata.labels = Some(labels);
        Ok(Self {
            title: format!("{what} in namespace {namespace}"),
            namespace: namespace.to_owned(),
            namespace_labels: namespace_labels(client, namespace).await?,
            pod,
            fate: None,
        })
    }

    /// Labels of the pod.
    pub(super) fn pod_labels(&self) -> Labels {
        self.pod.metadata.labels.clone().unwrap_or_default()
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self> {
        let (kind, rest) = match text.split_once('/') {
            Some((kind, rest)) => (Kind::parse(kind)?, rest),
            None => (Kind::Pod, text),
        };
        let (name, namespace) = match rest.rsplit_once('.') {
            Some((name, namespace)) if kind != Kind::Namespace => {
                (name, Some(namespace.to_owned()))
            }
            _ => (rest, None),
        };
        if name.is_empty() || namespace.as_deref() == Some("") {
            bail!(
                "{text:?} names nothing; expected [TYPE/]NAME[.NAMESPACE], such as deployment/web.default"
            );
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            namespace,
        })
    }
}

impl Kind {
    /// Reads a kind as kubectl writes it.
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_lowercase().as_str() {
            "cronjob" | "cronjobs" | "cj" => Self::CronJob,
            "daemonset" | "daemonsets" | "ds" => Self::DaemonSet,
            "deployment" | "deployments" | "deploy" => Self::Deployment,
            "job" | "jobs" => Self::Job,
            "namespace" | "namespaces" | "ns" => Self::Namespace,
            "pod" | "pods" | "po" => Self::Pod,
            "replicaset" | "replicasets" | "rs" => Self::ReplicaSet,
            "replicationcontroller" | "replicationcontrollers" | "rc" => {
                Self::ReplicationController
            }
            "statefulset" | "statefulsets" | "sts" => Self::StatefulSet,
            other => bail!(
                "type {other:?} has no pods; expected pod, deployment, statefulset, daemonset, replicaset, replicationcontroller, job, cronjob or namespace"
            ),
        })
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::CronJob => ApiResource::erase::<CronJob>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::Namespace => ApiResource::erase::<Namespace>(&()),
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::ReplicaSet => ApiResource::erase::<ReplicaSet>(&()),
            Self::ReplicationController => ApiResource::erase::<ReplicationController>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        }
    }
}

/// The pod itself, or the template that pods are made from.
fn pod(object: &DynamicObject, kind: Kind) -> Result<Pod> {
    let template = match kind {
        Kind::Pod => {
            let spec = object.data.get("spec").cloned().unwrap_or_default();
            let pod = json!({ "metadata": object.metadata, "spec": spec });
            return serde_json::from_value(pod).context("it is no pod");
        }
        Kind::CronJob => object.data.pointer("/spec/jobTemplate/spec/template"),
        _ => object.data.pointer("/spec/template"),
    };
    let template = template.ok_or_else(|| anyhow!("it has no pod template"))?;
    let part = |name: &str| template.get(name).filter(|part| !part.is_null()).cloned();
    let pod = json!({
        "metadata": part("metadata").unwrap_or_else(|| json!({})),
        "spec": part("spec").unwrap_or(Value::Null),
    });
    serde_json::from_value(pod).context("its template is that of no pod")
}

async fn namespace_labels(client: &Client, name: &str) -> Result<Labels> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = api
        .get(name)
        .await
        .with_context(|| format!("cannot look at namespace {name}"))?;
    Ok(namespace.metadata.labels.unwrap_or_default())
}

/// What a pod says of its injection.
fn fate(pod: &Pod) -> Fate {
    injected_by(pod).map_or(Fate::NotInjected, Fate::InjectedBy)
}

/// Reads `a=b,c=d`.
fn parse_labels(text: &str) -> Result<Labels> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("{pair:?} is no label; expected KEY=VALUE"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;

    use super::*;

    #[test]
    fn references_are_read_as_istioctl_reads_them() {
        for (text, kind, name, namespace) in [
            ("web-1", Kind::Pod, "web-1", None),
            ("web-1.shop", Kind::Pod, "web-1", Some("shop")),
            ("a.b.shop", Kind::Pod, "a.b", Some("shop")),
            ("deployment/web", Kind::Deployment, "web", None),
            ("deploy/web.shop", Kind::Deployment, "web", Some("shop")),
            ("CronJob/web", Kind::CronJob, "web", None),
            ("ns/shop", Kind::Namespace, "shop", None),
        ] {
            let expected = Reference {
                kind,
                name: name.to_owned(),
                namespace: namespace.map(str::to_owned),
            };
            assert_eq!(Reference::parse(text).unwrap(), expected);
        }
        for nonsense in ["", "deployment/", ".shop", "web.", "secret/a"] {
            assert!(Reference::parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn templates_are_found_in_every_kind() {
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [], "hostNetwork": true}});
        for (kind, spec) in [
            (Kind::Deployment, json!({ "template": template })),
            (
                Kind::CronJob,
                json!({"jobTemplate": {"spec": {"template": template}}}),
            ),
            (Kind::Pod, template["spec"].clone()),
        ] {
            let object = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": spec});
            let pod = pod(&serde_json::from_value(object).unwrap(), kind).unwrap();
            assert_eq!(pod.labels()["a"], "b", "{kind:?}");
            assert_eq!(pod.spec.unwrap().host_network, Some(true), "{kind:?}");
        }
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(parse_labels("a=b,c=").unwrap().len(), 2);
        assert!(parse_labels("a").is_err());
    }
}
