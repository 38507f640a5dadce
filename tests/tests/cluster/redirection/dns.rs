//! DNS capture: names are what they are without it, and the sidecar is asked.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use lateen_tests::bed::manifest::{merge, service, template, workload};
use lateen_tests::bed::scene::ECHO;
use lateen_tests::bed::{Backend, eventually};
use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::{Stage, client, server, web, web6};

const CAPTURE: &[(&str, &str)] = &[("ISTIO_META_DNS_CAPTURE", "true")];
const QUESTIONS: &str = "istio_agent_dns_requests_total";
const MESH_ANSWERS: &str = "lateen_proxy_dns_mesh_answers_total";

pub(super) async fn captured_dns_answers_over_udp_and_tcp(backend: Backend) -> Result<()> {
    let stage = Stage::with("dns", backend, CAPTURE).await?;
    let mut database = service("db", &[("http", 8080, 8080), ("tcp", 9000, 9000)]);
    merge(&mut database, json!({ "spec": { "clusterIP": "None" } }));
    stage.bed.apply([web(), web6(), database]).await?;
    let set = json!({ "replicas": 2, "serviceName": "db", "podManagementPolicy": "Parallel" });
    let replica = stage.redirected(template("db", &ECHO));
    stage
        .bed
        .apply(workload("StatefulSet", "db", &set, &replica))
        .await?;
    stage
        .enter([server("web", json!({})), client("client", json!({}))])
        .await?;
    stage
        .made_sure_of(&stage.bed.serving("app=db", 2, 8080).await?)
        .await?;

    let asked = stage.bed.metrics("client").await?;
    let mut questions = 0;
    for (name, addresses) in names(&stage).await? {
        for tcp in [false, true] {
            for v6 in [false, true] {
                let wanted = addresses.iter().filter(|address| address.is_ipv6() == v6);
                let wanted: BTreeSet<IpAddr> = wanted.copied().collect();
                let found = ask(&stage, &name, v6, tcp).await?.addresses;
                ensure!(
                    found.as_ref() == Some(&wanted),
                    "{name}: {found:?}, not {wanted:?}"
                );
                questions += 1;
            }
        }
    }
    let nobody = format!("nobody.{}.svc.cluster.local", stage.bed.namespace);
    for tcp in [false, true] {
        let error = ask(&stage, &nobody, false, tcp).await?.error;
        ensure!(
            error.is_some_and(|error| error.contains("no such name")),
            "{nobody} is known"
        );
        questions += 1;
    }
    let now = stage.bed.metrics("client").await?;
    let more = |name| now.sum(name, &[]) - asked.sum(name, &[]);
    ensure!(
        more(QUESTIONS) == f64::from(questions),
        "{} of {questions}",
        more(QUESTIONS)
    );
    ensure!(
        more(MESH_ANSWERS) > 0.0,
        "the sidecar passed everything on: {}",
        now.text()
    );
    resolved_by_applications(&stage).await?;
    stage.bed.end().await
}

/// Names, and all addresses that each has.
async fn names(stage: &Stage) -> Result<Vec<(String, BTreeSet<IpAddr>)>> {
    let whole = |name: &str| format!("{name}.{}.svc.cluster.local", stage.bed.namespace);
    let (first, second) = (
        stage.addresses("db-0").await?,
        stage.addresses("db-1").await?,
    );
    let both = [first.both(), second.both()].concat();
    let kubernetes: Api<Service> = Api::namespaced(stage.bed.client.clone(), "default");
    let web6 = stage.bed.api::<Service>().get("web6").await?;
    Ok(vec![
        (
            whole("web"),
            BTreeSet::from(stage.cluster_addresses("web").await?.both()),
        ),
        (whole("web6"), of_service(web6)?),
        (whole("db"), both.into_iter().collect()),
        (whole("db-0.db"), BTreeSet::from(first.both())),
        (
            "kubernetes.default.svc.cluster.local".to_owned(),
            of_service(kubernetes.get("kubernetes").await?)?,
        ),
    ])
}

fn of_service(service: Service) -> Result<BTreeSet<IpAddr>> {
    let addresses = service.spec.and_then(|spec| spec.cluster_ips);
    let addresses = addresses.context("a Service without addresses")?;
    let addresses = addresses.iter().map(|address| address.parse());
    addresses
        .collect::<Result<_, _>>()
        .context("an address of a Service")
}

/// What came back to a question.
#[derive(Debug, Deserialize)]
struct Answer {
    addresses: Option<BTreeSet<IpAddr>>,
    error: Option<String>,
}

async fn ask(stage: &Stage, name: &str, v6: bool, tcp: bool) -> Result<Answer> {
    let kind = if v6 { "aaaa" } else { "a" };
    let client = ["/usr/local/bin/lateen-samples", "client", "dns", name];
    let mut command = [&client[..], &["--type", kind]].concat();
    command.extend(tcp.then_some("--tcp"));
    // No address at all is a failure to the client, though not here.
    let output = stage.bed.run("client", "app", &command).await?;
    let read: Result<Value, _> = serde_json::from_str(&output.stdout);
    read.and_then(serde_json::from_value)
        .with_context(|| format!("{command:?}: {output:?}"))
}

/// The C library's resolver, with its search domains, finds whom it always did.
async fn resolved_by_applications(stage: &Stage) -> Result<()> {
    for (host, pod) in [("web", "web"), ("web6", "web"), ("db-1.db", "db-1")] {
        let url = format!("http://{host}:8080/");
        let seen = eventually(&url, || stage.seen("client", &url)).await?;
        ensure!(
            seen.pod == pod && seen.client() == Some("client"),
            "{host}: {seen:?}"
        );
    }
    Ok(())
}
