//! Whatever pod the API server accepts, it accepts with a sidecar too, and injecting that again changes
//! nothing: asked of the API server itself, in dry runs, about pods of all sorts.

mod any_pod;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use lateen_tests::bed::admission::injected_by;
use lateen_tests::bed::manifest::service_account;
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

/// How many pods are asked about, and for how long at most.
const PODS: usize = 300;
const TIME: Duration = Duration::from_secs(20);

/// How many questions are open at a time.
const AT_A_TIME: usize = 8;

/// Repeats a run: the number that a failure names.
const SEED: &str = "LATEEN_SEED";

/// What came of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The API server does not want it as it is.
    Refused,
    /// It is in the host's network, so it stays as it is.
    LeftAlone,
    Injected,
}

#[tokio::test]
async fn whatever_pod_is_accepted_is_accepted_with_a_sidecar() -> Result<()> {
    let (plain, injected) = (
        Bed::labelled("acceptance-plain", json!({ "istio-injection": "disabled" })).await?,
        Bed::injected("acceptance").await?,
    );
    for bed in [&plain, &injected] {
        bed.apply([service_account("web")]).await?;
        let default = async || bed.api::<ServiceAccount>().get("default").await;
        eventually("the default service account", default).await?;
    }
    let seed = std::env::var(SEED).map_or_else(|_| Ok(fastrand::u64(..)), |seed| seed.parse())?;
    let (mut random, start) = (Rng::with_seed(seed), Instant::now());
    let pods = stream::repeat_with(|| any_pod::any_pod(&mut random)).take(PODS);
    let fates: Vec<Fate> = pods
        .take_while(|_| std::future::ready(start.elapsed() < TIME))
        .map(|pod| fate(&plain, &injected, pod))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
        .with_context(|| format!("To repeat this, set {SEED}={seed}"))?;

    let count = |fate| fates.iter().filter(|&&other| other == fate).count();
    let (refused, injections) = (count(Fate::Refused), count(Fate::Injected));
    ensure!(
        injections > 20 && injections > refused,
        "too few of the pods say anything: {refused} were refused and {injections} injected"
    );
    plain.end().await?;
    injected.end().await
}

/// Asks about a pod alone, with a sidecar, and with that sidecar once more.
async fn fate(plain: &Bed, injected: &Bed, pod: Value) -> Result<Fate> {
    if plain.admit(&pod).await.is_err() {
        return Ok(Fate::Refused);
    }
    let context = || format!("This pod is accepted in a namespace that is not injected: {pod}.");
    let once = injected.admit(&pod).await;
    let once = as_new(
        once.context("It is not in one that is")
            .with_context(context)?,
    );
    let is_in_host_network = pod["spec"]["hostNetwork"] == true;
    ensure!(
        injected_by(&once).is_some() != is_in_host_network,
        "{} It has a sidecar where it should not, or none.",
        context()
    );
    if is_in_host_network {
        return Ok(Fate::LeftAlone);
    }
    let again = injected.admit(&serde_json::to_value(&once)?).await;
    let again = as_new(
        again
            .context("With a sidecar it is not")
            .with_context(context)?,
    );
    ensure!(
        once == again,
        "{}\nIt becomes: {}\nand then: {}",
        context(),
        serde_json::to_string(&once)?,
        serde_json::to_string(&again)?
    );
    Ok(Fate::Injected)
}

/// The pod without what the API server says of the moment that it was made in.
fn as_new(mut pod: Pod) -> Pod {
    pod.status = None;
    pod.metadata.uid = None;
    pod.metadata.creation_timestamp = None;
    pod.metadata.managed_fields = None;
    pod
}
