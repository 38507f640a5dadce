//! The scene of most tests: an application `web` that echoes on every port, and a client.

use anyhow::Result;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Bed;
use super::manifest::{client, deployment, merge, service, template};

/// What `web` listens on: HTTP 8080, TCP 9000, TCP that speaks first 9001, UDP 9002.
pub const ECHO: [&str; 9] = [
    "echo", "--http", "8080", "--tcp", "9000", "--banner", "9001", "--udp", "9002",
];

/// The ports of the Service `web`: declared by name, undeclared (8081) and server-first (3306).
pub const PORTS: [(&str, u16, u16); 5] = [
    ("http", 8080, 8080),
    ("undeclared", 8081, 8080),
    ("grpc", 8082, 8080),
    ("tcp", 9000, 9000),
    ("database", 3306, 9001),
];

/// Names of the pods of a scene.
pub struct Scene {
    /// Where it plays.
    pub bed: Bed,
    /// The client's pod.
    pub client: String,
    /// The pods of `web`.
    pub web: Vec<String>,
}

impl Scene {
    /// Client and `replicas` of `web`, all with sidecars.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn injected(test: &str, replicas: usize) -> Result<Self> {
        Self::new(Bed::injected(test).await?, replicas, &json!({})).await
    }

    /// As [`Scene::injected`]; `change` is merged into the pod template of `web`.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn changed(test: &str, replicas: usize, change: &Value) -> Result<Self> {
        Self::new(Bed::injected(test).await?, replicas, change).await
    }

    async fn new(bed: Bed, replicas: usize, change: &Value) -> Result<Self> {
        let mut web = template("web", &ECHO);
        merge(&mut web, change.clone());
        bed.apply(deployment("web", replicas, &web)).await?;
        bed.apply([service("web", &PORTS)]).await?;
        bed.apply(client("client")).await?;
        let web = bed.ready("app=web", replicas).await?;
        let web = web.iter().map(ResourceExt::name_any).collect();
        let client = bed
            .ready("app=client", 1)
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        Ok(Self { bed, client, web })
    }

    /// Sends HTTP requests from the client with the sample client's own flags.
    ///
    /// # Errors
    /// When the client could not run.
    pub async fn http(&self, url: &str, flags: &[&str]) -> Result<super::Report> {
        let mut arguments = vec!["http", "--output", "json", "--url", url];
        arguments.extend_from_slice(flags);
        self.bed.send(&self.client, &arguments).await
    }

    /// Runs another subcommand of the sample client in the client's pod; it must succeed.
    ///
    /// # Errors
    /// What it printed, when it does not.
    pub async fn client(&self, arguments: &[&str]) -> Result<String> {
        let mut command = vec!["/usr/local/bin/lateen-samples", "client"];
        command.extend_from_slice(arguments);
        self.bed.run(&self.client, "app", &command).await?.stdout()
    }

    /// How many requests the sidecars of `web` saw with these labels, as destination.
    ///
    /// # Errors
    /// When their metrics cannot be read.
    pub async fn served(&self, labels: &[(&str, &str)]) -> Result<f64> {
        let mut labels = labels.to_vec();
        labels.push(("reporter", "destination"));
        let mut sum = 0.0;
        for pod in &self.web {
            sum += self
                .bed
                .metrics(pod)
                .await?
                .sum("istio_requests_total", &labels);
        }
        Ok(sum)
    }
}
