//! The injector for benches, without a cluster: see `lateen_tests::bench`.

use clap::Parser as _;
use lateen_tests::bench::{WebhookArguments, serve_webhook};
use tikv_jemallocator::Jemalloc;

/// As in the program that ships, whose memory this one stands for.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    serve_webhook(WebhookArguments::parse()).await
}
