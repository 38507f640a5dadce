//! The threads of the process: workers that carry traffic, each with a runtime, listeners and
//! connections of its own, and the main thread with everything else (certificates, discovery, the
//! agent), so that a scrape never delays a request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{Config, Interception};
use crate::control::Control;
use crate::ready::Reason;
use crate::shared::{Shared, Worker};
use crate::{discover, dns, inbound, listen, net, outbound, tls};

/// How long the access log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No runtime, thread or signal handler.
    #[error("the proxy cannot start its threads: {0}")]
    Thread(#[from] io::Error),
    /// A port is taken.
    #[error("the proxy cannot listen on {address}: {source}; is another proxy running?")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The proxy lacks a capability.
    #[error(
        "the proxy cannot take connections to any address, as ISTIO_META_INTERCEPTION_MODE=TPROXY \
         wants (IP_TRANSPARENT): {0}; it needs the capability NET_ADMIN"
    )]
    Transparent(io::Error),
}

/// Runs a proxy until SIGTERM or SIGINT has been obeyed. `agent` gives the future of what answers
/// the kubelet and people; it runs on the main thread until the end.
///
/// # Errors
/// When the proxy cannot start.
pub fn run<F, A>(config: Config, agent: A) -> Result<(), StartError>
where
    A: FnOnce(Arc<Shared>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    raise_file_limit();
    let runtime = current_thread()?;
    let shared = Shared::new(config);
    start_workers(&runtime, &shared)?;
    start_access_log(&shared)?;
    let agent = agent(Arc::clone(&shared));
    runtime.block_on(async {
        let mut background = tokio::task::JoinSet::new();
        dns::start(&mut background, &shared)?;
        background.spawn(agent);
        start_background(&mut background, &shared);
        wait_for_end().await?;
        shared.drain.close(shared.config.drain).await;
        Ok::<_, StartError>(())
    })?;
    shared.access_log.flush(LAST_LINES);
    // The other threads end with the process.
    tracing::info!("The proxy ends.");
    Ok(())
}

/// Starts what keeps the proxy's knowledge current.
pub fn start_background(tasks: &mut tokio::task::JoinSet<()>, shared: &Arc<Shared>) {
    let control = Control::new(
        Arc::clone(&shared.config),
        shared.certificates.clone(),
        shared.metrics.clone(),
    );
    let issuing = Arc::clone(shared);
    let issuing_control = control.clone();
    tasks.spawn(async move {
        tls::issue(
            &issuing.config,
            issuing_control,
            issuing.certificates.clone(),
            Arc::clone(&issuing.trust_domains),
            issuing.readiness.clone(),
        )
        .await;
    });
    tasks.spawn(discover::stream::run(
        shared.discovery.clone(),
        control,
        shared.readiness.clone(),
        Arc::clone(&shared.trust_domains),
    ));
}

/// One thread for each worker; returns when all are listening.
fn start_workers(runtime: &Runtime, shared: &Arc<Shared>) -> Result<(), StartError> {
    for index in 0..shared.config.workers {
        let (started, starting) = oneshot::channel();
        let shared = Arc::clone(shared);
        thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || match current_thread() {
                Err(error) => drop(started.send(Err(error.into()))),
                Ok(runtime) => runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    let result = start_worker(&mut tasks, shared).map(drop);
                    // Nobody listens for the answer when the process ends already.
                    let _ = started.send(result);
                    while tasks.join_next().await.is_some() {}
                }),
            })?;
        match runtime.block_on(starting) {
            Ok(result) => result?,
            Err(_) => return Err(io::Error::other("a worker ended at once").into()),
        }
    }
    shared.readiness.resolve(Reason::Listeners);
    Ok(())
}

/// Addresses a worker listens on.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// Where connections from the application are taken.
    pub outbound: SocketAddr,
    /// Where connections to the application are taken.
    pub inbound: SocketAddr,
}

/// Starts a worker on the present runtime.
///
/// # Errors
/// When a capture port cannot be bound.
pub fn start_worker(
    tasks: &mut tokio::task::JoinSet<()>,
    shared: Arc<Shared>,
) -> Result<Listening, StartError> {
    let listen_on = |port| {
        let address = SocketAddr::new(shared.config.listen.bind, port);
        net::listen(address).map_err(|source| StartError::Listen { address, source })
    };
    let outbound_listener = listen_on(shared.config.listen.outbound)?;
    let inbound_listener = listen_on(shared.config.listen.inbound)?;
    if shared.config.listen.interception == Interception::Tproxy {
        net::take_any_destination(&inbound_listener).map_err(StartError::Transparent)?;
    }
    let listening = Listening {
        outbound: outbound_listener.local_addr()?,
        inbound: inbound_listener.local_addr()?,
    };
    tasks.spawn(shared.workers.join());
    let worker = Worker::new(shared);
    tasks.spawn(Arc::clone(&worker).sweep());
    let outbound_worker = Arc::clone(&worker);
    tasks.spawn(listen::accept(outbound_listener, move |stream, peer| {
        outbound::serve(Arc::clone(&outbound_worker), stream, peer)
    }));
    tasks.spawn(listen::accept(inbound_listener, move |stream, peer| {
        inbound::serve(Arc::clone(&worker), stream, peer)
    }));
    Ok(listening)
}

fn start_access_log(shared: &Shared) -> io::Result<()> {
    let log = shared.access_log.clone();
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || log.write_to(io::stdout()))?;
    Ok(())
}

async fn wait_for_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM has come; the proxy drains."),
        _ = interrupt.recv() => tracing::info!("SIGINT has come; the proxy drains."),
    }
    Ok(())
}

fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Two connections for each request under way: the default limit is soon reached.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "The limit of open files stays as it is.");
    }
}
