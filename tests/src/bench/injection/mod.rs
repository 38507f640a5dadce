//! What an admission costs: one replica of our admission server on one core, asked by four clients as
//! API servers do: over TLS, on kept connections, with the review of a pod of a Deployment.

mod client;
mod server;

use std::fmt;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::time::{Instant, Interval, interval_at};

use super::Programs;
use super::measure::{Measure, Percentile};
use super::table::{Subject, Table};

use self::client::{Client, End};
use self::server::Server;

/// How many ask at the same time.
const CLIENTS: u32 = 4;
/// Admissions of all clients before what is measured.
const WARM_UP: usize = 800;
/// Admissions a second that a replica is promised to bear.
const RATE: u32 = 500;
/// Admissions until memory has settled, and those that must add nothing to it then.
const ENDURANCE: [usize; 2] = [10_000, 100_000];

/// How often the clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// 500 times a second, all together.
    Steady,
    /// Each as soon as it has its answer.
    Saturated,
}

/// Adds CPU time and latency of admissions at each pace, and the server's memory.
///
/// # Errors
/// When the server does not start or refuses a pod.
pub(crate) fn measure(programs: &Programs, seconds: u32, table: &mut Table) -> Result<()> {
    on_one_thread(|| measure_paces(programs, seconds, table))
}

/// Adds what the server's memory grows by while it answers 100,000 reviews.
///
/// # Errors
/// As [`measure`].
pub(crate) fn endure(programs: &Programs, table: &mut Table) -> Result<()> {
    on_one_thread(|| measure_growth(programs, table))
}

/// Runs the clients on one thread, which leaves the server's core to the server.
fn on_one_thread<W>(work: impl FnOnce() -> W + Send) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work())
    };
    let thread = thread::scope(|scope| scope.spawn(run).join());
    thread.unwrap_or_else(|panic| resume_unwind(panic))
}

async fn measure_paces(programs: &Programs, seconds: u32, table: &mut Table) -> Result<()> {
    let server = Server::start(programs).await?;
    let mut clients = connect(&server).await?;
    ask(&mut clients, Pace::Saturated, End::After(WARM_UP)).await?;
    for pace in [Pace::Steady, Pace::Saturated] {
        let before = server.process.cpu()?;
        let end = End::At(Instant::now() + Duration::from_secs(seconds.into()));
        let times = ask(&mut clients, pace, end).await?;
        let used = server.process.cpu()? - before;
        let mut add = |measure, value| table.add(measure, Subject::Lateen, value);
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
        let admissions = times.len() as f64;
        add(Measure::InjectionCpu(pace), milliseconds(used) / admissions);
        add(
            Measure::InjectionLatency(pace),
            milliseconds(percentile(times, Percentile::P99)),
        );
    }
    let memory = server.process.memory()? / 1e6;
    table.add(Measure::InjectionMemory, Subject::Lateen, memory);
    server.process.end().await
}

async fn measure_growth(programs: &Programs, table: &mut Table) -> Result<()> {
    let server = Server::start(programs).await?;
    let mut clients = connect(&server).await?;
    let mut memory = Vec::new();
    for admissions in ENDURANCE {
        ask(&mut clients, Pace::Saturated, End::After(admissions)).await?;
        memory.push(server.process.memory()? / 1e6);
    }
    if let [settled, after] = memory.as_slice() {
        table.add(Measure::InjectionGrowth, Subject::Lateen, after - settled);
    }
    server.process.end().await
}

async fn connect(server: &Server) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(server.address, &server.roots).await?);
    }
    Ok(clients)
}

/// Lets all clients ask until the end; how long each admission took.
async fn ask(clients: &mut Vec<Client>, pace: Pace, end: End) -> Result<Vec<Duration>> {
    let end = end.of_each(CLIENTS);
    let asking: Vec<_> = (0..)
        .zip(clients.drain(..))
        .map(|(number, client)| tokio::spawn(client.ask(pace.ticks(number), end)))
        .collect();
    let mut times = Vec::new();
    for client in asking {
        let (client, taken) = client.await??;
        clients.push(client);
        times.extend(taken);
    }
    Ok(times)
}

impl Pace {
    /// When a client asks, if it does not ask all the time; clients take turns.
    fn ticks(self, number: u32) -> Option<Interval> {
        let turn = Duration::from_secs(1) / RATE;
        let start = Instant::now() + turn * number;
        (self == Self::Steady).then(|| interval_at(start, turn * CLIENTS))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady => write!(formatter, "{RATE} a second"),
            Self::Saturated => write!(formatter, "{CLIENTS} clients all the time"),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The time that so many of a hundred did not exceed; zero if there are none.
fn percentile(mut times: Vec<Duration>, wanted: Percentile) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position among the times"
    )]
    let position = (times.len() as f64 * wanted.of_hundred() / 100.0).ceil() as usize;
    times
        .get(position.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_taken() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(
            percentile(times.clone(), Percentile::P99),
            Duration::from_millis(198)
        );
        assert_eq!(
            percentile(times, Percentile::P50),
            Duration::from_millis(100)
        );
        assert_eq!(percentile(Vec::new(), Percentile::P99), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_at_a_steady_pace_ask_in_turns() {
        let start = Instant::now();
        let mut clients: Vec<_> = (0..CLIENTS).filter_map(|n| Pace::Steady.ticks(n)).collect();
        let mut asked = Vec::new();
        for _ in 0..2 {
            for ticks in &mut clients {
                asked.push((ticks.tick().await - start).as_millis());
            }
        }
        assert_eq!(asked, [0, 2, 4, 6, 8, 10, 12, 14]);
        assert!(Pace::Saturated.ticks(0).is_none());
    }
}
