//! `lateen-proxy`, also under the name `pilot-agent`: the entry point of the data plane's image.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use lateen_proxy::agent::{self, Agent, Probes, Targets};
use lateen_proxy::config::{Arguments, Command, Config, Log};
use lateen_proxy::runtime;
use tracing_subscriber::filter::{LevelFilter, Targets as Levels};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc reads this symbol at start: memory that is not used goes back soon, and small
/// processes stay small.
#[expect(
    unsafe_code,
    reason = "a symbol that jemalloc looks for; read-only and ended by zero"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8; 100] =
    b"background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:5000,thp:never,narenas:1,lg_tcache_max:13\0";

fn main() -> ExitCode {
    let command = match Command::read(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => return fail(&error.into()),
    };
    let result = match command {
        Command::Proxy(arguments) => proxy(&arguments),
        Command::Init(arguments) => init(arguments),
        Command::Version => version(),
        Command::Other(name, arguments) => other(&name, arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn proxy(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(arguments, |name| std::env::var(name).ok())?;
    start_logs(&config.log)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        ?config,
        "The proxy starts."
    );
    let probes = config
        .app_probers
        .as_deref()
        .map(Probes::parse)
        .transpose()?
        .unwrap_or_default();
    let targets = config
        .prometheus_annotations
        .as_deref()
        .map(Targets::parse)
        .transpose()?;
    let pod_address = config
        .pod
        .addresses
        .first()
        .copied()
        .context("INSTANCE_IP is empty")?;
    let agent = Agent::bind(config.ports)?;
    runtime::run(config, async move |proxy| {
        let context = agent::Context {
            pod_address,
            probes,
            targets: targets.unwrap_or_default(),
            proxy,
        };
        if let Err(error) = agent.run(context).await {
            tracing::error!(%error, "The agent has ended.");
        }
    })?;
    Ok(())
}

/// What lifecycle hooks run.
fn other(name: &str, arguments: Vec<OsString>) -> anyhow::Result<()> {
    use std::io::Write;
    let arguments = lexopt::Parser::from_args(arguments);
    match name {
        "wait" => Ok(agent::command::wait(arguments)?),
        "request" => {
            let answer = agent::command::request(arguments)?;
            std::io::stdout()
                .write_all(&answer)
                .context("cannot write to stdout")
        }
        _ => bail!("there is no subcommand '{name}'"),
    }
}

/// Hands over to `lateen-init`, found beside this program or in `PATH`.
fn init(arguments: Vec<OsString>) -> anyhow::Result<()> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("lateen-init")));
    let program = beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("lateen-init"));
    let error = std::process::Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be run", program.display()))
}

fn version() -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{}", env!("CARGO_PKG_VERSION")).context("cannot write to stdout")
}

fn start_logs(log: &Log) -> anyhow::Result<()> {
    let levels: Levels = log
        .filter
        .parse()
        .with_context(|| format!("'{}' is no log filter", log.filter))?;
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr);
    let started = if log.json {
        subscriber.json().finish().with(levels).try_init()
    } else {
        subscriber.with_ansi(false).finish().with(levels).try_init()
    };
    if let Err(error) = started {
        bail!("logs cannot be started: {error}");
    }
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{error:#}");
    ExitCode::FAILURE
}
