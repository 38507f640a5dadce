//! The program `lateen-control`, in its image `pilot-discovery discovery`.

use clap::{Parser, Subcommand};
use lateen_control::Config;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

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
            let filter = EnvFilter::try_new(&config.log_level)?;
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_ansi(false)
                .init();
            lateen_control::run(*config).await?;
        }
        #[expect(clippy::print_stdout, reason = "what the command is for")]
        Command::Version => println!("{}", env!("CARGO_PKG_VERSION")),
    }
    Ok(())
}
