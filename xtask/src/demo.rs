//! `cargo xtask demo`: Bookinfo in the mesh, on a cluster of one node, with a look at what happens.

mod entrance;
mod metrics;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use lateen_tests::bed::manifest;
use lateen_tests::cluster::Name;

use crate::images;
use crate::mesh::{self, Place};
use crate::output;
use crate::workspace::Workspace;

/// Where Bookinfo goes, as in every course on Istio.
const NAMESPACE: &str = "default";

/// The application, and the client inside the mesh that visits it.
const SAMPLES: [&str; 2] = [
    "samples/bookinfo/platform/kube/bookinfo.yaml",
    "samples/httpbin/sample-client/fortio-deploy.yaml",
];

/// Pods of an existing cluster may have to pull their images first.
const PODS_READY: Duration = Duration::from_secs(300);

/// Visits by the client in the mesh, and how many a second.
const VISITS: (&str, &str) = ("200", "40");

/// Visits from outside, which come without an identity.
const VISITS_FROM_OUTSIDE: u32 = 20;

/// What `cargo xtask demo` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Take the demo down again
    #[arg(long)]
    down: bool,
    /// Name of the demo's own cluster
    #[arg(long, default_value = "lateen-demo")]
    name: Name,
    /// Use this cluster instead of one of the demo's own
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Push the images to this registry, which the cluster of `--kubeconfig` can read
    #[arg(long, value_name = "HUB", requires = "kubeconfig")]
    push: Option<String>,
}

/// Sets everything up, sends traffic and shows what came of it; or takes everything down.
///
/// # Errors
/// When a step fails; what was set up until then stays for a look.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.down {
        return down(workspace, options);
    }
    let started = Instant::now();
    let images = images::build(workspace, &images::Options::quick(options.push.as_deref()))?;
    let place = Place::up(&options.name, 1, options.kubeconfig.as_deref())?;
    place.import(&images)?;
    mesh::install(&place.kubectl, &images)?;

    output::step("Starting Bookinfo in a namespace labelled istio-injection=enabled");
    let label = [
        "label",
        "namespace",
        NAMESPACE,
        "istio-injection=enabled",
        "--overwrite",
    ];
    place.kubectl.read(&label)?;
    for sample in SAMPLES {
        apply(workspace, &place, sample, &images.hub)?;
    }
    let pods = place.kubectl.wait_for_sidecars(NAMESPACE, PODS_READY)?;

    output::step("Visiting the page, from a client in the mesh and from outside");
    let address = entrance::open(&place.kubectl, NAMESPACE)?;
    visit_from_inside(&place)?;
    if let Some(address) = &address {
        entrance::visit(address, VISITS_FROM_OUTSIDE)?;
    }

    output::line("");
    report::pods(&pods);
    output::line("");
    report::calls(&place.kubectl, NAMESPACE, &pods)?;
    output::line("");
    say_where_to_look(options, &place, address.as_deref());
    output::line(&format!("Done in {}.", output::duration(started.elapsed())));
    Ok(())
}

/// Applies a sample with its images from where they were pushed.
fn apply(workspace: &Workspace, place: &Place, sample: &str, hub: &str) -> Result<()> {
    let file = workspace.root.join(sample);
    let file = file.to_str().context("Finding the samples")?;
    let read = ["create", "--dry-run=client", "--output=json", "--filename"];
    let of_namespace = ["--namespace", NAMESPACE];
    let objects = place
        .kubectl
        .read(&[&read[..], &[file], &of_namespace].concat())?;
    for object in serde_json::Deserializer::from_str(&objects).into_iter() {
        let mut object = object.with_context(|| format!("Reading the objects of {file}"))?;
        manifest::take_images_from(hub, &mut object);
        place.kubectl.apply(&object)?;
    }
    Ok(())
}

fn visit_from_inside(place: &Place) -> Result<()> {
    let (visits, per_second) = VISITS;
    let exec = [
        "exec",
        "--namespace",
        NAMESPACE,
        "deployment/fortio-deploy",
        "--container=fortio",
    ];
    let load = [
        "/usr/bin/fortio",
        "load",
        "-quiet",
        "-c",
        "4",
        "-n",
        visits,
        "-qps",
        per_second,
    ];
    let page = "http://productpage:9080/productpage";
    place
        .kubectl
        .read(&[&exec[..], &["--"], &load, &[page]].concat())?;
    Ok(())
}

fn say_where_to_look(options: &Options, place: &Place, address: Option<&str>) {
    let kubeconfig = place.kubectl.kubeconfig.display();
    match address {
        Some(address) => output::line(&format!("Open http://{address}/productpage in a browser.")),
        None => output::line(&format!(
            "This cluster gives Services no address. To open http://localhost:9080/productpage, run\n    \
             kubectl --kubeconfig {kubeconfig} port-forward service/productpage 9080"
        )),
    }
    output::line(&format!("To look around: export KUBECONFIG={kubeconfig}"));
    let whose = match &options.kubeconfig {
        Some(_) => format!("--kubeconfig {kubeconfig}"),
        None => format!("--name {}", options.name),
    };
    output::line(&format!(
        "To take everything down: cargo xtask demo --down {whose}"
    ));
}

fn down(workspace: &Workspace, options: &Options) -> Result<()> {
    let Some(kubeconfig) = &options.kubeconfig else {
        return Place::down(&options.name);
    };
    let place = Place::up(&options.name, 1, Some(kubeconfig))?;
    for sample in SAMPLES {
        let file = workspace.root.join(sample);
        let file = file.to_str().context("Finding the samples")?;
        let delete = [
            "delete",
            "--ignore-not-found",
            "--namespace",
            NAMESPACE,
            "--filename",
            file,
        ];
        place.kubectl.read(&delete)?;
    }
    entrance::close(&place.kubectl, NAMESPACE)?;
    place
        .kubectl
        .read(&["label", "namespace", NAMESPACE, "istio-injection-"])?;
    mesh::uninstall(workspace, &place.kubectl)
}
