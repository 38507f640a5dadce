//! Metrics of a pod, as Prometheus would see them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::timeout;

use super::Bed;

/// How long an answer may take: what the API server forwards may get lost when a pod ends.
const ANSWER: Duration = Duration::from_secs(30);

/// A scrape in text format.
pub struct Metrics(String);

impl Metrics {
    /// A scrape that was taken otherwise.
    pub(crate) const fn of_text(text: String) -> Self {
        Self(text)
    }

    /// The sum of every series of `name` whose labels hold all of `labels`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The series of `name` whose labels hold all of `labels`, as lines.
    pub fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &str> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let name = name.to_owned();
        self.0.lines().filter(move |line| {
            let rest = line.strip_prefix(&name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && wanted.iter().all(|label| line.contains(label.as_str()))
        })
    }

    /// The whole scrape.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Bed {
    /// The merged metrics of a pod with a sidecar.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn metrics(&self, pod: &str) -> Result<Metrics> {
        self.metrics_at(pod, 15020, "/stats/prometheus").await
    }

    /// The metrics at a path of a port of a pod.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn metrics_at(&self, pod: &str, port: u16, path: &str) -> Result<Metrics> {
        self.get(pod, port, path).await.map(Metrics)
    }

    /// What the kubelet of a pod counts, such as `prober_probe_total`: what came of probes, by container.
    ///
    /// # Errors
    /// When the pod is on no node yet, or `kubectl` fails.
    pub async fn probes(&self, pod: &Pod) -> Result<Metrics> {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        let node = node.context("a pod without a node")?;
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/probes");
        self.kubectl(&["get", "--raw", &path]).await.map(Metrics)
    }

    /// The body of `GET path` on a port of a pod, through the API server.
    ///
    /// # Errors
    /// When there is no answer of status 200.
    pub async fn get(&self, pod: &str, port: u16, path: &str) -> Result<String> {
        let (status, text) = self.ask(pod, port, path).await?;
        if status != StatusCode::OK {
            bail!("GET :{port}{path} of {pod} was answered {status}: {text}");
        }
        Ok(text)
    }

    /// Status and body of the answer to `GET path` on a port of a pod, through the API server.
    ///
    /// # Errors
    /// When there is no answer, or none in time.
    pub async fn ask(&self, pod: &str, port: u16, path: &str) -> Result<(StatusCode, String)> {
        timeout(ANSWER, self.answer(pod, port, path))
            .await
            .with_context(|| format!("GET :{port}{path} of {pod} was not answered"))?
    }

    async fn answer(&self, pod: &str, port: u16, path: &str) -> Result<(StatusCode, String)> {
        let mut forward = self
            .api::<Pod>()
            .portforward(pod, &[port])
            .await
            .with_context(|| format!("Forwarding port {port} of {pod}"))?;
        let stream = forward.take_stream(port).context("no stream")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", pod)
            .header("connection", "close")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
