//! The two images of the cluster itself, each one program on scratch.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cache::Cache;
use super::command::{host, run};
use super::progress::Progress;
use super::tools::{COREDNS, PAUSE, Tool};

/// Programs and archives that a cluster is booted from.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    /// The archive with [`pause_name`].
    pub(crate) pause: PathBuf,
    /// The archive with [`coredns_name`].
    pub(crate) coredns: PathBuf,
}

/// The image of every sandbox.
pub(crate) fn pause_name() -> String {
    name(&PAUSE)
}

/// The image of the DNS server.
pub(crate) fn coredns_name() -> String {
    name(&COREDNS)
}

/// Builds the images that are not in the cache yet.
///
/// # Errors
/// When a program or an image cannot be built.
pub(crate) async fn get(cache: &Cache, progress: &Progress) -> Result<Images> {
    Ok(Images {
        pause: archive(&PAUSE, cache, progress).await?,
        coredns: archive(&COREDNS, cache, progress).await?,
    })
}

fn name(tool: &Tool) -> String {
    format!("localhost/{}:{}", tool.name, tool.version)
}

async fn archive(tool: &Tool, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let program = tool.get(cache, progress).await?.join(tool.name);
    let build = async |archive: PathBuf| {
        progress.tell(format_args!("Making the image {}", name(tool)));
        build(tool, &program, &archive).await
    };
    cache
        .get_or_make("images", &format!("{}.tar", tool.key()), build)
        .await
}

async fn build(tool: &Tool, program: &Path, archive: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("Making a folder for an image")?;
    let context = folder.path().join("context");
    fs::create_dir(&context)?;
    fs::copy(program, context.join(tool.name))?;
    fs::write(
        context.join("Dockerfile"),
        format!(
            "FROM scratch\nCOPY {0} /{0}\nENTRYPOINT [\"/{0}\"]\n",
            tool.name
        ),
    )?;
    // Storage of its own, which goes with the folder.
    let buildah = || {
        let mut command = host("buildah", ["--storage-driver", "vfs", "--root"]);
        command
            .arg(folder.path().join("root"))
            .arg("--runroot")
            .arg(folder.path().join("run"));
        command
    };
    let name = name(tool);
    run(buildah()
        .args(["bud", "--isolation", "chroot", "--tag", &name])
        .arg(&context))
    .await?;
    let destination = format!("docker-archive:{}:{name}", archive.display());
    run(buildah().args(["push", &name, &destination]))
        .await
        .map(drop)
}
