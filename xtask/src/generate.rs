//! `cargo xtask generate`: writes the Rust code of the messages in `wire/proto`, which is committed
//! so that nobody needs a protobuf compiler to build.

use std::path::Path;

use anyhow::{Context as _, Result};

const PROTOS: [&str; 3] = ["envoy/discovery.proto", "istio/ca.proto", "lateen/discovery.proto"];

/// Writes generated code into `destination`, one file per protobuf package.
///
/// # Errors
/// When a message definition does not parse or the folder cannot be written.
pub(crate) fn run(root: &Path, destination: &Path) -> Result<()> {
    let include = root.join("wire/proto");
    let descriptors = protox::compile(PROTOS, [&include])
        .with_context(|| format!("Compiling the message definitions in {}", include.display()))?;
    tonic_prost_build::configure()
        .out_dir(destination)
        .compile_fds(descriptors)
        .with_context(|| format!("Writing generated code to {}", destination.display()))
}
