//! `lateenctl analyze`: what is suspicious about objects, in a cluster, in files, or in a cluster as
//! it would be with the files applied. Codes, levels and names of analyzers are those of `istioctl
//! analyze`.
//!
//! `world` is what there is to look at, from `cluster` and `files`; `analyzers` are functions
//! over it, one line of a table each, that write into a `report`.

mod analyzers;
mod cluster;
mod code;
mod files;
mod report;
mod resource;
mod suppression;
mod world;

use std::fmt;

use anyhow::{Result, ensure};

use crate::arguments::{Analyze, Connection, OutputForm};
use crate::cluster::connect;
use crate::console::Console;
use crate::level::Level;
use report::{Filter, Message, Report};
use world::World;

pub use suppression::Suppression;

/// Namespace of objects in files that name none, if no cluster is asked.
const DEFAULT_NAMESPACE: &str = "default";

/// Why an analysis that came to its end fails, with `istioctl`'s exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Messages are as bad as the threshold, or worse.
    Found {
        /// How many.
        messages: usize,
        /// The threshold.
        threshold: Level,
    },
    /// Some documents cannot be read.
    Unreadable,
}

impl Failure {
    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Found { .. } => 79,
            Self::Unreadable => 65,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found {
                messages,
                threshold,
            } => write!(
                formatter,
                "{messages} of these reach the failure threshold {threshold}"
            ),
            Self::Unreadable => write!(
                formatter,
                "some documents cannot be read; --ignore-unknown passes over them"
            ),
        }
    }
}

impl std::error::Error for Failure {}

/// Analyzes, and tells what was found.
///
/// # Errors
/// The cluster or a file cannot be read, an analyzer does not exist, or a [`Failure`].
pub async fn run(connection: &Connection, options: &Analyze, console: &Console) -> Result<()> {
    if options.list_analyzers {
        return console.result(&analyzers::list());
    }
    let analyzers = analyzers::select(&options.analyzers)?;
    suppression::warn(&options.suppress, console);
    let (mut world, namespace) = start(connection, options, console).await?;
    let texts = files::read(&options.files)?;
    let here = connection.namespace.as_deref().or(namespace.as_deref());
    let here = here.unwrap_or(DEFAULT_NAMESPACE);
    let mut unreadable = Vec::new();
    for text in &texts {
        unreadable.extend(files::add(&mut world, text, here));
    }
    unreadable.iter().for_each(|why| console.warning(why));
    if !options.use_kube {
        world.take_files_for_all();
    }
    let mut report = Report::new(Filter {
        namespace: (!options.all_namespaces && options.use_kube).then(|| here.to_owned()),
        suppressions: options.suppress.clone(),
    });
    for analyzer in analyzers {
        (analyzer.analyze)(&world, &mut report);
    }
    let failed = tell(report.finish(), options, console)?;
    let is_unreadable = !unreadable.is_empty() && !options.ignore_unknown;
    let failed = failed.or(is_unreadable.then_some(Failure::Unreadable));
    match failed.filter(|_| options.output.form == OutputForm::Text) {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

/// What the cluster has, and the namespace that is looked at in it; nothing of both without a cluster.
async fn start(
    connection: &Connection,
    options: &Analyze,
    console: &Console,
) -> Result<(World, Option<String>)> {
    let system = connection.system_namespace();
    if !options.use_kube {
        ensure!(
            !options.files.is_empty(),
            "there is nothing to analyze: name files, or let the cluster be looked at without --use-kube=false"
        );
        return Ok((World::new(system), None));
    }
    let client = connect(connection).await?;
    let here = connection.namespace.clone();
    let here = here.unwrap_or_else(|| client.default_namespace().to_owned());
    let scope = (!options.all_namespaces).then_some(here.as_str());
    let world = cluster::gather(&client, system, scope, console).await?;
    Ok((world, Some(here)))
}

/// Prints messages, and says whether they are a failure.
fn tell(messages: Vec<Message>, options: &Analyze, console: &Console) -> Result<Option<Failure>> {
    let threshold = options.failure_threshold;
    let bad = messages
        .iter()
        .filter(|message| message.level() >= threshold);
    let bad = bad.count();
    let mut told = messages;
    told.retain(|message| message.level() >= options.output_threshold);
    console.answer(options.output, &told, || {
        told.iter().map(|message| format!("{message}\n")).collect()
    })?;
    if told.is_empty() {
        console.note("Nothing was found.");
    }
    Ok((bad > 0).then_some(Failure::Found {
        messages: bad,
        threshold,
    }))
}

#[cfg(test)]
mod tests;
