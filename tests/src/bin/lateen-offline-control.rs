//! Control for benches, without a cluster: see `lateen_tests::bench`.

use clap::Parser as _;
use lateen_tests::bench::{ControlArguments, serve_control};
use tikv_jemallocator::Jemalloc;

/// As in the program that ships, whose memory this one stands for.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    serve_control(ControlArguments::parse()).await
}
