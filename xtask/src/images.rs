//! `cargo xtask images`: builds every image, keeps them as archives in the cache, or pushes them.
//!
//! An image is an ordinary Dockerfile in `images/` and a folder with the static programs that it
//! copies. Images whose contents did not change are not built again.

mod archive;
mod batch;
mod builder;
mod catalogue;
mod debian;
mod programs;
mod selections;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use lateen_tests::cluster::{Cluster, Name};
use tempfile::TempDir;

use self::batch::Batch;
use self::builder::Builder;
pub(crate) use self::programs::{Programs, compile};
use crate::blocking::wait_for;
use crate::output;
use crate::workspace::{VERSION, Workspace};

/// Where images live when they are only imported into a local cluster.
pub(crate) const LOCAL_HUB: &str = "lateen";

/// What `cargo xtask images` can be told.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Push the images to this registry and path, for example `registry.example/lateen`
    #[arg(long, value_name = "HUB")]
    pub(crate) push: Option<String>,
    /// Import the images into this local cluster
    #[arg(long, value_name = "CLUSTER", conflicts_with = "push")]
    pub(crate) import: Option<Name>,
    /// Tag of the mesh images [default: the version and a hash of what is in them]
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Build as for a release: slower to build, faster to run
    #[arg(long)]
    pub(crate) release: bool,
}

impl Options {
    /// What the demo and the tests need: quick to build, pushed only to reach a given cluster.
    pub(crate) fn quick(push: Option<&str>) -> Self {
        Self {
            push: push.map(str::to_owned),
            ..Self::default()
        }
    }
}

/// Images that are ready to be used.
#[derive(Debug)]
pub(crate) struct Images {
    /// The prefix of the mesh images' names, for `lateenctl install --set hub=`.
    pub(crate) hub: String,
    /// The tag of the mesh images, for `lateenctl install --set tag=`.
    pub(crate) tag: String,
    /// Docker archives to import; none when the images were pushed instead.
    pub(crate) archives: Vec<PathBuf>,
    /// The command line that fits these images.
    pub(crate) lateenctl: PathBuf,
    /// Bytes in each mesh image, by image name.
    pub(crate) sizes: Vec<(&'static str, u64)>,
}

/// Builds the images and says what came out.
///
/// # Errors
/// As [`build`] and [`import`].
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let images = build(workspace, options)?;
    let rows: Vec<_> = images
        .sizes
        .iter()
        .map(|&(name, bytes)| {
            [
                format!("{}/{name}:{}", images.hub, images.tag),
                megabytes(bytes),
            ]
        })
        .collect();
    output::table(["IMAGE", "SIZE"], &rows);
    for archive in &images.archives {
        output::line(&archive.display().to_string());
    }
    match &options.import {
        Some(name) => import(&images, &Cluster::find(name)?),
        None => Ok(()),
    }
}

/// Imports the images into every node of a local cluster.
///
/// # Errors
/// When a node does not run.
pub(crate) fn import(images: &Images, cluster: &Cluster) -> Result<()> {
    output::step("Importing the images");
    for archive in &images.archives {
        wait_for(cluster.import_image(archive))?;
    }
    Ok(())
}

/// Builds the command line and returns where it is.
///
/// # Errors
/// When a program does not build.
pub(crate) fn lateenctl(workspace: &Workspace) -> Result<PathBuf> {
    Ok(Programs::build(workspace, false)?.path("lateenctl"))
}

/// Builds the programs and, where their contents changed, the images.
///
/// # Errors
/// When a program does not build, when neither buildah nor docker can be had, or when the registry
/// refuses an image.
pub(crate) fn build(workspace: &Workspace, options: &Options) -> Result<Images> {
    output::step("Building the programs");
    let programs = Programs::build(workspace, options.release)?;
    let scratch = scratch(workspace)?;
    let stage =
        |images, folder| Batch::stage(workspace, &programs, images, &scratch.path().join(folder));
    let mesh = stage(catalogue::mesh(), "mesh")?;
    let samples = stage(catalogue::samples(), "samples")?;

    let tag = match &options.tag {
        Some(tag) => tag.clone(),
        None => format!("{VERSION}-dev.{}", mesh.fingerprint()),
    };
    let mut images = Images {
        hub: options.push.clone().unwrap_or_else(|| LOCAL_HUB.to_owned()),
        lateenctl: programs.path("lateenctl"),
        sizes: mesh.sizes(),
        archives: Vec::new(),
        tag,
    };
    let storage = scratch.path().join("storage");
    if let Some(hub) = &options.push {
        let builder = Builder::find(&storage)?;
        mesh.push(&builder, hub, &images.tag)?;
        samples.push(&builder, hub, catalogue::SAMPLES_TAG)?;
    } else {
        images.archives = vec![
            mesh.archive(workspace, "mesh", &images.tag, &storage)?,
            samples.archive(workspace, "samples", catalogue::SAMPLES_TAG, &storage)?,
        ];
    }
    Ok(images)
}

/// Bytes in each image that `lateenctl install` asks for, without building it.
///
/// # Errors
/// When something that belongs into an image is not there.
pub(crate) fn sizes(
    workspace: &Workspace,
    programs: &Programs,
) -> Result<Vec<(&'static str, u64)>> {
    let scratch = scratch(workspace)?;
    let mut images = catalogue::mesh();
    images.retain(|image| image.name != "samples");
    Ok(Batch::stage(workspace, programs, images, scratch.path())?.sizes())
}

/// A folder beside the programs, so that these can be linked there.
fn scratch(workspace: &Workspace) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("images-")
        .tempdir_in(&workspace.target)
        .with_context(|| format!("Making a folder in {}", workspace.target.display()))
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
