//! An application that asks for more names than a mesh has: it gets what everybody gets who asks for
//! a host that the mesh does not know, what it costs is bounded, and nobody else notices. Takes minutes,
//! since control bounds how many new names of one proxy it answers in a second.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use lateen_tests::bed::inside::{connect_within, network_of};
use lateen_tests::bed::scene::{Outside, Scene};
use lateen_tests::bed::{Bed, Metrics};

/// How many hosts the application asks for: until every limit is reached, and then on and on.
const HOSTS: [u32; 2] = [20_000, 80_000];
/// Connections that ask at the same time, to each of two destinations.
const CONNECTIONS: u32 = 8;
/// Names that a proxy follows at a time.
const FOLLOWED: f64 = 1_000.0;
/// Series of one metric that hosts outside the mesh may have, with those of the mesh.
const SERIES: usize = 120;
/// What the sidecar may have in the end, and by how much it may grow beyond its limits.
const SIDECAR_MEMORY: f64 = 32e6;
const SIDECAR_GROWTH: f64 = 4e6;
/// What control asks the scheduler for, and must live with.
const CONTROL_MEMORY: f64 = (64 << 20) as f64;

/// Asks for `count` hosts that nobody has, over one connection; all must be answered alike.
async fn ask(network: &Path, address: SocketAddr, count: u32) -> Result<()> {
    let stream = connect_within(network, address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for _ in 0..count {
        let host = format!("{:016x}.example", fastrand::u64(..));
        let request = Request::get("/")
            .header("host", &host)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status == 200, "{host} at {address}: {status} {body:?}");
    }
    connection.abort();
    Ok(())
}

/// Calls `web` by another client until told to stop, now and then by a name it has not used before;
/// how many requests were answered.
async fn call_until(scene: &Scene, stop: &AtomicBool) -> Result<u64> {
    let namespace = &scene.bed.namespace;
    let hosts = [
        "web",
        &format!("web.{namespace}"),
        &format!("web.{namespace}.svc"),
    ];
    let mut answered = 0;
    for host in hosts.iter().cycle() {
        let url = format!("http://{host}:8080/");
        let report = scene
            .http(&url, &["--requests", "100", "--rate", "50"])
            .await?
            .all_succeeded()?;
        answered += report.succeeded;
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    Ok(answered)
}

fn memory(metrics: &Metrics) -> f64 {
    metrics.sum("process_resident_memory_bytes", &[])
}

/// The greatest memory of a replica of control.
async fn memory_of_control() -> Result<f64> {
    let system = Bed::existing("istio-system").await?;
    let mut greatest: f64 = 0.0;
    for pod in system.pods("app=istiod").await? {
        let metrics = system
            .metrics_at(&pod.name_any(), 15014, "/metrics")
            .await?;
        greatest = greatest.max(memory(&metrics));
    }
    ensure!(greatest > 0.0, "control does not tell its memory");
    Ok(greatest)
}

/// The address of the Service `web`.
async fn service(scene: &Scene) -> Result<SocketAddr> {
    let service = scene.bed.api::<Service>().get("web").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    Ok(SocketAddr::new(
        address.context("no address")?.parse()?,
        8080,
    ))
}

#[tokio::test]
async fn a_hundred_thousand_unknown_hosts_harm_nobody() -> Result<()> {
    let (scene, others, outside) = tokio::try_join!(
        Scene::injected("names", 1),
        Scene::injected("names-others", 1),
        Outside::start("names-outside"),
    )?;
    let destinations = [service(&scene).await?, outside.address];
    let client = scene.bed.api::<Pod>().get(&scene.client).await?;
    let network = network_of(&client)?;
    scene.http("http://web:8080/", &[]).await?.all_succeeded()?;

    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let asking = async {
        let mut memories = Vec::new();
        for hosts in HOSTS {
            memories.push(memory(&scene.bed.metrics(&scene.client).await?));
            let count = hosts / CONNECTIONS / 2;
            let connections = (0..CONNECTIONS).flat_map(|_| destinations);
            try_join_all(connections.map(|address| ask(&network, address, count))).await?;
        }
        anyhow::Ok(memories)
    };
    let asking = async {
        let asked = asking.await;
        stop.store(true, Ordering::SeqCst);
        asked
    };
    let (memories, answered) = tokio::join!(asking, call_until(&others, &stop));
    let (memories, took) = (memories?, start.elapsed());
    ensure!(answered? >= 200, "nobody else was served meanwhile");

    let metrics = scene.bed.metrics(&scene.client).await?;
    let names = metrics.sum("lateen_proxy_names", &[]);
    ensure!(names <= FOLLOWED, "{names} names are followed");
    let beyond = metrics.sum("lateen_proxy_names_over_limit_total", &[]);
    let most = f64::from(HOSTS.iter().sum::<u32>()) - FOLLOWED;
    ensure!(beyond >= most, "{beyond} were counted as too many");
    let series = metrics.series("istio_requests_total", &[]).count();
    ensure!(series <= SERIES, "there are {series} series");
    let (sidecar, control) = (memory(&metrics), memory_of_control().await?);
    println!(
        "Bytes of the sidecar before, after {HOSTS:?} unknown hosts: {memories:?}, {sidecar}; \
         of control: {control}; in {took:.1?}."
    );
    ensure!(sidecar <= SIDECAR_MEMORY, "the sidecar has {sidecar} bytes");
    let grown = sidecar - memories[1];
    ensure!(grown <= SIDECAR_GROWTH, "it grew by {grown} bytes and on");
    ensure!(control <= CONTROL_MEMORY, "control has {control} bytes");
    outside.bed.end().await?;
    others.bed.end().await?;
    scene.bed.end().await
}
