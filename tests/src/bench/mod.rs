//! `cargo xtask bench`: what a sidecar costs, beside Envoy in the same run.
//!
//! A `Lab` has two pods and control, each a network namespace, with the redirection that our own
//! `init` programs. One pair of proxies after the other is put into it, and the same load is sent
//! through each (`load`); runs of the two alternate, so that a machine that grows slower does so for
//! both. What counts is the ratio and CPU time, not the clock.

mod envoy;
mod figure;
mod lab;
mod load;
mod offline;
mod pair;
mod process;
mod redirection;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::cluster::{Cache, FORTIO, Progress};

pub use self::figure::{Figure, Table};
pub use self::offline::{Arguments as OfflineArguments, serve as serve_offline};

use self::lab::Lab;
use self::load::Load;
use self::pair::Pair;

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
    /// `lateen-offline-control` of this crate.
    pub control: PathBuf,
}

impl Programs {
    /// The programs of one folder, as cargo leaves them.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            proxy: folder.join("lateen-proxy"),
            init: folder.join("lateen-init"),
            control: folder.join("lateen-offline-control"),
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
    let mut table = Table::default();

    progress.tell("Measuring redirection");
    redirection::measure(programs, options.runs, &mut table).await?;

    let mut kinds = vec![Pair::Lateen];
    if !options.without_envoy {
        kinds.push(Pair::Envoy(envoy::get(&cache, &progress).await?));
    }
    for services in [1_000, 10_000] {
        progress.tell(format_args!(
            "Measuring configuration among {services} services"
        ));
        pair::configuration(programs, services, &mut table).await?;
    }
    let lab = Lab::new(programs, &fortio, 3).await?;
    let measured = compare(&lab, &kinds, options, &progress, &mut table).await;
    lab.end().await?;
    measured?;
    Ok(table)
}

/// One pair after the other under each load, in turn.
async fn compare(
    lab: &Lab,
    kinds: &[Pair],
    options: &Options,
    progress: &Progress,
    table: &mut Table,
) -> Result<()> {
    for load in Load::all(options.seconds) {
        for run in 1..=options.runs {
            for kind in kinds {
                progress.tell(format_args!("{}: {} (run {run})", load.name, kind.name()));
                kind.measure(lab, &load, table).await?;
            }
        }
    }
    Ok(())
}
