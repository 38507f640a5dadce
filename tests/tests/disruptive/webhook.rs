//! Admission goes on while replicas of the webhook come and go, and what people read when it does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use lateen_tests::bed::Bed;
use lateen_tests::bed::admission::sidecar;
use lateen_tests::bed::manifest::{client, deployment, merge, pod, service_account, template};
use lateen_tests::bed::{is_ready, within};
use serde_json::{Value, json};

use crate::mesh::{INJECTOR, INJECTORS, kill, names, rolled_out, system, with_pod};

/// Creates pods, in a dry run, until told to stop: how many were admitted, and what was said of the
/// others. None may be admitted without a sidecar.
async fn admit_until(bed: &Bed, pod: &Value, stop: &AtomicBool) -> Result<(usize, Vec<String>)> {
    let (mut admitted, mut refused) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        match bed.admit(pod).await {
            Ok(pod) => {
                ensure!(sidecar(&pod).is_some(), "a pod without a sidecar");
                admitted += 1;
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    Ok((admitted, refused))
}

#[tokio::test]
async fn deleting_a_replica_fails_no_admission() -> Result<()> {
    let (bed, pod) = with_pod("admission").await?;
    let system = system().await?;
    let stop = AtomicBool::new(false);
    let delete = async {
        let result = async {
            for pod in names(&system, INJECTORS).await? {
                system.kubectl(&["delete", "pod", &pod]).await?;
                rolled_out(&system, INJECTOR).await?;
            }
            anyhow::Ok(())
        }
        .await;
        stop.store(true, Ordering::SeqCst);
        result
    };
    let (deleted, admitted) = tokio::join!(delete, admit_until(&bed, &pod, &stop));
    deleted?;
    let (admitted, refused) = admitted?;
    ensure!(refused.is_empty(), "{refused:#?}");
    ensure!(
        admitted >= 50,
        "only {admitted} pods were admitted meanwhile"
    );
    bed.end().await
}

/// No pod gets past the injector, whoever creates one reads which webhook failed, and controllers make
/// their pods a moment later.
#[tokio::test]
async fn killing_all_replicas_mid_request_is_told_and_passes() -> Result<()> {
    let (bed, pod) = with_pod("mid-request").await?;
    let system = system().await?;
    let stop = AtomicBool::new(false);
    let killing = async {
        let result = async {
            let before = names(&system, INJECTORS).await?;
            for pod in &before {
                kill(&system, pod).await?;
            }
            bed.apply(deployment("late", 2, &template("late", &["sleep"])))
                .await?;
            rolled_out(&system, INJECTOR).await?;
            bed.ready("app=late", 2).await
        }
        .await;
        stop.store(true, Ordering::SeqCst);
        result
    };
    let asking = async {
        let clients = (0..8).map(|_| admit_until(&bed, &pod, &stop));
        futures::future::try_join_all(clients).await
    };
    let (made, asked) = tokio::join!(killing, asking);
    for pod in made? {
        ensure!(sidecar(&pod).is_some(), "{:?} has no sidecar", pod.metadata);
    }
    let refused: Vec<String> = asked?
        .into_iter()
        .flat_map(|(_, refused)| refused)
        .collect();
    ensure!(!refused.is_empty(), "nobody noticed");
    let entry = "failed calling webhook \"namespace.sidecar-injector.istio.io\"";
    let unclear = refused.iter().find(|said| !said.contains(entry));
    ensure!(unclear.is_none(), "{unclear:?} does not name the webhook");
    println!("{} of the pods were refused meanwhile.", refused.len());
    bed.end().await
}

#[tokio::test]
async fn after_a_kill_fifty_pods_are_ready_within_a_minute() -> Result<()> {
    let bed = Bed::injected("fifty").await?;
    let system = system().await?;
    let replica = names(&system, INJECTORS).await?.remove(0);
    kill(&system, &replica).await?;
    let start = Instant::now();
    let web = template("web", &["echo", "--http", "8080"]);
    bed.apply(deployment("web", 50, &web)).await?;
    within(Duration::from_secs(60), "fifty ready pods", async || {
        let pods = bed.pods("app=web").await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        ensure!(ready == 50, "{ready} are ready");
        Ok(())
    })
    .await?;
    println!("50 pods were ready after {:?}.", start.elapsed());
    rolled_out(&system, INJECTOR).await?;
    bed.end().await
}

/// They wait behind a gate, so that only admission is under load.
#[tokio::test]
async fn a_thousand_pods_created_at_once_are_injected_within_a_minute() -> Result<()> {
    const PODS: usize = 1_000;
    /// How many are on their way at the same time.
    const AT_ONCE: usize = 100;
    let bed = Bed::injected("thousand").await?;
    bed.apply([service_account("web")]).await?;
    let mut gated = template("web", &["sleep"]);
    let gates = json!([{ "name": "lateen.test/waits-for-nobody" }]);
    merge(&mut gated, json!({ "spec": { "schedulingGates": gates } }));

    let api = bed.api::<Pod>();
    let start = Instant::now();
    let create = async |number: usize| {
        let pod: Pod = serde_json::from_value(pod(&format!("web-{number}"), &gated))?;
        anyhow::Ok(api.create(&PostParams::default(), &pod).await?)
    };
    let created = stream::iter(0..PODS).map(create).buffer_unordered(AT_ONCE);
    created.try_for_each(async |_| Ok(())).await?;
    let took = start.elapsed();
    println!("{PODS} pods were created after {took:?}.");
    let stored = api.list(&ListParams::default()).await?.items;
    ensure!(stored.len() == PODS, "there are {} pods", stored.len());
    let injected = stored.iter().filter(|pod| sidecar(pod).is_some()).count();
    ensure!(injected == PODS, "{injected} have a sidecar");
    ensure!(took < Duration::from_secs(60), "it took {took:?}");
    let now = DeleteParams::default().grace_period(0);
    api.delete_collection(&now, &ListParams::default()).await?;
    bed.end().await
}

#[tokio::test]
async fn the_mesh_restarts_in_a_labelled_namespace_of_its_own() -> Result<()> {
    let system = system().await?;
    let label = [
        "label",
        "namespace",
        "istio-system",
        "--overwrite",
        "istio-injection=enabled",
    ];
    system.kubectl(&label).await?;
    let restarted = async {
        // Everything at once: nobody is left who could inject.
        for selector in [INJECTORS, "app=istiod"] {
            for pod in names(&system, selector).await? {
                kill(&system, &pod).await?;
            }
        }
        rolled_out(&system, "istiod").await?;
        rolled_out(&system, INJECTOR).await
    }
    .await;
    system
        .kubectl(&["label", "namespace", "istio-system", "istio-injection-"])
        .await?;
    restarted?;
    let bed = Bed::injected("after-restart").await?;
    bed.apply(client("client")).await?;
    bed.ready("app=client", 1).await?;
    bed.end().await
}
