//! The scene of most tests: an application `web` that echoes on every port, and a client; and a
//! server outside the mesh.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::manifest::{client, container, deployment, merge, service, template};
use super::{Bed, eventually};

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
        Self::changed(test, replicas, &json!({})).await
    }

    /// As [`Scene::injected`]; `change` is merged into the pod template of `web`.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn changed(test: &str, replicas: usize, change: &Value) -> Result<Self> {
        let mut template = template("web", &ECHO);
        merge(&mut template, change.clone());
        let mut web = deployment("web", replicas, &template);
        web.push(service("web", &PORTS));
        Self::of(test, replicas, web).await
    }

    /// As [`Scene::injected`], to be restarted under load: the application ends at once when told to,
    /// and both it and its sidecar are promised the CPU that a sidecar asks for by default. Pods that
    /// are promised next to none may wait for it until after their end, with requests in hand that
    /// nobody can answer any more.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn to_restart(test: &str, replicas: usize) -> Result<Self> {
        let mut application = container(&[&ECHO[..], &["--exit-on-term"]].concat());
        let cpu = json!({ "resources": { "requests": { "cpu": "100m" } } });
        merge(&mut application, cpu);
        let change = json!({
            "metadata": { "annotations": { "sidecar.istio.io/proxyCPU": "100m" } },
            "spec": { "containers": [application] },
        });
        Self::changed(test, replicas, &change).await
    }

    /// As [`Scene::injected`], with other objects that make the `replicas` pods of `web`.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn of(test: &str, replicas: usize, web: Vec<Value>) -> Result<Self> {
        let bed = Bed::injected(test).await?;
        bed.apply(web.into_iter().chain(client("client"))).await?;
        Self::found(bed, replicas).await
    }

    /// The scene that plays in a namespace, once its pods serve.
    ///
    /// # Errors
    /// When a pod does not become ready.
    pub async fn found(bed: Bed, replicas: usize) -> Result<Self> {
        let client = bed.ready("app=client", 1).await?.remove(0).name_any();
        let web = bed.serving("app=web", replicas, 8080).await?;
        let web = web.iter().map(ResourceExt::name_any).collect();
        let scene = Self { bed, client, web };
        scene.in_dns("web").await?;
        Ok(scene)
    }

    /// Waits until DNS has a name of the namespace.
    ///
    /// # Errors
    /// When it does not learn of it in time.
    pub async fn in_dns(&self, name: &str) -> Result<()> {
        let name = format!("{name}.{}.svc.cluster.local", self.bed.namespace);
        let found = async || self.client(&["dns", &name]).await;
        eventually(&format!("{name} in DNS"), found).await.map(drop)
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

    /// Replaces the pods of `web` by new ones and waits until all of them are there. The names in
    /// [`Scene::web`] are of the first ones.
    ///
    /// # Errors
    /// When the new pods are not ready in time.
    pub async fn restart(&self) -> Result<()> {
        let web = "deployment/web";
        self.bed.kubectl(&["rollout", "restart", web]).await?;
        let wait = ["rollout", "status", web, "--timeout=120s"];
        self.bed.kubectl(&wait).await.map(drop)
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

/// A server on a node's own address, at a port that no Service has: for the mesh it is outside.
pub struct Outside {
    /// Where it runs.
    pub bed: Bed,
    /// Where it answers HTTP.
    pub address: SocketAddr,
}

impl Outside {
    /// Starts one, on any node.
    ///
    /// # Errors
    /// When its pod does not become ready.
    pub async fn start(test: &str) -> Result<Self> {
        let bed = Bed::plain(test).await?;
        let port = 20000 + fastrand::u16(..10000);
        let mut host = template("host", &["echo", "--http", &port.to_string()]);
        merge(&mut host, json!({ "spec": { "hostNetwork": true } }));
        bed.apply(deployment("host", 1, &host)).await?;
        let pod = bed.serving("app=host", 1, port).await?.remove(0);
        let address = pod.status.and_then(|status| status.host_ip);
        let address = address.context("a pod without the address of its host")?;
        Ok(Self {
            bed,
            address: SocketAddr::new(address.parse()?, port),
        })
    }
}
