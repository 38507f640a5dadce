//! The samples run as they are, and their services talk over mutual TLS.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::manifest::{client, deployment, service, take_images_from};
use lateen_tests::bed::{Bed, eventually, hub_and_tag};
use lateen_tests::checkout;
use serde_json::{Value, json};

/// Applies a file of `samples/`, with its images from where all images of the tests are.
async fn start(bed: &Bed, sample: &str) -> Result<()> {
    let file = checkout()
        .join("samples")
        .join(sample)
        .display()
        .to_string();
    let read = ["create", "--dry-run=client", "--output=json", "--filename"];
    let json = bed.kubectl(&[&read[..], &[&file]].concat()).await?;
    let objects = serde_json::Deserializer::from_str(&json).into_iter();
    let mut objects: Vec<Value> = objects.collect::<Result<_, _>>().context(file)?;
    for object in &mut objects {
        take_images_from(&hub_and_tag().0, object);
    }
    bed.apply(objects).await
}

#[tokio::test]
async fn bookinfo_comes_up_and_shows_its_page() -> Result<()> {
    let bed = Bed::injected("bookinfo").await?;
    start(&bed, "bookinfo/platform/kube/bookinfo.yaml").await?;
    bed.apply(client("client")).await?;
    for (app, count) in [
        ("productpage", 1),
        ("details", 1),
        ("reviews", 3),
        ("ratings", 1),
    ] {
        bed.serving(&format!("app={app}"), count, 9080).await?;
    }
    let client = bed.ready("app=client", 1).await?[0].name_any();
    let url = "http://productpage:9080/productpage";
    bed.send(
        &client,
        &["http", "--output", "json", "--requests", "30", "--url", url],
    )
    .await?
    .all_succeeded()?;

    let ratings = bed.pod("app=ratings").await?.name_any();
    let curl = ["curl", "-sS", "productpage:9080/productpage"];
    let output = bed.run(&ratings, "ratings", &curl).await?;
    ensure!(
        output
            .stdout
            .contains("<title>Simple Bookstore App</title>"),
        "courses begin with curl in ratings, which says {output:?}"
    );

    let page = bed.pod("app=productpage").await?.name_any();
    for (destination, least) in [
        ("details-v1", 30.0),
        ("reviews-v1", 1.0),
        ("reviews-v3", 1.0),
    ] {
        let labels = [
            ("reporter", "source"),
            ("destination_workload", destination),
        ];
        eventually(destination, async || {
            let sum = bed
                .metrics(&page)
                .await?
                .sum("istio_requests_total", &labels);
            ensure!(sum >= least, "{sum} requests of {least}");
            Ok(())
        })
        .await?;
    }
    let principal = format!(
        "spiffe://cluster.local/ns/{}/sa/bookinfo-reviews",
        bed.namespace
    );
    let labels = [
        ("reporter", "destination"),
        ("source_principal", principal.as_str()),
        ("connection_security_policy", "mutual_tls"),
    ];
    eventually("calls of reviews at ratings", async || {
        let sum = bed
            .metrics(&ratings)
            .await?
            .sum("istio_requests_total", &labels);
        ensure!(sum >= 1.0, "none");
        Ok(())
    })
    .await?;
    bed.end().await
}

#[tokio::test]
async fn bookinfo_runs_under_istios_image_names() -> Result<()> {
    let bed = Bed::injected("istios-names").await?;
    for app in ["productpage", "details", "reviews", "ratings"] {
        bed.apply(deployment(app, 1, &as_istio_has_it(app))).await?;
        bed.apply([service(app, &[("http", 9080, 9080)])]).await?;
    }
    bed.apply(client("client")).await?;
    for app in ["productpage", "details", "reviews", "ratings"] {
        bed.serving(&format!("app={app}"), 1, 9080).await?;
    }
    let client = bed.ready("app=client", 1).await?[0].name_any();
    for path in [
        "productpage",
        "api/v1/products/0",
        "api/v1/products/0/reviews",
        "api/v1/products/0/ratings",
    ] {
        let url = format!("http://productpage:9080/{path}");
        let arguments = ["http", "--output", "json", "--url", &url];
        let report = bed.send(&client, &arguments).await?.all_succeeded();
        report.with_context(|| path.to_owned())?;
    }
    bed.end().await
}

/// A pod template that asks of the image what the manifests of Istio's releases do: its own command
/// and user, not root, and folders that are mounted into it.
fn as_istio_has_it(app: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app, "version": "v1" } },
        "spec": {
            "containers": [{
                "name": app,
                "image": format!("istio/examples-bookinfo-{app}-v1:1.20.2"),
                "imagePullPolicy": "IfNotPresent",
                "env": [{ "name": "LOG_DIR", "value": "/tmp/logs" }],
                "ports": [{ "containerPort": 9080 }],
                "volumeMounts": [
                    { "name": "tmp", "mountPath": "/tmp" },
                    { "name": "wlp-output", "mountPath": "/opt/ibm/wlp/output" },
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["all"] },
                    "runAsNonRoot": true,
                },
            }],
            "volumes": [
                { "name": "tmp", "emptyDir": {} },
                { "name": "wlp-output", "emptyDir": {} },
            ],
        },
    })
}

#[tokio::test]
async fn httpbin_answers_as_courses_expect() -> Result<()> {
    let bed = Bed::injected("httpbin").await?;
    start(&bed, "httpbin/httpbin.yaml").await?;
    bed.apply(client("client")).await?;
    bed.serving("app=httpbin", 1, 8080).await?;
    let client = bed.ready("app=client", 1).await?[0].name_any();
    for (path, method, status) in [
        ("headers", "GET", "200"),
        ("get", "HEAD", "200"),
        ("status/418", "GET", "418"),
        ("delay/1", "GET", "200"),
    ] {
        let url = format!("http://httpbin:8000/{path}");
        let arguments = [
            "http", "--output", "json", "--method", method, "--expect", status, "--url", &url,
        ];
        bed.send(&client, &arguments).await?.all_succeeded()?;
    }
    bed.end().await
}

#[tokio::test]
async fn curl_and_sleep_are_there_to_call_from() -> Result<()> {
    let bed = Bed::injected("curl").await?;
    start(&bed, "httpbin/httpbin.yaml").await?;
    bed.serving("app=httpbin", 1, 8080).await?;
    for name in ["curl", "sleep"] {
        start(&bed, &format!("{name}/{name}.yaml")).await?;
        let pod = bed.ready(&format!("app={name}"), 1).await?[0].name_any();
        let status = "curl -sS -o /dev/null -w '%{http_code}' http://httpbin:8000/status/418";
        let output = bed.run(&pod, name, &["sh", "-c", status]).await?;
        ensure!(output.stdout == "418", "{name}: {output:?}");
    }
    bed.end().await
}

#[tokio::test]
async fn fortio_sends_load_through_its_sidecar() -> Result<()> {
    let bed = Bed::injected("fortio").await?;
    start(&bed, "httpbin/httpbin.yaml").await?;
    start(&bed, "httpbin/sample-client/fortio-deploy.yaml").await?;
    bed.serving("app=httpbin", 1, 8080).await?;
    let fortio = bed.ready("app=fortio", 1).await?[0].name_any();
    let load = [
        "/usr/bin/fortio",
        "load",
        "-c",
        "2",
        "-qps",
        "0",
        "-n",
        "100",
        "-loglevel",
        "Warning",
        "http://httpbin:8000/get",
    ];
    let output = bed.run(&fortio, "fortio", &load).await?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    ensure!(printed.contains("Code 200 : 100 (100.0 %)"), "{printed}");
    bed.end().await
}
