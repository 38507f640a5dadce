//! The program `lateen-control`, in its image `pilot-discovery discovery`.

use clap::{Parser, Subcommand};
use lateen_control::Config;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The control plane of Lateen.
#[derive(Parser)]
#[command(name = "lateen-control", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve discovery and certificates.
    Discovery(Box<Config>),
    /// Print the version.
    Version,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Discovery(config) => {
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_ansi(false)
                .finish()
                .with(config.log_level.clone())
                .init();
            lateen_control::run(*config).await?;
        }
        #[expect(clippy::print_stdout, reason = "what the command is for")]
        Command::Version => println!("{}", env!("CARGO_PKG_VERSION")),
    }
    Ok(())
}
