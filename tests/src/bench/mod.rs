//! `cargo xtask bench`: what everything costs that has a budget, sidecars beside Envoy's in the
//! same run.
//!
//! A `Lab` has two pods and control, each a network namespace, with the redirection that our own
//! `init` programs. One pair of proxies after the other is put into it, and the same load is sent
//! through each (`load`), and through none in a lab without a mesh; they alternate, so that a
//! machine that grows slower does so for all. What counts is the ratio and CPU time, not the clock.
//! The injector is measured by itself (`injection`).

mod configuration;
pub(crate) mod envoy;
mod figure;
mod injection;
pub(crate) mod lab;
mod load;
mod measure;
mod offline;
pub(crate) mod pair;
pub(crate) mod process;
mod redirection;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::cluster::{Cache, FORTIO, Progress};

pub use self::figure::Figure;
pub use self::injection::Pace;
pub use self::load::Load;
pub use self::measure::{Budget, Measure, Percentile};
pub use self::offline::{ControlArguments, WebhookArguments, serve_control, serve_webhook};
pub use self::table::{Figures, Row, Subject, Table};

use self::lab::{Lab, Mesh};
use self::pair::Pair;

/// How many services configuration is measured among.
const SERVICES: [usize; 2] = [1_000, 10_000];

/// What `cargo xtask bench` can be told.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many times each measurement is taken; figures are medians
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Seconds of load in each measurement
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// Only measure ourselves
    #[arg(long)]
    pub without_envoy: bool,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the programs under test are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `lateen-proxy`.
    pub proxy: PathBuf,
    /// `lateen-init`.
    pub init: PathBuf,
    /// `lateenctl`.
    pub lateenctl: PathBuf,
    /// `lateen-offline-control` of this crate.
    pub control: PathBuf,
    /// `lateen-offline-webhook` of this crate.
    pub webhook: PathBuf,
}

impl Programs {
    /// All of them in one folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            proxy: folder.join("lateen-proxy"),
            init: folder.join("lateen-init"),
            lateenctl: folder.join("lateenctl"),
            control: folder.join("lateen-offline-control"),
            webhook: folder.join("lateen-offline-webhook"),
        }
    }
}

/// Measures and returns the figures.
///
/// # Errors
/// When a program cannot be had or started, or the load fails: a figure is whole or absent.
pub async fn run(programs: &Programs, options: &Options) -> Result<Table> {
    let progress = Progress::begin();
    let cache = Cache::locate()?;
    let fortio = FORTIO.get(&cache, &progress).await?.join("fortio");
    let mut kinds = vec![Pair::Lateen];
    if !options.without_envoy {
        kinds.push(Pair::Envoy(envoy::get(&cache, &progress).await?));
    }
    let mut table = Table::default();

    progress.tell("Measuring redirection");
    redirection::measure(programs, options.runs, &mut table)?;
    for run in 1..=options.runs {
        progress.tell(format_args!("Measuring injection (run {run})"));
        injection::measure(programs, options.seconds, &mut table)?;
    }
    progress.tell("Measuring injection for long");
    injection::endure(programs, &mut table)?;
    for services in SERVICES {
        progress.tell(format_args!(
            "Measuring configuration among {services} services"
        ));
        configuration::measure(programs, &fortio, services, &mut table).await?;
    }
    let without_mesh = Lab::new(programs, &fortio, None).await?;
    let lab = Lab::new(programs, &fortio, Some(Mesh { services: 0 })).await?;
    let compared = compare(
        [&lab, &without_mesh],
        &kinds,
        options,
        &progress,
        &mut table,
    )
    .await;
    lab.end().await?;
    without_mesh.end().await?;
    compared?;
    Ok(table)
}

/// Each load through no proxies, and through one pair after the other, in turn.
async fn compare(
    [lab, without_mesh]: [&Lab; 2],
    kinds: &[Pair],
    options: &Options,
    progress: &Progress,
    table: &mut Table,
) -> Result<()> {
    for load in Load::ALL {
        for run in 1..=options.runs {
            progress.tell(format_args!("{load}: no proxies (run {run})"));
            let direct = load.send(without_mesh, options.seconds).await?;
            for percentile in Percentile::ALL {
                let measure = Measure::Latency(load, percentile);
                table.add(measure, Subject::Direct, direct.latency(percentile));
            }
            for kind in kinds {
                let subject = kind.subject();
                progress.tell(format_args!("{load}: {} (run {run})", subject.name()));
                let through = kind.measure(lab, load, options.seconds, table).await?;
                for percentile in Percentile::ALL {
                    let (all, direct) = (through.latency(percentile), direct.latency(percentile));
                    table.add(Measure::Latency(load, percentile), subject, all);
                    table.add(
                        Measure::AddedLatency(load, percentile),
                        subject,
                        all - direct,
                    );
                }
            }
        }
    }
    Ok(())
}
