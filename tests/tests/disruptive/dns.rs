//! The cluster's name servers go away. Where DNS is captured, names of the mesh outlive them.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use lateen_tests::bed::scene::Scene;
use lateen_tests::bed::{Backend, Bed};

use crate::mesh::scale;

const NAME_SERVERS: &str = "coredns";

#[tokio::test]
async fn captured_names_are_known_without_name_servers() -> Result<()> {
    let capture = Backend::Nftables.change(&[("ISTIO_META_DNS_CAPTURE", "true")]);
    let scene = Scene::changed("no-dns", 1, &capture).await?;
    let kube_system = Bed::existing("kube-system").await?;
    let deployment = kube_system.api::<Deployment>().get(NAME_SERVERS).await?;
    let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    scale(&kube_system, NAME_SERVERS, 0).await?;
    let asked = names_are_known(&scene).await;
    scale(&kube_system, NAME_SERVERS, usize::try_from(replicas)?).await?;
    asked?;
    scene.in_dns("web").await?;
    scene.bed.end().await
}

async fn names_are_known(scene: &Scene) -> Result<()> {
    let (bed, web) = (&scene.bed, &scene.web[0]);
    // Whose DNS is not captured finds nobody: the servers are gone indeed.
    let whole = format!("web.{}.svc.cluster.local", bed.namespace);
    ensure!(
        scene.client(&["dns", &whole]).await.is_err(),
        "there is a name server left"
    );
    let client = ["/usr/local/bin/lateen-samples", "client", "dns"];
    for name in [whole.as_str(), "kubernetes.default.svc.cluster.local"] {
        for over in [None, Some("--tcp")] {
            let mut command = client.to_vec();
            command.push(name);
            command.extend(over);
            bed.run(web, "app", &command).await?.stdout()?;
        }
    }
    let seen = bed.seen(web, "http://web:8080/").await?;
    ensure!(seen.client() == Some("web"), "{seen:?}");
    Ok(())
}
