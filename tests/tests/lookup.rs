//! DNS capture with everything that has a part in it: the kernel's rules by either back end, our proxy,
//! control, name servers of both families and one in the pod, and the C library as the client.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::eventually;
use lateen_tests::lookup::{Lookup, Over};

/// A host of the mesh, and its address.
const MESH_HOST: (&str, &str) = ("reviews.bench.svc.cluster.local", "10.96.0.11");

/// Questions to every server over both transports: each comes back from whom was asked, and the servers
/// get them from the proxy in turn. What is of the mesh they never get.
async fn look_up(lookup: &Lookup) -> Result<()> {
    let mut questions = learn(lookup).await?;
    let before = lookup.asked();
    for server in lookup.servers() {
        for over in [Over::Udp, Over::Tcp] {
            let other = format!("host-{questions}.example.org");
            for (host, expected) in [MESH_HOST, (&other, "192.0.2.")] {
                let address = lookup.ask(server, over, host).await;
                let address = address.with_context(|| format!("{host} of {server} {over:?}"))?;
                ensure!(address.to_string().starts_with(expected), "{address}");
                questions += 1;
            }
        }
    }
    let asked = lookup.asked();
    let each_once = before.iter().map(|counts| counts.map(|count| count + 1));
    ensure!(asked.iter().copied().eq(each_once), "{before:?} {asked:?}");

    // Both families at once, from one socket.
    let found = lookup.library("library.example.org").await?;
    ensure!(found.contains("192.0.2."), "{found}");
    questions += 2;

    // A question that went in circles would be counted more than once.
    let forwarded: usize = lookup.asked().iter().flatten().sum();
    let metrics = lookup.metrics().await?;
    for (name, count) in [
        ("istio_agent_dns_requests_total", questions),
        ("istio_agent_dns_upstream_requests_total", forwarded),
        ("istio_agent_dns_upstream_failures_total", 0),
    ] {
        let counted = metrics.sum(name, &[]);
        ensure!(
            counted == count as f64,
            "{name} is not {count}: {}",
            metrics.text()
        );
    }
    Ok(())
}

/// Asks until control has answered, which nobody waits for; says how many questions it took.
async fn learn(lookup: &Lookup) -> Result<usize> {
    let server = lookup.servers().next().context("no name server")?;
    let mut questions = 0;
    eventually("an answer of the mesh", async || {
        questions += 1;
        let address = lookup.ask(server, Over::Udp, MESH_HOST.0).await?;
        ensure!(address.to_string() == MESH_HOST.1, "{address}");
        Ok(())
    })
    .await?;
    Ok(questions)
}

/// Our programs are beside the one that cargo names.
async fn look_up_with(backend: &str) -> Result<()> {
    let program = Path::new(env!("CARGO_BIN_EXE_lateen-offline-control"));
    let folder = program.parent().context("a program in no folder")?;
    let lookup = Lookup::start(backend, folder).await?;
    let found = look_up(&lookup).await;
    lookup.end().await?;
    found
}

#[tokio::test]
async fn questions_go_by_the_proxy_with_the_rules_of_iptables() -> Result<()> {
    look_up_with("iptables").await
}

#[tokio::test]
async fn questions_go_by_the_proxy_with_the_rules_of_nftables() -> Result<()> {
    look_up_with("nftables").await
}
