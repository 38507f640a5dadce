//! Probes of every kind pass and fail rightly through the rewrite: the kubelet's own counters say what
//! came of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Container, Pod};
use lateen_tests::bed::manifest::{container, merge, pod, service_account, template};
use lateen_tests::bed::{Bed, Metrics, eventually};
use serde_json::{Value, json};

/// The fields of a container, and what the kubelet calls them.
const PROBES: [(&str, &str); 3] = [
    ("startupProbe", "Startup"),
    ("readinessProbe", "Readiness"),
    ("livenessProbe", "Liveness"),
];

/// A way to ask an application how it is. There is a container for each, of the same name.
struct Kind {
    name: &'static str,
    /// What the application listens on.
    serve: &'static [&'static str],
    /// What it answers well.
    healthy: Value,
    /// What it answers badly, or not at all.
    sick: Value,
}

fn kinds() -> [Kind; 6] {
    let get = |path: &str, port: Value, scheme: &str| json!({ "httpGet": { "path": path, "port": port, "scheme": scheme } });
    let run =
        |argument| json!({ "exec": { "command": ["/usr/local/bin/lateen-samples", argument] } });
    let grpc = |port: u16| json!({ "grpc": { "port": port } });
    let tcp = |port: u16| json!({ "tcpSocket": { "port": port } });
    let kind = |name, serve, healthy, sick| Kind {
        name,
        serve,
        healthy,
        sick,
    };
    let fails = "/?status=500";
    [
        kind(
            "http",
            &["--http", "8080"],
            get("/", json!(8080), "HTTP"),
            get(fails, json!(8080), "HTTP"),
        ),
        kind(
            "named",
            &["--http", "8081"],
            get("/", json!("port"), "HTTP"),
            get(fails, json!("port"), "HTTP"),
        ),
        kind(
            "https",
            &["--https", "8443"],
            get("/", json!(8443), "HTTPS"),
            get(fails, json!(8443), "HTTPS"),
        ),
        kind("tcp", &["--tcp", "9000"], tcp(9000), tcp(9999)),
        // Whoever answers there does not speak gRPC.
        kind("grpc", &["--http", "8082"], grpc(8082), grpc(9000)),
        kind("exec", &["--http", "8083"], run("--version"), run("fail")),
    ]
}

/// A pod with a container for each kind; `probes` says which probes each has.
fn with_probes(name: &str, probes: impl Fn(&Kind) -> Value) -> Value {
    let containers = kinds().map(|kind| {
        let mut application = container(&[&["echo"], kind.serve].concat());
        let ports = json!([{ "name": "port", "containerPort": 8081 }]);
        let ports = if kind.name == "named" {
            ports
        } else {
            json!([])
        };
        merge(
            &mut application,
            json!({ "name": kind.name, "ports": ports }),
        );
        merge(&mut application, probes(&kind));
        application
    });
    let mut template = template(name, &[]);
    merge(
        &mut template,
        json!({ "spec": { "serviceAccountName": "app", "containers": containers } }),
    );
    pod(name, &template)
}

