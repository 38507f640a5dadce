//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::{Bed, PATIENCE};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// Tries until `attempt` succeeds and returns what it returned.
///
/// # Errors
/// The last failure, after [`PATIENCE`].
pub async fn eventually<T, E: Display>(
    what: &str,
    attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    within(PATIENCE, what, attempt).await
}

/// As [`eventually`], with a limit of its own.
///
/// # Errors
/// The last failure, after `limit`.
pub async fn within<T, E: Display>(
    limit: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > limit => {
                bail!("{what}: not within {limit:?}: {error:#}");
            }
            Err(_) => tokio::time::sleep(PERIOD).await,
        }
    }
}

impl Bed {
    /// Waits until exactly `count` pods are found, all are ready, and sidecars are told that they are
    /// endpoints of their Services.
    ///
    /// # Errors
    /// What is missing, after [`PATIENCE`].
    pub async fn ready(&self, selector: &str, count: usize) -> Result<Vec<Pod>> {
        let pods = self.ready_pods(selector, count).await?;
        self.told(&pods).await?;
        Ok(pods)
    }

    /// As [`Bed::ready`], and each pod answers HTTP at `port`, be it with an error: a container that
    /// nobody probes is ready before its program listens.
    ///
    /// # Errors
    /// What is missing, after [`PATIENCE`].
    pub async fn serving(&self, selector: &str, count: usize, port: u16) -> Result<Vec<Pod>> {
        let pods = self.ready(selector, count).await?;
        for pod in pods.iter().map(|pod| pod.name_any()) {
            let asked = async || self.ask(&pod, port, "/").await;
            eventually(&format!("an answer of {pod}:{port}"), asked).await?;
        }
        Ok(pods)
    }

    async fn ready_pods(&self, selector: &str, count: usize) -> Result<Vec<Pod>> {
        eventually(
            &format!("{count} ready pods {selector} in {}", self.namespace),
            async || {
                let pods = self.pods(selector).await?;
                if pods.len() != count {
                    bail!("there are {}", pods.len());
                }
                match pods.iter().find(|pod| !is_ready(pod)) {
                    Some(pod) => bail!("{} is {}", pod.name_any(), state(pod)),
                    None => Ok(pods),
                }
            },
        )
        .await
    }

    /// Waits until a Job has completed.
    ///
    /// # Errors
    /// When it failed, or took longer than [`PATIENCE`].
    pub async fn completed(&self, job: &str) -> Result<()> {
        eventually(&format!("completion of the Job {job}"), async || {
            let status = self
                .api::<Job>()
                .get_status(job)
                .await?
                .status
                .unwrap_or_default();
            match status.succeeded {
                Some(count) if count > 0 => Ok(()),
                _ => Err(anyhow!("it has {status:?}")),
            }
        })
        .await
    }
}

/// Whether the pod's own condition says that it is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What `kubectl get pods` would say, and why.
fn state(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let waiting: Vec<String> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .filter(|container| !container.ready)
        .map(|container| format!("{}: {:?}", container.name, container.state))
        .collect();
    format!(
        "{}; {}",
        status.phase.unwrap_or_default(),
        waiting.join("; ")
    )
}
