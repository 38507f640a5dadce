//! The way into the demo from the host: a Service of type LoadBalancer in front of the page.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::kubectl::Kubectl;

/// The Service's name.
const NAME: &str = "bookinfo";

/// How long a cluster may take to give the Service an address. One that has no load balancers
/// never does.
const ADDRESS: Duration = Duration::from_secs(20);

/// How long one page may take.
const PAGE: Duration = Duration::from_secs(10);

/// Makes the Service and returns its address, if it gets one.
///
/// # Errors
/// When the cluster refuses the Service.
pub(crate) fn open(kubectl: &Kubectl, namespace: &str) -> Result<Option<String>> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": "productpage"},
            "ports": [{"name": "http", "port": 80, "targetPort": 9080}],
        },
    });
    kubectl.apply(&service)?;
    let deadline = Instant::now() + ADDRESS;
    let get = [
        "get",
        "service",
        NAME,
        "--namespace",
        namespace,
        "--output",
        "json",
    ];
    while Instant::now() < deadline {
        let service = serde_json::from_str(&kubectl.read(&get)?).context("Reading a Service")?;
        if let Some(address) = address(service) {
            return Ok(Some(address));
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(None)
}

/// Takes the Service away.
///
/// # Errors
/// When the cluster does not answer.
pub(crate) fn close(kubectl: &Kubectl, namespace: &str) -> Result<()> {
    kubectl.read(&[
        "delete",
        "service",
        NAME,
        "--namespace",
        namespace,
        "--ignore-not-found",
    ])?;
    Ok(())
}

/// Opens the page `times` times, each by a new connection.
///
/// # Errors
/// When an answer is anything but 200.
pub(crate) fn visit(address: &str, times: u32) -> Result<()> {
    for _ in 0..times {
        let answer = get(address).with_context(|| format!("Opening the page at {address}"))?;
        let status = answer.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            bail!("Opening the page at {address}: the answer was {status:?}");
        }
    }
    Ok(())
}

fn address(service: Service) -> Option<String> {
    let ingress = service.status?.load_balancer?.ingress?.into_iter().next()?;
    ingress.ip.or(ingress.hostname)
}

fn get(address: &str) -> Result<String> {
    let mut connection = TcpStream::connect((address, 80))?;
    connection.set_read_timeout(Some(PAGE))?;
    let head = format!("GET /productpage HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