/// A probe that is made every second and never given up.
fn often(probe: &Value) -> Value {
    let mut probe = probe.clone();
    merge(
        &mut probe,
        json!({ "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1000 }),
    );
    probe
}

/// How many probes of a container of a pod came to a result.
fn count(probes: &Metrics, pod: &Pod, container: &str, probe: &str, result: &str) -> f64 {
    let labels = [
        ("pod_uid", pod.metadata.uid.as_deref().unwrap_or_default()),
        ("container", container),
        ("probe_type", probe),
        ("result", result),
    ];
    probes.sum("prober_probe_total", &labels)
}

#[tokio::test]
async fn healthy_applications_are_ready() -> Result<()> {
    let bed = Bed::injected("probes").await?;
    let all = |kind: &Kind| PROBES.map(|(field, _)| (field, often(&kind.healthy)));
    let healthy = with_probes("healthy", |kind| all(kind).into_iter().collect());
    bed.apply([service_account("app"), healthy]).await?;
    let pod = bed.ready("app=healthy", 1).await?.remove(0);
    eventually("probes that passed", async || {
        let probes = bed.probes(&pod).await?;
        for (kind, (_, probe)) in kinds()
            .iter()
            .flat_map(|kind| PROBES.map(|probe| (kind, probe)))
        {
            let passed = count(&probes, &pod, kind.name, probe, "successful");
            ensure!(passed > 0.0, "{probe} of {} has not passed", kind.name);
        }
        Ok(())
    })
    .await?;
    for container in &pod.spec.as_ref().context("no spec")?.containers {
        let (asked, name) = (asked_by_kubelet(container)?, container.name.as_str());
        let wanted = (name != "exec").then(|| format!("/app-health/{name}/readyz"));
        ensure!(asked == wanted.as_deref(), "{name} is asked at {asked:?}");
    }
    bed.end().await
}

/// The path that the kubelet asks for to learn whether a container is ready; none if it runs a command.
fn asked_by_kubelet(container: &Container) -> Result<Option<&str>> {
    let probe = container.readiness_probe.as_ref().context("no probe")?;
    let get = probe.http_get.as_ref();
    Ok(get.and_then(|get| get.path.as_deref()))
}

#[tokio::test]
async fn sick_applications_are_not() -> Result<()> {
    let bed = Bed::injected("sick").await?;
    bed.apply([service_account("app")]).await?;
    for (field, probe) in PROBES {
        let name = probe.to_lowercase();
        bed.apply([with_probes(
            &name,
            |kind| json!({ field: often(&kind.sick) }),
        )])
        .await?;
    }
    for (_, probe) in PROBES {
        let name = probe.to_lowercase();
        eventually(&format!("failed probes of {name}"), async || {
            let pod = bed.pod(&format!("app={name}")).await?;
            let probes = bed.probes(&pod).await?;
            for kind in kinds() {
                let of = |result| count(&probes, &pod, kind.name, probe, result);
                let (passed, failed) = (of("successful"), of("failed"));
                ensure!(
                    failed > 0.0 && passed == 0.0,
                    "{name} of {}: {failed} failed, {passed} passed",
                    kind.name
                );
            }
            Ok(())
        })
        .await?;
    }
    for unready in ["startup", "readiness"] {
        let pod = bed.pod(&format!("app={unready}")).await?;
        let status = pod.status.context("no status")?;
        let mut applications = status.container_statuses.iter().flatten();
        ensure!(
            applications.all(|application| !application.ready),
            "an application of {unready} is ready"
        );
    }
    bed.end().await
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_the_application() -> Result<()> {
    let bed = Bed::injected("liveness").await?;
    let probe = json!({ "httpGet": { "path": "/?status=500", "port": 8080 },
        "periodSeconds": 1, "failureThreshold": 1 });
    let mut template = template("web", &["echo", "--http", "8080"]);
    merge(
        &mut template["spec"]["containers"][0],
        json!({ "livenessProbe": probe }),
    );
    bed.apply([service_account("web"), pod("web", &template)])
        .await?;
    eventually("a restart of the application", async || {
        let pod = bed.pod("app=web").await?;
        let statuses = pod
            .status
            .unwrap_or_default()
            .container_statuses
            .unwrap_or_default();
        let restarts = statuses
            .iter()
            .find(|s| s.name == "app")
            .map_or(0, |s| s.restart_count);
        ensure!(restarts > 0, "no restart yet");
        Ok(())
    })
    .await?;
    bed.end().await
}

/// A pod with a helper, a native sidecar of the user's own that has started when its startup probe says
/// so, and an application whose hooks ask the helper.
fn with_helper(name: &str, startup: &str, hooks: &[(&str, &str)]) -> Value {
    let get = |path: &str| json!({ "httpGet": { "path": path, "port": 7070 } });
    let mut helper = container(&["echo", "--http", "7070"]);
    let probed = json!({
        "name": "helper", "restartPolicy": "Always",
        "startupProbe": often(&get(startup)), "readinessProbe": often(&get("/")),
    });
    merge(&mut helper, probed);
    let mut template = template(name, &["sleep"]);
    template["spec"]["containers"][0]["lifecycle"] = hooks
        .iter()
        .map(|(hook, path)| (*hook, get(path)))
        .collect();
    let spec = json!({ "serviceAccountName": "app", "initContainers": [helper],
        "terminationGracePeriodSeconds": 30 });
    merge(&mut template, json!({ "spec": spec }));
    pod(name, &template)
}

/// The kubelet takes any answer to a hook for a success, and waits for it.
#[tokio::test]
async fn hooks_are_waited_for_as_long_as_they_take() -> Result<()> {
    const HOOK: Duration = Duration::from_secs(6);
    let bed = Bed::injected("hooks").await?;
    let (hooks, slow) = (
        ["postStart", "preStop"],
        format!("/?delay={}", HOOK.as_secs()),
    );
    let pod = with_helper("app", "/", &hooks.map(|hook| (hook, slow.as_str())));
    bed.apply([service_account("app"), pod]).await?;
    let pod = bed.ready("app=app", 1).await?.remove(0);
    let after_start = ready_after_start(&pod)?;
    ensure!(after_start >= HOOK, "ready {after_start:?} after its start");

    let start = Instant::now();
    bed.kubectl(&["delete", "pod", "app"]).await?;
    let until_end = start.elapsed();
    ensure!(until_end >= HOOK, "ended after {until_end:?}");
    let events = bed.kubectl(&["events", "--for", "pod/app"]).await?;
    ensure!(!events.contains("Hook"), "{events}");
    bed.end().await
}

/// How long after its start the application of a pod was ready, in whole seconds that have begun.
fn ready_after_start(pod: &Pod) -> Result<Duration> {
    let status = pod.status.as_ref().context("no status")?;
    let mut containers = status.container_statuses.iter().flatten();
    let app = containers.find(|container| container.name == "app");
    let running = app.and_then(|app| app.state.as_ref()?.running.as_ref());
    let started = running.and_then(|running| running.started_at.as_ref());
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    let ready = ready.and_then(|ready| ready.last_transition_time.as_ref());
    let (started, ready) = started.zip(ready).context("no times")?;
    let seconds = ready.0.as_second() - started.0.as_second() + 1;
    Ok(Duration::from_secs(seconds.try_into()?))
}

#[tokio::test]
async fn native_sidecars_of_users_are_probed() -> Result<()> {
    let bed = Bed::injected("helpers").await?;
    let (well, sick) = (
        with_helper("well", "/", &[]),
        with_helper("sick", "/?status=500", &[]),
    );
    bed.apply([service_account("app"), well, sick]).await?;
    let pod = bed.ready("app=well", 1).await?.remove(0);
    let spec = pod.spec.as_ref().context("no spec")?;
    let mut helpers = spec.init_containers.iter().flatten();
    let helper = helpers.find(|container| container.name == "helper");
    let asked = asked_by_kubelet(helper.context("no helper")?)?;
    ensure!(asked == Some("/app-health/helper/readyz"), "{asked:?}");

    let pod = eventually("a failed probe of the helper", async || {
        let pod = bed.pod("app=sick").await?;
        let probes = bed.probes(&pod).await?;
        let failed = count(&probes, &pod, "helper", "Startup", "failed");
        ensure!(failed > 0.0, "none has failed");
        Ok(pod)
    })
    .await?;
    let status = pod.status.context("no status")?;
    let mut applications = status.container_statuses.iter().flatten();
    let early = applications.find(|application| application.started == Some(true));
    ensure!(early.is_none(), "the application did not wait: {early:?}");
    bed.end().await
}
