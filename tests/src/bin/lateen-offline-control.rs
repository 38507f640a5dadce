//! Control for benches, without a cluster: see `lateen_tests::bench`.

use clap::Parser as _;
use lateen_tests::bench::{OfflineArguments, serve_offline};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    serve_offline(OfflineArguments::parse()).await
}
