//! The local cluster on its own, until `cargo xtask` offers it.

use clap::Parser;
use lateen_tests::cluster;

#[derive(Parser)]
enum Arguments {
    /// The local cluster
    #[command(subcommand)]
    Cluster(cluster::Command),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments::Cluster(command) = Arguments::parse();
    cluster::run(command).await
}
