//! `cargo xtask generate`: writes the Rust code of the messages in `wire/proto`, which is committed
//! so that nobody needs a protobuf compiler to build.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::workspace::Workspace;

const PROTOS: [&str; 3] = [
    "envoy/discovery.proto",
    "istio/ca.proto",
    "lateen/discovery.proto",
];

/// What `cargo xtask generate` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Write nothing; fail when the committed code is not what would be written
    #[arg(long)]
    check: bool,
}

/// Writes the generated code, one file per protobuf package, or checks what is committed.
///
/// # Errors
/// When a message definition does not parse, the folder cannot be written, or the check finds a
/// difference.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.check {
        check(workspace)
    } else {
        write(workspace, &committed(workspace))
    }
}

/// Fails when the committed code is not what the message definitions say.
///
/// # Errors
/// As [`run`].
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let committed = committed(workspace);
    let fresh = tempfile::tempdir()?;
    write(workspace, fresh.path())?;
    if contents(fresh.path())? != contents(&committed)? {
        bail!(
            "{} is not what wire/proto says: run `cargo xtask generate` and commit the result",
            committed.display()
        );
    }
    Ok(())
}

fn committed(workspace: &Workspace) -> PathBuf {
    workspace.root.join("wire/src/generated")
}

fn write(workspace: &Workspace, destination: &Path) -> Result<()> {
    let include = workspace.root.join("wire/proto");
    let descriptors = protox::compile(PROTOS, [&include])
        .with_context(|| format!("Compiling the message definitions in {}", include.display()))?;
    tonic_prost_build::configure()
        .out_dir(destination)
        .compile_fds(descriptors)
        .with_context(|| format!("Writing generated code to {}", destination.display()))
}

fn contents(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    fs::read_dir(folder)
        .with_context(|| format!("Reading {}", folder.display()))?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), fs::read(entry.path())?))
        })
        .collect()
}
