//! A namespace whose pods are all redirected by the same back end.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use lateen_tests::bed::manifest::{merge, pod, service, service_account, template};
use lateen_tests::bed::scene::{ECHO, PORTS};
use lateen_tests::bed::{Backend, Bed, Seen, eventually};
use serde_json::{Value, json};

/// Where pods of both families' addresses talk to each other.
pub(super) struct Stage {
    pub(super) bed: Bed,
    backend: Backend,
    /// Variables of every proxy.
    variables: &'static [(&'static str, &'static str)],
}

/// The addresses of a pod or of a Service.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) v4: IpAddr,
    pub(super) v6: IpAddr,
}

impl Addresses {
    pub(super) fn both(self) -> [IpAddr; 2] {
        [self.v4, self.v6]
    }

    fn of(addresses: &[String]) -> Result<Self> {
        let one = |is_v6: bool| -> Result<IpAddr> {
            let mut family = addresses.iter().filter(|it| it.contains(':') == is_v6);
            Ok(family
                .next()
                .context("the cluster is not dual stack")?
                .parse()?)
        };
        Ok(Self {
            v4: one(false)?,
            v6: one(true)?,
        })
    }
}

/// A pod that waits for commands, with a change of what it is.
pub(super) fn client(name: &str, change: Value) -> Value {
    changed(name, &["sleep"], change)
}

/// A pod that echoes on every port, with a change of what it is.
pub(super) fn server(name: &str, change: Value) -> Value {
    changed(name, &ECHO, change)
}

fn changed(name: &str, arguments: &[&str], change: Value) -> Value {
    let mut object = pod(name, &template(name, arguments));
    merge(&mut object, change);
    object
}

/// A change: an annotation.
pub(super) fn annotated(annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

/// A change: no sidecar.
pub(super) fn outside() -> Value {
    json!({ "metadata": { "labels": { "sidecar.istio.io/inject": "false" } } })
}

/// The Service `web`, of every port.
pub(super) fn web() -> Value {
    service("web", &PORTS)
}

/// A Service of `web`'s pods that has IPv6 alone.
pub(super) fn web6() -> Value {
    let mut service = web();
    let spec = json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"] });
    merge(
        &mut service,
        json!({ "metadata": { "name": "web6" }, "spec": spec }),
    );
    service
}

impl Stage {
    /// An empty namespace.
    pub(super) async fn open(test: &str, backend: Backend) -> Result<Self> {
        Self::with(test, backend, &[]).await
    }

    /// An empty namespace; the proxies of its pods will have these variables.
    pub(super) async fn with(
        test: &str,
        backend: Backend,
        variables: &'static [(&'static str, &'static str)],
    ) -> Result<Self> {
        let name = format!("{test}-{}", backend.name());
        let bed = Bed::injected(&name).await?;
        Ok(Self {
            bed,
            backend,
            variables,
        })
    }

    /// What a pod, or a template of pods, has to say for the back end.
    pub(super) fn redirected(&self, mut object: Value) -> Value {
        merge(&mut object, self.backend.change(self.variables));
        object
    }

    /// Starts pods side by side, waits until they serve, and makes sure of what redirects them.
    pub(super) async fn enter(&self, pods: impl IntoIterator<Item = Value>) -> Result<()> {
        let pods = pods.into_iter().map(|pod| self.start(pod));
        try_join_all(pods).await.map(drop)
    }

    async fn start(&self, pod: Value) -> Result<()> {
        let text = |pointer| pod.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name")
            .context("a pod without a name")?
            .to_owned();
        let arguments = pod.pointer("/spec/containers/0/args");
        let mut arguments = arguments.and_then(Value::as_array).into_iter().flatten();
        // What listens on localhost only is not asked from without.
        let serves = arguments.next().is_some_and(|first| first == "echo")
            && arguments.all(|argument| argument != "--bind");
        let pod = self.redirected(pod);
        self.bed.apply([service_account(&name), pod]).await?;
        let selector = format!("app={name}");
        let started = if serves {
            self.bed.serving(&selector, 1, 8080).await?
        } else {
            self.bed.ready(&selector, 1).await?
        };
        self.made_sure_of(&started).await
    }

    /// That pods which are redirected at all are redirected by the right back end.
    pub(super) async fn made_sure_of(&self, pods: &[Pod]) -> Result<()> {
        for pod in pods {
            let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter());
            let mut containers = containers.flatten();
            if containers.any(|container| container.name == "istio-init") {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                self.bed.redirected_by(name, self.backend).await?;
            }
        }
        Ok(())
    }

    /// Waits until kube-proxy leads a pod without sidecar to a Service.
    pub(super) async fn led(&self, pod: &str, service: &str) -> Result<()> {
        for address in self.cluster_addresses(service).await?.both() {
            let what = format!("a way from {pod} to {service} by {address}");
            eventually(&what, || self.plain(pod, address, 8080)).await?;
        }
        Ok(())
    }

    /// What the server behind a URL saw of a pod's request.
    pub(super) async fn seen(&self, pod: &str, url: &str) -> Result<Seen> {
        self.bed.seen(pod, url).await
    }

    /// What the server at an address saw of a pod's request.
    pub(super) async fn seen_at(&self, pod: &str, address: IpAddr, port: u16) -> Result<Seen> {
        let authority = SocketAddr::new(address, port);
        self.seen(pod, &format!("http://{authority}/")).await
    }

    /// A request of a pod comes with its own certificate.
    pub(super) async fn encrypted(&self, pod: &str, address: IpAddr, port: u16) -> Result<Seen> {
        let seen = self.seen_at(pod, address, port).await?;
        let own = seen.client() == Some(pod) && seen.came_by_sidecar();
        ensure!(own, "{pod} to {address}:{port}: {seen:?}");
        Ok(seen)
    }

    /// A request of a pod comes without a certificate, past the pod's own sidecar.
    pub(super) async fn plain(&self, pod: &str, address: IpAddr, port: u16) -> Result<Seen> {
        let seen = self.seen_at(pod, address, port).await?;
        ensure!(
            seen.client().is_none(),
            "{pod} to {address}:{port}: {seen:?}"
        );
        Ok(seen)
    }

    /// Runs the sample client in a pod; it must succeed.
    pub(super) async fn run(&self, pod: &str, arguments: &[&str]) -> Result<String> {
        let mut command = vec!["/usr/local/bin/lateen-samples", "client"];
        command.extend_from_slice(arguments);
        let printed = self.bed.run(pod, "app", &command).await?.stdout();
        printed.with_context(|| format!("{arguments:?} in {pod}"))
    }

    /// The addresses of a pod.
    pub(super) async fn addresses(&self, pod: &str) -> Result<Addresses> {
        let status = self.bed.api::<Pod>().get(pod).await?.status;
        let addresses = status.and_then(|status| status.pod_ips);
        let addresses: Vec<String> = addresses.into_iter().flatten().map(|it| it.ip).collect();
        Addresses::of(&addresses).with_context(|| format!("the addresses of the pod {pod}"))
    }

    /// The cluster's addresses of a Service.
    pub(super) async fn cluster_addresses(&self, service: &str) -> Result<Addresses> {
        let spec = self.bed.api::<Service>().get(service).await?.spec;
        let addresses = spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
        Addresses::of(&addresses).with_context(|| format!("the addresses of the Service {service}"))
    }
}
