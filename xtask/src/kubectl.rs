//! kubectl, as people use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::{output, shell};

/// Time between two looks at something that is awaited.
const POLL: Duration = Duration::from_millis(500);

/// kubectl for one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Kubectl {
    /// The program.
    pub(crate) program: PathBuf,
    /// The file that says where the cluster is.
    pub(crate) kubeconfig: PathBuf,
}

impl Kubectl {
    /// kubectl, about to be given its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs kubectl in silence and returns what it wrote.
    ///
    /// # Errors
    /// When kubectl fails.
    pub(crate) fn read(&self, arguments: &[&str]) -> Result<String> {
        shell::read(self.command().args(arguments))
    }

    /// Creates `object`, or makes it what it should be.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub(crate) fn apply(&self, object: &Value) -> Result<()> {
        let mut file = NamedTempFile::new().context("Making a file for an object")?;
        serde_json::to_writer(&mut file, object)?;
        shell::read(
            self.command()
                .args(["apply", "--filename"])
                .arg(file.path()),
        )?;
        Ok(())
    }

    /// The namespaces with a pod that is neither ready nor done.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn unwell_namespaces(&self) -> Result<BTreeSet<String>> {
        let json = self.read(&["get", "pods", "--all-namespaces", "--output", "json"])?;
        let pods: Pods = serde_json::from_str(&json).context("Reading all pods")?;
        let unwell = pods.items.into_iter().filter(|pod| !is_well(pod));
        Ok(unwell.filter_map(|pod| pod.metadata.namespace).collect())
    }

    /// The pods of `namespace`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn pods(&self, namespace: &str) -> Result<Vec<Pod>> {
        let json = self.read(&["get", "pods", "--namespace", namespace, "--output", "json"])?;
        let pods: Pods = serde_json::from_str(&json)
            .with_context(|| format!("Reading the pods of namespace {namespace}"))?;
        Ok(pods.items)
    }

    /// Waits until every pod of `namespace` has all its containers ready, at least two of them: the
    /// application and its sidecar. Says each change.
    ///
    /// # Errors
    /// When it takes longer than `limit`; the error has the cluster's warnings.
    pub(crate) fn wait_for_sidecars(&self, namespace: &str, limit: Duration) -> Result<Vec<Pod>> {
        let started = Instant::now();
        let mut seen = BTreeMap::new();
        loop {
            let pods = self.pods(namespace)?;
            for pod in &pods {
                let (ready, containers) = readiness(pod);
                let state = format!("{} {ready}/{containers} ready", name(pod));
                if seen.insert(name(pod).to_owned(), state.clone()).as_ref() != Some(&state) {
                    output::line(&format!("    {state}"));
                }
            }
            if !pods.is_empty() && pods.iter().all(has_ready_sidecar) {
                return Ok(pods);
            }
            if started.elapsed() > limit {
                let warnings = [
                    "get",
                    "events",
                    "--namespace",
                    namespace,
                    "--field-selector=type=Warning",
                ];
                let warnings = self.read(&warnings).unwrap_or_default();
                let limit = output::duration(limit);
                bail!("Pods in namespace {namespace} are not ready after {limit}:\n{warnings}");
            }
            thread::sleep(POLL);
        }
    }

    /// Prints what helps to find out what went wrong in `namespace`: pods, warnings and logs.
    pub(crate) fn explain(&self, namespace: &str) {
        let of_namespace = ["--namespace", namespace];
        let mut questions = vec![
            vec!["get", "pods", "--output", "wide"],
            vec!["get", "events", "--field-selector=type=Warning"],
        ];
        let pods = self.pods(namespace).unwrap_or_default();
        questions.extend(pods.iter().map(|pod| {
            vec![
                "logs",
                name(pod),
                "--all-containers",
                "--prefix",
                "--tail=100",
            ]
        }));
        for question in questions {
            output::step(&format!(
                "kubectl {} --namespace {namespace}",
                question.join(" ")
            ));
            match self.read(&[&question[..], &of_namespace].concat()) {
                Ok(answer) => output::line(&answer),
                Err(error) => output::line(&format!("{error:#}")),
            }
        }
    }
}

/// What kubectl prints: a list whose kind is `List`, whatever is in it.
#[derive(Deserialize)]
struct Pods {
    items: Vec<Pod>,
}

/// The pod's name.
pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// How many of the containers that stay are ready, and how many there are: native sidecars count,
/// other init containers don't.
pub(crate) fn readiness(pod: &Pod) -> (usize, usize) {
    let Some(spec) = &pod.spec else { return (0, 0) };
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let staying: Vec<_> = spec
        .containers
        .iter()
        .chain(sidecars)
        .map(|container| container.name.as_str())
        .collect();
    let status = pod.status.clone().unwrap_or_default();
    let ready = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten()
        .filter(|status| status.ready && staying.contains(&status.name.as_str()))
        .count();
    (ready, staying.len())
}

fn is_well(pod: &Pod) -> bool {
    let (ready, containers) = readiness(pod);
    let done = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        == Some("Succeeded");
    done || ready == containers
}

fn has_ready_sidecar(pod: &Pod) -> bool {
    let (ready, containers) = readiness(pod);
    containers >= 2 && ready == containers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(ready: [bool; 2]) -> Pod {
        let status = |name, ready| json!({"name": name, "ready": ready, "image": "", "imageID": "", "restartCount": 0});
        serde_json::from_value(json!({
            "metadata": {"name": "details"},
            "spec": {
                "initContainers": [
                    {"name": "istio-init"},
                    {"name": "istio-proxy", "restartPolicy": "Always"},
                ],
                "containers": [{"name": "details"}],
            },
            "status": {
                "initContainerStatuses": [
                    status("istio-init", true),
                    status("istio-proxy", ready[0]),
                ],
                "containerStatuses": [status("details", ready[1])],
            },
        }))
        .expect("a pod")
    }

    #[test]
    fn a_native_sidecar_counts_and_an_init_container_does_not() {
        assert_eq!(readiness(&pod([true, false])), (1, 2));
        assert!(!has_ready_sidecar(&pod([true, false])));
        assert!(has_ready_sidecar(&pod([true, true])));
    }
}
