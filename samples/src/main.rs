//! Sample applications and test tools in one program: work-alikes of Istio's Bookinfo and httpbin, a
//! server that echoes every protocol, and a client that counts what comes back.

mod bookinfo;
mod client;
mod echo;
mod grpc;
mod httpbin;
mod percent;
mod server;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sample applications and test tools of Lateen.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What is logged: a level, or `module=level` with commas.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log_level: Targets,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bookinfo: the page that people look at.
    Productpage(bookinfo::productpage::Options),
    /// Bookinfo: facts about a book.
    Details(bookinfo::details::Options),
    /// Bookinfo: what reviewers say, with or without stars.
    Reviews(bookinfo::reviews::Options),
    /// Bookinfo: how many stars reviewers give.
    Ratings(bookinfo::ratings::Options),
    /// Answers HTTP requests with what it saw, as go-httpbin does.
    Httpbin(httpbin::Options),
    /// Echoes HTTP, gRPC, WebSocket, TCP and UDP.
    Echo(echo::Options),
    /// Sends requests and counts what comes back.
    Client(client::Options),
    /// Does nothing until it is told to end: a pod to run the client in.
    Sleep,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .finish()
        .with(arguments.log_level)
        .init();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "Cannot go on.");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        let stop = server::stop_on_signal()?;
        dispatch(command, stop).await
    });
    runtime.shutdown_background();
    code
}

async fn dispatch(command: Command, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    match command {
        Command::Productpage(options) => bookinfo::productpage::run(options, stop).await?,
        Command::Details(options) => bookinfo::details::run(options, stop).await?,
        Command::Reviews(options) => bookinfo::reviews::run(options, stop).await?,
        Command::Ratings(options) => bookinfo::ratings::run(options, stop).await?,
        Command::Httpbin(options) => httpbin::run(options, stop).await?,
        Command::Echo(options) => echo::run(options, stop).await?,
        Command::Client(options) => return client::run(options, stop).await,
        Command::Sleep => stop.cancelled().await,
    }
    Ok(ExitCode::SUCCESS)
}
